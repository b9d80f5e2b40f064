"""What a model is made by, apart from the rows: one digest, so that a change of recipe is told from newer days.

It holds the declared features, parameters and windows, and `RECIPE`. The code of the modules that training runs and the versions
of the libraries are not in it: else no upgrade of either could be followed by a refresh, and an old champion could never
be replaced but by a candidate that beats it. They are in `exact`, by which what was computed may be used again.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sluice_ml.config import ModelConfig

# Library to version, of those that decide what is learned.
LIBRARIES = {name: version(name) for name in ("xgboost", "scikit-learn", "numpy", "pyarrow")}
# What decides beside them, and is no part of a model's description: it solves for a linear model with directions.
_ALSO = {"scipy": version("scipy")}

# To be raised with a change of this package after which the same rows give a model that ranks them differently by intent.
RECIPE = 1

# Of these a model's content does not depend: they name it, judge it, say when a row is known, or make it faster.
_NOT_LEARNED = {
    "name",
    "resamples",
    "confidence",
    "refresh_margin",
    "comparison_days",
    "gate",
    "segments",
    "segment_min_rows",
    "accepted_findings",
    "outlier_share",
    "baseline",
    "baseline_default",
    "known_at",
    "happens_at",
    "threads",
}
# Settings that came later, at which a recipe is what it was before they came.
AS_BEFORE: dict[str, Any] = {"increasing": (), "decreasing": (), "class_weights": (1.0, 1.0)}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest(config: ModelConfig) -> str:
    """sha256 of the recipe that `config` is: two models with the same one differ in their days only."""
    declared = {
        name: value
        for name, value in config.as_dict().items()
        if name not in _NOT_LEARNED and not (name in AS_BEFORE and value == AS_BEFORE[name])
    }
    # Of these the order decides nothing.
    declared |= {name: sorted(declared[name]) for name in ("increasing", "decreasing") if name in declared}
    return _hash({"declared": declared, "recipe": RECIPE})


def exact(config: ModelConfig) -> str:
    """sha256 of all that a candidate depends on besides its rows: `config` but for the gate, this code and the libraries."""
    declared = {name: value for name, value in config.as_dict().items() if name not in ("threads", "gate")}
    return _hash({"declared": declared, "code": CODE, "libraries": LIBRARIES | _ALSO})


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def statements(source: str) -> str:
    """A module's statements, without what is only for its readers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _code(modules: Iterable[str]) -> dict[str, str]:
    """Module to its statements."""
    return {
        name: statements(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
        for name in modules
    }


# Read once, with the modules themselves: what a file becomes later is not what this process runs.
CODE = _code(("boosting", "config", "influence", "linear", "model", "parameters", "splits", "training"))
# Of all that decides on a score besides the model's file and the rows.
SCORING = _hash({"code": _code(("coverage", "linear", "model", "scoring")), "libraries": LIBRARIES})
