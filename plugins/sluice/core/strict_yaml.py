"""YAML files read strictly, and their problems in words that name the place and the keys that exist."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sluice.core.errors import SpecInvalidError


def read(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        SpecInvalidError: it cannot be read, is not YAML, or gives a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    # PyYAML lets through what Python raises: ValueError for the date 2013-02-30, TypeError for a list as a key.
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SpecInvalidError(
            f"Not valid YAML: {' '.join(str(error).split())}",
            where=str(path),
            todo="correct the file and run `sluice check`",
        ) from error


def explain(problem: Mapping[str, Any], model: type[BaseModel], whole: str = "the file") -> str:
    """Describe one pydantic problem of `model`, with the keys that exist where one was mistyped.

    Args:
        whole: what to call that which the model is of, where the problem is about all of it.
    """
    where = ".".join(str(part) for part in problem["loc"]) or whole
    if problem["type"] != "extra_forbidden":
        return f"{where}: {sentence(problem)}"
    allowed = _fields_at(model, problem["loc"][:-1])
    near = difflib.get_close_matches(str(problem["loc"][-1]), allowed, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{where}: unknown key (allowed: {', '.join(allowed)}){hint}"


def sentence(problem: Mapping[str, Any]) -> str:
    """What pydantic says of one problem, without its name for an error that a validator of ours raised."""
    return str(problem["msg"]).removeprefix("Value error, ")


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the schema at a location such as ("sources", "arrivals")."""
    parts = list(loc)
    while parts:
        annotation = _fields(model)[str(parts.pop(0))].annotation
        inner = [annotation, *get_args(annotation)]
        model = next(
            (each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), model
        )
        if get_origin(annotation) is dict and parts:
            parts.pop(0)  # the name under a mapping
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields of a schema, by the names that they have in the file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node, deep=False):
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
