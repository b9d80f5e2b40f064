"""Damage: rows that are missing, too many, or of another day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sluice_lab.mutation.draft import Draft, NotApplicableError
from sluice_lab.mutation.mutators.registry import DAILY, FLIGHTS, mutator


@mutator("missing rows")
def head_is_missing(draft: Draft) -> str:
    """The first rows of the file are missing."""
    return _cut(draft, range(round(draft.rng.uniform(0.05, 0.8) * draft.size), draft.size), "first")


@mutator("missing rows")
def tail_is_missing(draft: Draft) -> str:
    """The last rows of the file are missing, and the manifest agrees."""
    return _cut(draft, range(draft.size - round(draft.rng.uniform(0.05, 0.8) * draft.size)), "last")


@mutator("missing rows")
def random_rows_are_missing(draft: Draft) -> str:
    """A random share of the rows is missing."""
    gone = set(draft.some(0.05, 0.8))
    return _cut(draft, [i for i in range(draft.size) if i not in gone], "random")


@mutator("missing rows")
def a_group_is_missing(draft: Draft) -> str:
    """All rows of one carrier, origin or maker are missing."""
    by, value, rows = draft.group()
    gone = set(rows)
    _cut(draft, [i for i in range(draft.size) if i not in gone], "group")
    return f"no rows where {by} is {value}"


@mutator("missing rows", sources=DAILY)
def hours_are_missing(draft: Draft) -> str:
    """All rows of some hours of the day are missing."""
    hour, length = draft.rng.randrange(6, 20), draft.rng.randint(2, 8)
    column = {"schedule": "sched_dep_time", "arrivals": "dep_time", "weather": "observed_at"}[draft.source]

    def of(value: Any) -> int:
        return -1 if value is None else value.hour if column == "observed_at" else value // 100

    kept = [i for i, value in enumerate(draft.columns[column]) if not hour <= of(value) < hour + length]
    _cut(draft, kept, "hours")
    return f"no rows from {hour}:00 to {hour + length}:00 by {column}"


@mutator("duplicates", harmless=True)
def exact_duplicates(draft: Draft) -> str:
    """Some rows are there twice, alike in every column."""
    rows = draft.some(0.05, 1.0)
    draft.keep([*range(draft.size), *rows])
    return f"{len(rows)} rows are there twice"


@mutator("duplicates")
def near_duplicates(draft: Draft) -> str:
    """Some rows are there twice with the same key and other values."""
    rows = draft.some(0.05, 0.5)
    name = draft.column("integer", "number", "string")
    values = [value for value in draft.columns[name] if value is not None]
    others = [row | {name: draft.rng.choice(values)} for row in map(draft.row, rows)]
    draft.add(others)
    return f"{len(rows)} rows are there twice, with another {name}"


@mutator("duplicates")
def keys_collide(draft: Draft) -> str:
    """A share of the rows has the key of another row."""
    rows = draft.some(0.05, 0.5)
    for i in rows:
        other = draft.rng.randrange(draft.size)
        for name in draft.declared.key:
            draft.columns[name][i] = draft.columns[name][other]
    return f"{len(rows)} rows have the key of another row"


@mutator("foreign rows", sources=DAILY)
def rows_of_another_day(draft: Draft) -> str:
    """Rows of an earlier day are appended as they are."""
    rows, days = _earlier(draft)
    draft.add(rows)
    return f"{len(rows)} rows of {days} days before are appended"


@mutator("foreign rows", sources=DAILY)
def rows_of_another_day_redated(draft: Draft) -> str:
    """Rows of an earlier day are appended with the dates of this one."""
    rows, days = _earlier(draft)
    draft.add([_redated(row, days) for row in rows])
    return f"{len(rows)} rows of {days} days before are appended with today's date"


@mutator("staleness", sources=DAILY)
def an_earlier_file(draft: Draft) -> str:
    """The file of an earlier day is delivered again, as it was."""
    days = draft.rng.choice((1, 1, 2, 7))
    draft.columns = draft.other(draft.day - timedelta(days=days)).to_pydict()
    return f"the file of {days} days before"


@mutator("staleness", sources=DAILY)
def an_earlier_file_redated(draft: Draft) -> str:
    """The content of an earlier day is delivered with the dates of this one."""
    days = draft.rng.choice((1, 1, 2, 7, 28))
    rows = draft.other(draft.day - timedelta(days=days)).to_pylist()
    if not rows:
        raise NotApplicableError
    redated = [_redated(row, days) for row in rows]
    draft.columns = {name: [row[name] for row in redated] for name in draft.columns}
    return f"the rows of {days} days before with today's dates"


@mutator("staleness", sources=DAILY)
def partly_stale(draft: Draft) -> str:
    """A share of the rows, or one group, still has the values of an earlier day."""
    days = draft.rng.choice((1, 2, 7))
    found, where = draft.rows()
    key = draft.declared.key
    before = {
        tuple(row[name] for name in key): row
        for row in (_redated(row, days) for row in draft.other(draft.day - timedelta(days=days)).to_pylist())
    }
    for i in found:
        old = before.get(tuple(draft.columns[name][i] for name in key))
        for name in draft.columns if old else ():
            draft.columns[name][i] = old[name]  # type: ignore[index]
    return f"values of {days} days before {where}"


@mutator("ordering", harmless=True)
def rows_in_another_order(draft: Draft) -> str:
    """The rows come in another order."""
    order = list(range(draft.size))
    draft.rng.shuffle(order)
    draft.keep(order)
    return "the rows are shuffled"


@mutator("foreign rows", sources=FLIGHTS)
def made_up_rows(draft: Draft) -> str:
    """Flights that nobody flew are added: values of other rows, and a flight number of their own."""
    rows = []
    for _ in range(max(1, round(draft.rng.uniform(0.05, 0.4) * draft.size))):
        row = {name: draft.rng.choice(values) for name, values in draft.columns.items()}
        rows.append(row | {"flight": draft.rng.randrange(1, 6500)})
    draft.add(rows)
    return f"{len(rows)} made-up flights are added"


def _cut(draft: Draft, kept: Any, which: str) -> str:
    before = draft.size
    draft.keep(list(kept))
    if draft.size == before:
        raise NotApplicableError
    return f"{(before - draft.size) / before:.0%} of the rows are missing ({which})"


def _earlier(draft: Draft) -> tuple[list[dict[str, Any]], int]:
    days = draft.rng.choice((1, 2, 7))
    rows = draft.other(draft.day - timedelta(days=days)).to_pylist()
    if not rows:
        raise NotApplicableError
    return draft.rng.sample(rows, max(1, round(draft.rng.uniform(0.05, 1.0) * len(rows)))), days


def _redated(row: dict[str, Any], days: int) -> dict[str, Any]:
    moved = {name: row[name] + timedelta(days=days) for name in ("flight_date", "observed_at") if name in row}
    return row | moved
