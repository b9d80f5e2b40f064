"""What the documentation names exists: files, modules, tests, make targets and commands."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import click
import pytest

from sluice.cli import main
from sluice.core.settings import ROOT

PAGES = [
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
]
_FOLDERS = "benchmarks|dags|dbt_project|docker|docs|expectations|ml|plugins|tests"


def _code(page: Path) -> list[str]:
    """What a page shows as code: in backticks, in fences and in indented blocks, without comments."""
    text = page.read_text()
    fenced = [
        line for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL) for line in block.split("\n")
    ]
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^    +(.*)$", rest, re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]
    return [line.split(" # ")[0] for line in (*fenced, *indented, *spans)]


def _named(pattern: str) -> dict[str, list[str]]:
    """Everything that a pattern finds at the beginning of code, with the pages that show it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        for code in _code(page):
            if match := re.match(pattern, code):
                found.setdefault(match[1], []).append(page.name)
    assert found
    return found


@lru_cache(maxsize=1)
def _python_files() -> dict[Path, str]:
    files = [path for folder in _FOLDERS.split("|") for path in (ROOT / folder).rglob("*.py")]
    return {path.relative_to(ROOT): path.read_text() for path in files}


def test_every_path_exists():
    paths = _named(rf"((?:{_FOLDERS})/[\w./-]+)$")
    gone = {path: pages for path, pages in paths.items() if not (ROOT / path).exists()}
    # What the reader writes, of an installation's own.
    assert gone.keys() <= {"docker/.env", "docker/compose.override.yml"}, gone


def test_every_python_file_exists():
    """A file below a folder that the page has named: `lake/batches.py`, `test_kills.py`."""
    files = _named(r"([\w/]+\.py)$")
    known = {f"/{path}" for path in _python_files()}
    # Of the reader's own, in an example.
    gone = {name for name in files if not any(path.endswith(f"/{name}") for path in known)} - {"my_fault.py"}
    assert gone == set()


def _exists(dotted: str) -> bool:
    """Whether this is a module, or a name in one, or a key of ours such as `sluice.waiver` of a snapshot."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        for base in ("plugins", "ml"):
            path = Path(base, *parts[:count])
            for file in (path / "__init__.py", path.with_suffix(".py")):
                if text := _python_files().get(file):
                    if all(re.search(rf"\b{name}\b", text) for name in parts[count:]) and count > 1:
                        return True
                    break
    return any(f'"{dotted}"' in text for path, text in _python_files().items() if path.parts[0] == "plugins")


def test_every_module_exists():
    assert _exists("sluice.crossing.publish")
    assert not _exists("sluice.crossing.unpublish")
    assert not _exists("sluice.no_such_room")
    modules = _named(r"((?:sluice|sluice_lab|sluice_ml)(?:\.\w+)+)(?:\(|$)")
    assert {name: pages for name, pages in modules.items() if not _exists(name)} == {}


def test_every_test_exists():
    tests = _named(r"(test_\w+)$")
    text = "\n".join(text for path, text in _python_files().items() if path.parts[0] == "tests")
    assert {name for name in tests if f"def {name}(" not in text} == set()


def test_every_make_target_exists():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert _named(r"make ([a-z-]+)").keys() <= set(targets)


@pytest.mark.parametrize("command", sorted(_named(r"sluice ((?:[a-z-]+ ?)+)")))
def test_every_command_exists(command):
    """The first word is a command, and of a group the second one."""
    words = command.split()
    assert words[0] in main.commands
    group = main.commands[words[0]]
    if isinstance(group, click.Group) and len(words) > 1:
        assert words[1] in group.commands
