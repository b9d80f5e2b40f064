"""The files of a new pipeline as text: its YAML, its suites and its README, from complete answers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import yaml

from sluice.core.markup import template_environment
from sluice.core.partitions import days_between, days_later
from sluice.declare.contracts import NUMERIC, Column
from sluice.scaffold import suite
from sluice.scaffold.measure import Measured
from sluice.scaffold.sample import Sample

if TYPE_CHECKING:
    from jinja2 import Environment

_GAP = "?"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class SourceAnswers:
    """What was answered about a source."""

    sample: Sample
    measured: Measured
    # The column that says of which day a row is; None where a file is as a whole of the day that it is landed for.
    day_column: str | None
    # The first and the last day that the sample is about (YYYY-MM-DD).
    day: str
    last_day: str
    key: tuple[str, ...]
    cadence: str
    lag_days: int

    @property
    def run_day(self) -> str:
        return days_later(self.day, self.lag_days)

    @property
    def last_run_day(self) -> str:
        return days_later(self.last_day, self.lag_days)


@dataclass(frozen=True)
class Answers:
    """What was answered about a pipeline."""

    name: str
    owner: str
    mails: tuple[str, ...]
    zone: str
    clock: str
    starts: date
    sources: tuple[SourceAnswers, ...]


def suites(answers: Answers) -> dict[str, str]:
    """Name of the file of each suite -> its text."""
    return {
        f"{one.sample.source}.json": suite.text(
            answers.name, one.sample, answers.owner, one.key, one.day_column, answers.zone, one.measured
        )
        for one in answers.sources
    }


def pipeline(answers: Answers) -> str:
    """The YAML of the pipeline."""
    return _environment().get_template("pipeline.yml.j2").render(**_values(answers))


def readme(answers: Answers) -> str:
    """The README of the pipeline: the next commands, and what a person has to review."""
    gaps = pipeline(answers).count(f'"{_GAP}"') - 1  # but for the line that says what one is
    run_day = max(one.run_day for one in answers.sources)
    # The last day that each source with days has rows of.
    last = min((one.last_run_day for one in answers.sources if one.day_column), default=run_day)
    runs = {"run_day": run_day, "last_run_day": max(last, run_day)}
    return _environment().get_template("README.md.j2").render(**_values(answers), **runs, gaps=gaps)


def _values(answers: Answers) -> dict[str, Any]:
    return {
        **vars(answers),
        "absent": _absent(answers),
        "title": answers.name.replace("_", " ").capitalize(),
        "files": [one.sample.path.name for one in answers.sources],
        "sources": [_source(one) for one in answers.sources],
    }


def _absent(answers: Answers) -> str:
    """Days between the first and the last of a sample of which it has no rows: the first of them, and how many there are; "" if none."""
    found = sorted(
        {
            day
            for one in answers.sources
            if one.day_column
            for day in days_between(one.day, one.last_day)
            if day not in one.measured.days[one.day_column]
        }
    )
    return (
        f"{', '.join(found[:3])}{f' and {len(found) - 3} more days' if len(found) > 3 else ''}"
        if found
        else ""
    )


def _source(one: SourceAnswers) -> dict[str, Any]:
    contract = one.sample.contract
    reading = {
        name: value
        for name, value in (
            ("delimiter", contract.reading.delimiter if contract.reading.delimiter != "," else None),
            ("naive_timestamps", contract.reading.naive_timestamps),
        )
        if value
    }
    return {
        **vars(one),
        "name": one.sample.source,
        "format": one.sample.format,
        "path": shlex.quote(str(one.sample.path.resolve())),
        "rows": f"{one.measured.rows:,}",
        "reading": reading,
        "columns": {
            name: _column(column, one.measured.values.get(name, ()), in_key=name in one.key)
            for name, column in contract.columns.items()
        },
    }


def _column(column: Column, values: Sequence[str], *, in_key: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"type": column.type}
    if column.nullable:
        said["nullable"] = True
    if column.nulls:
        said["nulls"] = list(column.nulls)
    # A number that names a thing has no unit.
    if column.type in NUMERIC and not in_key:
        said["unit"] = _GAP
    if values:
        said["values"] = list(values)
    return said


def _environment() -> Environment:
    environment = template_environment("sluice.scaffold", autoescape=False, keep_trailing_newline=True)
    environment.filters |= {"scalar": _scalar, "flow": _flow}
    return environment


def _scalar(text: str) -> str:
    """A text as YAML has it: plain where it is a word that YAML takes for one."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9).strip()


def _flow(value: Any) -> str:
    """A list or a mapping on one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(str(key))}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)
