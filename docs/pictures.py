"""Draw the pictures and the table of docs/architecture.md from the code: `python -m docs.pictures`.

The rooms are the layers that import-linter enforces (pyproject.toml); the day is what Airflow's parser sees in `dags/`. The tests
compare the page with the code (tests/repo/test_architecture.py, tests/dags/test_architecture.py).
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
ROOMS = ROOT / "docs" / "images" / "rooms.svg"
DAY = ROOT / "docs" / "images" / "day.svg"

_WIDTH, _MARGIN, _GAP = 760, 20, 8
_STYLE = (
    "text{font-family:system-ui,sans-serif;fill:#1f2937}.name{font-weight:600}.small{fill:#4b5563}"
    ".box{fill:#eef2ff;stroke:#6366f1}.band{fill:#ecfdf5;stroke:#059669}.asset{fill:#92400e}"
    ".line{stroke:#374151;stroke-width:1.5;fill:none}.dashed{stroke-dasharray:5 4;stroke:#059669}"
)


def layers() -> dict[str, list[list[str]]]:
    """Each package with layers, and its layers from the top: the modules of a layer may not import each other."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    found = {}
    for contract in linter["contracts"]:
        if contract["type"] == "layers":
            rows = [[name.strip(" ()") for name in re.split(r"[|:]", layer)] for layer in contract["layers"]]
            for container in contract.get("containers", [""]):
                found[container] = rows
    return found


def place(container: str, module: str) -> Path:
    """The folder or the file of a module, below the root of the repository."""
    dotted = f"{container}.{module}" if container else module
    for base in ("plugins", "."):
        folder = ROOT / base / dotted.replace(".", "/")
        for path in (folder, folder.with_suffix(".py")):
            if path.exists():
                return path.relative_to(ROOT)
    raise FileNotFoundError(
        f"{dotted} is a layer in pyproject.toml, and neither a folder nor a file. Remove it there."
    )


def purpose(path: Path) -> str:
    """The first sentence of a module's or a package's docstring.

    Raises:
        ValueError: there is none.
    """
    file = ROOT / path / "__init__.py" if path.suffix != ".py" else ROOT / path
    found = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0]
    if not found:
        raise ValueError(
            f"{file} does not say what it is for. Give it a docstring: docs/architecture.md shows it."
        )
    return re.split(r"(?<=\.)\s", " ".join(found.split()))[0]


def label(path: Path) -> str:
    """A folder's name with a slash, or a file's name."""
    return path.name if path.suffix else f"{path.name}/"


def draw_rooms(packages: Mapping[str, list[list[str]]]) -> str:
    """The layers of each package as bands, from the top: whatever is above may import what is below it."""
    parts, y = [], _MARGIN
    for container, rows in packages.items():
        parts.append(_text(_MARGIN, y + 14, container or "packages", "name"))
        y += 26
        for row in rows:
            width = (_WIDTH - 2 * _MARGIN - 40 - _GAP * (len(row) - 1)) / len(row)
            for number, module in enumerate(row):
                x = _MARGIN + number * (width + _GAP)
                parts.append(_box(x, y, width, 30, "box"))
                name = label(place(container, module))
                size = 14 if width > 8.5 * len(name) else 11
                parts.append(_text(x + width / 2, y + 20, name, anchor="middle", size=size))
            y += 30 + _GAP
        x, top = _WIDTH - _MARGIN - 16, y - len(rows) * (30 + _GAP)
        parts.append(_arrow(f"M{x} {top} V{y - _GAP - 4}"))
        middle = (top + y) / 2
        parts.append(_text(x + 14, middle, "imports", "small", "middle", turned=True))
        y += _MARGIN
    return _svg(y, parts, "The rooms of the platform, in the order in which they may import each other")


def table(packages: Mapping[str, list[list[str]]]) -> str:
    """One row a room, from the top, with the first sentence of its docstring."""
    lines = ["| room | what it does |", "|---|---|"]
    for container, rows in packages.items():
        for path in (place(container, module) for row in rows for module in row):
            does = purpose(path).replace("|", r"\|")
            lines.append(f"| `{path}{'' if path.suffix else '/'}` | {does} |")
    return "\n".join(lines)


