"""The documentation site, built as `make docs` builds it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sluice.core.settings import ROOT

# Elements that a browser loads by itself; a link that a reader may follow is none of them.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon))[^>]*\bhref=["']?((?:https?:)?//[^"'\s>]+)""",
    re.IGNORECASE,
)
_LOADED_BY_STYLE = re.compile(r"""(?:url\(|@import\s*)\s*["']?((?:https?:)?//[^"')\s]+)""")


def _build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder), *options],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site: strict, so that a page outside of the navigation, a dead link or a dead anchor is an error."""
    pytest.importorskip("material", reason="mkdocs-material is not installed: run `make install`")
    folder = tmp_path_factory.mktemp("site")
    built = _build(folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_every_page_of_the_documentation_is_in_the_site(site):
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert len(pages) > 10
    missing = [
        str(page)
        for page in pages
        if not (site / page.with_name(re.sub("^README$", "index", page.stem) + ".html")).is_file()
    ]
    assert missing == []


def test_site_loads_nothing_from_elsewhere(site):
    assert _LOADED.findall('<script src="https://a.example/x.js">') == [("https://a.example/x.js", "")]
    assert _LOADED.findall("<link href=//b.example/x.css rel=stylesheet>") == [("", "//b.example/x.css")]
    assert _LOADED_BY_STYLE.findall("@import url(https://c.example/f.css)") == ["https://c.example/f.css"]
    styles, pages = list(site.rglob("*.css")), list(site.rglob("*.html"))
    assert styles
    assert pages
    found = {path.name: _LOADED.findall(path.read_text()) for path in pages}
    found |= {path.name: _LOADED_BY_STYLE.findall(path.read_text()) for path in [*styles, *pages]}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_dead_link_stops_the_build(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed: run `make install`")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("# Home\n\n[gone](gone.md), [no heading](#nowhere)\n")
    config = (ROOT / "mkdocs.yml").read_text()
    config = re.sub(r"^nav:\n.*", "nav: [README.md]\n", config, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "mkdocs.yml").write_text(config)
    built = _build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert built.returncode != 0
    assert "gone.md" in built.stdout + built.stderr
    assert "#nowhere" in built.stdout + built.stderr
