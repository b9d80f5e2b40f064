"""What a model is made by, apart from the rows: one digest, so that a change of recipe is told from newer days.

It holds the declared features, parameters and windows, the modules that training runs (without their comments and
docstrings), and the libraries. Two models of one digest differ in their days only.
"""

from __future__ import annotations

import ast
import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from sluice_ml.config import ModelConfig

# Library to version, of those that decide what is learned.
LIBRARIES = {name: version(name) for name in ("xgboost", "scikit-learn", "numpy", "pyarrow")}

# Of these a model's content does not depend: they name it, judge it, or make it faster.
_NOT_LEARNED = {
    "name",
    "resamples",
    "confidence",
    "refresh_margin",
    "comparison_days",
    "segments",
    "segment_min_rows",
    "accepted_findings",
    "threads",
}
_MODULES = ("boosting", "influence", "linear", "model", "parameters", "splits", "training")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest(config: ModelConfig) -> str:
    """sha256 of the recipe that `config` and this code are."""
    declared = {name: value for name, value in config.as_dict().items() if name not in _NOT_LEARNED}
    content = {"declared": declared, "code": CODE, "libraries": LIBRARIES}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def statements(source: str) -> str:
    """A module's statements, without what is only for its readers."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


# Module to its statements; read once, with the modules themselves: what a file becomes later is not what this process runs.
CODE = {
    name: statements(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")) for name in _MODULES
}
