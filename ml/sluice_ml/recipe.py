"""What a model is made by, apart from the rows: one digest, so that a change of recipe is told from newer days.

It holds the declared features, parameters and windows, the modules that training runs (without their comments and
docstrings), and the libraries. Two models of one digest differ in their days only.
"""

from __future__ import annotations

import ast
import hashlib
import json
from importlib import import_module
from importlib.metadata import version
from inspect import getsource

from sluice_ml.config import ModelConfig

LIBRARIES = ("xgboost", "scikit-learn", "numpy", "pyarrow")

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
    content = {
        "declared": declared,
        "code": {name: _code(name) for name in _MODULES},
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _code(module: str) -> str:
    """A module's statements, without what is only for its readers."""
    tree = ast.parse(getsource(import_module(f"sluice_ml.{module}")))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
