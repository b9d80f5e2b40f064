"""Which scenarios there are. Cheap to import: the operator DAG's drop-down is made from it."""

from __future__ import annotations

import ast
import difflib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.core.errors import ScenarioUnknownError, SpecInvalidError

if TYPE_CHECKING:
    from sluice_lab.rehearsal.world import World

FOLDER = Path(__file__).parent / "scenarios"
FUNCTION = "rehearse"


@dataclass(frozen=True)
class Scenario:
    """One file: its docstring says what happens and where that comes from, its function does it."""

    name: str
    path: Path
    doc: str

    @property
    def title(self) -> str:
        return self.doc.strip().splitlines()[0]

    def function(self) -> Callable[[World], None]:
        """Import the file and return its `rehearse(world)`."""
        module_spec = importlib.util.spec_from_file_location(f"sluice_scenario_{self.name}", self.path)
        assert module_spec
        assert module_spec.loader
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        return getattr(module, FUNCTION)


def names() -> list[str]:
    """Names of all scenarios, sorted; those of challenges first."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def find(name: str) -> Scenario:
    """A scenario by its name, by the number that its name begins with (`S01`), or by the path of a file.

    Raises:
        ScenarioUnknownError: there is none; names the nearest and all that there are.
        SpecInvalidError: the file is no Python, or has no docstring or no function `rehearse`.
    """
    if name.endswith(".py") and Path(name).is_file():
        return _read(Path(name).resolve())
    known = names()
    wanted = name.lower().replace("-", "_")
    found = [each for each in known if each == wanted or each.startswith(f"{wanted}_")]
    if len(found) == 1:
        return _read(FOLDER / f"{found[0]}.py")
    if found:
        raise ScenarioUnknownError(
            f"More than one scenario begins with {name!r}.",
            where="sluice rehearse",
            allowed=", ".join(found),
            todo="name one of them",
        )
    near = difflib.get_close_matches(
        wanted, [*known, *(each.split("_")[0] for each in known)], n=1, cutoff=0.4
    )
    hint = f" The nearest is {near[0]!r}." if near else ""
    raise ScenarioUnknownError(
        f"There is no scenario {name!r}.{hint}",
        where="sluice rehearse",
        allowed=f"{', '.join(known)}, or the path of a file",
        todo="choose one (`sluice rehearse --list` says what each does), or write it: docs/rehearsals.md",
    )


def all_scenarios() -> list[Scenario]:
    return [_read(FOLDER / f"{name}.py") for name in names()]


def _read(path: Path) -> Scenario:
    try:
        module = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise SpecInvalidError(
            f"The scenario cannot be read: {error}.",
            where=str(path),
            allowed="a Python file",
            todo="docs/rehearsals.md has a complete example",
        ) from error
    if not any(isinstance(one, ast.FunctionDef) and one.name == FUNCTION for one in module.body):
        raise SpecInvalidError(
            f"The scenario has no function {FUNCTION!r}.",
            where=str(path),
            allowed=f"def {FUNCTION}(world): ...",
            todo="docs/rehearsals.md has a complete example",
        )
    doc = ast.get_docstring(module)
    if not doc:
        raise SpecInvalidError(
            "The scenario does not say what happens in it.",
            where=str(path),
            allowed="a docstring: a title, what happens, and where it comes from",
            todo="docs/rehearsals.md has a complete example",
        )
    return Scenario(path.stem, path, doc)
