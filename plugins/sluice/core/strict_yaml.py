"""YAML files read strictly, and their problems in words that name the place and the keys that exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
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


class KeysWrong(ValueError):
    """What a validator of ours found under keys below the one that it is of.

    Args:
        found: (key, what is wrong with it), such as ("slices.columns", "'orign' is no categorical feature").
    """

    def __init__(self, found: Iterable[tuple[str, str]]) -> None:
        self.found = list(found)
        super().__init__("; ".join(f"{key}: {said}" for key, said in self.found))


def no_such(name: str, what: str, known: Iterable[str]) -> str:
    """Say that a name is no such thing, which there are, and which is meant.

    Args:
        what: such as "source".
    """
    names = list(dict.fromkeys(known))
    return f"{name!r} is no {what} (allowed: {', '.join(names) or 'none'}){_meant(name, names)}"


def problems(
    error: ValidationError, model: type[BaseModel], whole: str = "the file", *, quotes: bool = False
) -> list[str]:
    """Describe what pydantic found, one problem for each key, with the keys that exist where one was mistyped.

    Args:
        model: the schema.
        whole: what to call that which the schema is of, where the problem is about all of it.
        quotes: whether the values that are wrong may be shown.
    """
    wanted: dict[str, list[str]] = {}
    given: dict[str, Any] = {}
    found: dict[str, list[str]] = {}
    for problem in error.errors():
        key, annotation = _place(model, problem)
        told = _told(problem, key, annotation)
        if isinstance(told, KeysWrong):
            for below, said in told.found:
                found.setdefault(f"{key}.{below}".lstrip("."), []).append(said)
        elif told.startswith(_WANTED):
            wanted.setdefault(key, []).append(told.removeprefix(_WANTED))
            given[key] = problem["input"]
            found.setdefault(key, [])
            if type(None) in _members(annotation) and "null" not in wanted[key]:
                wanted[key].append("null")
        else:
            found.setdefault(key, []).append(told)
    for key, phrases in wanted.items():
        # Null is always the last.
        ordered = [
            *(each for each in dict.fromkeys(phrases) if each != "null"),
            *(["null"] * ("null" in phrases)),
        ]
        value = f", not {_in_yaml(given[key])}" if quotes else ""
        found[key].append(f"must be {' or '.join(ordered)}{value}")
    return [f"{key or whole}: {said}" for key, each in found.items() for said in each]


def in_a_line(found: Iterable[str]) -> str:
    """Problems one after another, and a full stop where the last is no question."""
    said = "; ".join(found)
    return said if said.endswith("?") else f"{said}."


def sentence(problem: Mapping[str, Any]) -> str:
    """What pydantic says of one problem, without its name for an error that a validator of ours raised."""
    return str(problem["msg"]).removeprefix("Value error, ")


# How pydantic begins what says only which values it takes.
_WANTED = "Input should be "
# Its kinds of errors, in the words of whoever writes YAML.
_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text"}


def _told(problem: Mapping[str, Any], key: str, annotation: Any) -> str | KeysWrong:
    kind = problem["type"]
    if isinstance(raised := problem.get("ctx", {}).get("error"), KeysWrong):
        return raised
    if kind == "extra_forbidden":
        allowed = [name for each in _schemas(annotation) for name in _fields(each)]
        return f"unknown key (allowed: {', '.join(allowed)}){_meant(str(problem['loc'][-1]), allowed)}"
    if kind == "string_too_short":
        return "must not be empty"
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return _WANTED + _mapping(key, annotation, problem["input"])
    if kind in {"tuple_type", "list_type"}:
        one = problem["input"]
        return f"{_WANTED}a list{f', such as [{one}]' if isinstance(one, str) and one else ''}"
    base, _, why = kind.partition("_")
    if base in _TYPES and why in {"type", "parsing", "from_float"}:
        return _WANTED + _TYPES[base]
    return sentence(problem)


def _mapping(key: str, annotation: Any, given: Any) -> str:
    """What a mapping in a place looks like; a single value is put under the only key that there is."""
    names = [name for each in _schemas(annotation) for name in _fields(each)]
    if not names:
        return "a mapping"
    value = _in_yaml(given) if len(names) == 1 and isinstance(given, (bool, int, float, str)) else "…"
    keys = f" (keys: {', '.join(names)})" if len(names) > 1 else ""
    return f"a mapping, such as `{key.rpartition('.')[2]}: {{{names[0]}: {value}}}`{keys}"


def _in_yaml(value: Any) -> str:
    """A value as one would write it; of a list or a mapping only that it is one."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple | dict):
        return "a mapping" if isinstance(value, dict) else "a list"
    return repr(value) if isinstance(value, str) else str(value)


def _meant(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _place(model: type[BaseModel], problem: Mapping[str, Any]) -> tuple[str, Any]:
    """The key of a problem as the file has it, and the type that its value (or the mapping with an unknown key) should have."""
    *way, last = problem["loc"] or (None,)
    unknown = problem["type"] == "extra_forbidden"
    shown: list[str] = []
    at: Any = model
    for part in problem["loc"] if not unknown else way:
        name, at = _step(at, part)
        shown += name
    return ".".join([*shown, str(last)] if unknown else shown), at


def _step(at: Any, part: Any) -> tuple[list[str], Any]:
    """The name of a step into a type, if the file has one, and the type that is there."""
    members = [each for each in _members(at) if each is not type(None)]
    for member in members:
        if isinstance(member, type) and issubclass(member, BaseModel) and part in _fields(member):
            return [str(part)], _fields(member)[part].annotation
        kinds = get_args(member)
        if get_origin(member) is dict:
            # YAML's booleans are counted by pydantic.
            key = str(bool(part)).lower() if kinds[0] is bool and isinstance(part, int) else str(part)
            return ([], kinds[0]) if part == "[key]" else ([key], kinds[1])
        if get_origin(member) in {list, tuple} and isinstance(part, int):
            return [str(part)], kinds[0] if len(kinds) < 2 or kinds[1] is ... else kinds[
                min(part, len(kinds) - 1)
            ]
    # Of several types, pydantic names the one that it tried.
    return ([], at) if len(members) > 1 else ([str(part)], None)


def _members(annotation: Any) -> list[Any]:
    """The types of which a value may be."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        return [each for one in get_args(annotation) for each in _members(one)]
    return [annotation]


def _schemas(annotation: Any) -> list[type[BaseModel]]:
    return [each for each in _members(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]


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
