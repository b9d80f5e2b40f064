"""Faults that a backtest is given, as a file lists them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from sluice.core import strict_yaml
from sluice.core.errors import SpecInvalidError
from sluice.declare.contracts import Strict

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from sluice.declare.spec import Pipeline
    from sluice_ml.faults import Fault


_KINDS = ("ranking", "power", "labels", "missing")


class _Injected(Strict):
    first: date
    last: date
    every: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> _Injected:
        if self.last < self.first:
            raise ValueError(f"{self.first} to {self.last} has no day")
        return self


class _Ranking(_Injected):
    kind: Literal["ranking"]
    size: float = Field(gt=0, lt=0.5)


class _Power(_Injected):
    kind: Literal["power"]
    size: float = Field(gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _changes_something(self) -> _Power:
        if self.size == 1:
            raise ValueError("the first power changes nothing")
        return self


class _Labels(_Injected):
    kind: Literal["labels"]
    size: float = Field(gt=1, allow_inf_nan=False)


class _Missing(_Injected):
    kind: Literal["missing"]
    source: str


class _File(Strict):
    faults: list[Annotated[_Ranking | _Power | _Labels | _Missing, Field(discriminator="kind")]]


def read(path: Path, declared: Pipeline) -> list[Fault]:
    """The faults of a file, in its order.

    Raises:
        SpecInvalidError: it is no list of faults, or one is of a source that `monitoring.pipes` does not have.
    """
    from sluice_ml.faults import Fault

    try:
        listed = _File.model_validate({"faults": strict_yaml.read(path)}).faults
    except ValidationError as error:
        raise _wrong("; ".join(_said(problem) for problem in error.errors()), path) from error
    for place, one in enumerate(listed, 1):
        if isinstance(one, _Missing) and one.source not in declared.monitoring.pipes:
            raise _wrong(
                f"fault {place}, source: {strict_yaml.no_such(one.source, 'source in monitoring.pipes', declared.monitoring.pipes)}",
                path,
            )
    return [Fault(**one.model_dump()) for one in listed]


def _said(problem: ErrorDetails) -> str:
    """One problem, with the place of the fault in the file, from 1."""
    _, *way = problem["loc"] or ("",)
    if not way:
        return "the file: must be a list"
    # The next step is the kind.
    where = ", ".join([f"fault {int(way[0]) + 1}", *(str(part) for part in way[2:])])
    given = problem["input"]
    if problem["type"].startswith("union_tag"):
        kind = given.get("kind", "") if isinstance(given, dict) else ""
        return f"{where}, kind: {strict_yaml.no_such(str(kind), 'kind of fault', _KINDS)}"
    value = "" if isinstance(given, dict) else f", not {given}"
    return f"{where}: {strict_yaml.sentence(problem).replace('Input should be', 'must be')}{value}"


def _wrong(said: str, path: Path) -> SpecInvalidError:
    return SpecInvalidError(
        f"These are no faults for a backtest: {said}.",
        where=str(path),
        allowed="a list of {kind, first, last}, kind being ranking, power or labels with a size, or missing with a source",
        todo="correct the file; docs/models.md has an example",
    )