def draw_day(dags: Mapping[str, Any], pipeline: str) -> str:
    """The DAGs of a live pipeline that wake each other, from the first; then those that the clock or a person starts."""
    chain = list(_chain(dags, pipeline))
    waking = {name for dag_id in chain for name in dags[dag_id]["woken_by"]}
    reconciler = f"{pipeline}_reconcile"
    left, width, height, space = _MARGIN, 470, 64, 46
    middle, right, top = left + width / 2, _WIDTH - _MARGIN - 190, _MARGIN + 52
    bottom = top + len(chain) * (height + space) - space
    parts = [
        _text(middle, top - 50, "a delivery has come, or a day is due", "small", "middle"),
        _box(right, top, 190, bottom - top, "band"),
        _text(right + 95, top + 26, reconciler, "name", "middle"),
    ]
    for number, line in enumerate(("starts what is due,", "possible and not done,", "by the same assets")):
        parts.append(_text(right + 95, top + 50 + 18 * number, line, "small", "middle", size=13))
    for number, dag_id in enumerate(chain):
        dag, y = dags[dag_id], top + number * (height + space)
        (asset,) = dag["woken_by"]
        parts.append(_arrow(f"M{middle:g} {y - space + 4:g} V{y - 2:g}"))
        parts.append(_text(middle + 12, y - space / 2 + 6, asset, "asset"))
        parts.append(_box(left, y, width, height, "box"))
        crossed = ", ".join(_crossed(dag))
        lines = [
            f"crosses {crossed}" if crossed else ", ".join(name.replace("_", " ") for name in dag["tasks"])
        ]
        if others := sorted(_announced(dag) - waking):
            lines.append(f"announces {', '.join(others)}, which wakes nothing")
        parts.append(_text(middle, y + 22, dag_id, "name", "middle"))
        for below, line in enumerate(lines):
            parts.append(_text(middle, y + 40 + 16 * below, line, "small", "middle", size=12))
        if asset in _announced(dags[reconciler]):
            parts.append(_arrow(f"M{right} {y + height / 2:g} H{left + width + 2}", "line dashed"))
    rest = sorted(dags.keys() - set(chain))
    clocked = [name for name in rest if dags[name]["schedule"] == "CronTriggerTimetable"]
    asked = [name for name in rest if name not in clocked]
    for number, (title, names) in enumerate((("By the clock", clocked), ("By a person", asked))):
        parts.append(_text(left, bottom + 34 + 22 * number, f"{title}: {', '.join(names)}", size=13))
    return _svg(bottom + 76, parts, f"Which DAG of {pipeline} is woken by which asset")


def _chain(dags: Mapping[str, Any], pipeline: str) -> Iterator[str]:
    """The DAGs that an asset wakes, each after the one that announces its asset."""
    woken = [dag_id for dag_id, dag in dags.items() if dag["woken_by"] and dag_id.startswith(f"{pipeline}_")]
    known: set[str] = set()
    while woken:
        announced = {name for dag_id in woken for name in _announced(dags[dag_id])}
        ready = [dag_id for dag_id in woken if not announced & set(dags[dag_id]["woken_by"])]
        if not ready:
            raise ValueError(f"These DAGs wake each other in a circle: {woken}")
        yield from ready
        known |= set(ready)
        woken = [dag_id for dag_id in woken if dag_id not in known]


def _announced(dag: Mapping[str, Any]) -> set[str]:
    return {name for task in dag["tasks"].values() for name in task["outlets"]}


def _crossed(dag: Mapping[str, Any]) -> list[str]:
    tasks = [task.rsplit(".", 1)[-1] for task in dag["tasks"]]
    return [task.removeprefix("stage_") for task in tasks if task.startswith("stage_")]


def _text(
    x: float,
    y: float,
    words: str,
    kind: str = "",
    anchor: str = "start",
    *,
    size: int = 14,
    turned: bool = False,
) -> str:
    turn = f' transform="rotate(90 {x:g} {y:g})"' if turned else ""
    return (
        f'<text x="{x:g}" y="{y:g}" class="{kind}" font-size="{size}" text-anchor="{anchor}"{turn}>'
        f"{escape(words)}</text>"
    )


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" class="{kind}"/>'


def _arrow(path: str, kind: str = "line") -> str:
    return f'<path d="{path}" class="{kind}" marker-end="url(#head)"/>'


def _svg(height: float, parts: Iterable[str], title: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" width="{_WIDTH}" role="img">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#374151"/></marker></defs>'
        f'<rect width="{_WIDTH}" height="{height:g}" fill="#ffffff"/>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def with_table(page: str, rows: str) -> str:
    """The page with its table of rooms written anew."""
    return re.sub(
        r"(<!-- rooms -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{rows}\n{found[2]}",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    ROOMS.write_text(draw_rooms(layers()))
    PAGE.write_text(with_table(PAGE.read_text(), table(layers())))

    import tempfile

    from tests.dags.conftest import describe_live

    with tempfile.TemporaryDirectory() as scratch:
        DAY.write_text(draw_day(describe_live(Path(scratch))["dags"], "flights"))
