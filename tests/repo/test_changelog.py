"""The changelog is by version, the unreleased one first, and each line of it is in a group."""

from __future__ import annotations

import re

from sluice.core.settings import ROOT

GROUPS = {"Upgrading", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_changelog_has_versions_with_groups():
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, *released = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert unreleased == "Unreleased"
    assert [name for name in released if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", name)] == []
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= GROUPS
    for version in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert not re.search(r"^- ", version.split("\n### ")[0], re.MULTILINE), "put it into a group"
