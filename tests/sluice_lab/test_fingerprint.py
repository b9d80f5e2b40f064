"""What is kept under a fingerprint is made anew when anything changed that it was made from."""

from __future__ import annotations

import pytest

from sluice.core.settings import settings
from sluice_lab import fingerprint

FILES = (
    "plugins/a.py",
    "plugins/page.j2",
    "ml/b.py",
    "dbt/models/c.sql",
    "pipelines/d.yml",
    "suites/e.json",
    "requirements.txt",
)


@pytest.fixture
def project(home, tmp_path, monkeypatch):
    """A project whose own place has a name that dbt gives to what it writes."""
    root = tmp_path / "logs" / "target"
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    monkeypatch.setattr(fingerprint, "ROOT", root)
    for name, folder in (("DBT_PROJECT", "dbt"), ("PIPELINES", "pipelines"), ("EXPECTATIONS", "suites")):
        monkeypatch.setenv(f"SLUICE_{name}", str(root / folder))
    settings.cache_clear()
    return root


@pytest.mark.parametrize("name", FILES)
def test_of_project_changes_with_each_file(project, name):
    before = fingerprint.of_project()
    (project / name).write_text("after")
    assert fingerprint.of_project() != before


@pytest.mark.parametrize("name", ["dbt/target/manifest.json", "dbt/logs/dbt.txt", "plugins/a.pyc"])
def test_of_project_is_the_same_beside_what_is_written_from_it(project, name):
    before = fingerprint.of_project()
    path = project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("written")
    assert fingerprint.of_project() == before


def test_of_project_without_suites_goes_by_no_suite(project):
    before = fingerprint.of_project(suites=False)
    (project / "suites" / "e.json").write_text("after")
    assert fingerprint.of_project(suites=False) == before
