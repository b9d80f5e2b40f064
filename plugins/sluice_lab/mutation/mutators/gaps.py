"""Damage: values that are not there."""

from __future__ import annotations

from sluice_lab.mutation.draft import Draft, NotApplicableError
from sluice_lab.mutation.mutators.registry import DAILY, mutator

_ANY = ("string", "integer", "number", "boolean", "date", "timestamp")


def _nullable(draft: Draft) -> str:
    found = [name for name in draft.of_type(*_ANY) if draft.declared.contract.columns[name].nullable]
    return draft.rng.choice(draft.require(found))


@mutator("nulls")
def nulls_at_a_rate(draft: Draft) -> str:
    """A random share of one column is null."""
    name, rows = draft.column(*_ANY), draft.some()
    draft.change(name, rows, lambda _: None)
    return f"{name} is null in {len(rows) / draft.size:.0%} of the rows"


@mutator("nulls")
def nulls_where_they_may_be(draft: Draft) -> str:
    """A random share of a nullable column is null, so that the contract allows it."""
    name, rows = _nullable(draft), draft.some()
    draft.change(name, rows, lambda _: None)
    return f"{name} is null in {len(rows) / draft.size:.0%} of the rows"


@mutator("nulls")
def nulls_of_one_group(draft: Draft) -> str:
    """A nullable column is null for one carrier, origin or maker."""
    name = _nullable(draft)
    by, value, rows = draft.group()
    draft.change(name, rows, lambda _: None)
    return f"{name} is null where {by} is {value}"


@mutator("nulls")
def nulls_in_a_block(draft: Draft) -> str:
    """A nullable column is null in consecutive rows, as where a sensor or a connection is down."""
    name = _nullable(draft)
    length = max(1, round(draft.rng.uniform(0.1, 0.6) * draft.size))
    start = draft.rng.randrange(draft.size - length + 1)
    draft.change(name, range(start, start + length), lambda _: None)
    return f"{name} is null in rows {start + 1} to {start + length}"


@mutator("nulls", sources=("arrivals",))
def flights_reported_cancelled(draft: Draft) -> str:
    """Flights of one carrier or origin are reported as cancelled: nothing of them is known."""
    by, value, rows = draft.group()
    for name in ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"):
        draft.change(name, rows, lambda _: None)
    return f"no times where {by} is {value}"


@mutator("nulls", sources=DAILY)
def words_for_null(draft: Draft) -> str:
    """Null is written as a word or a code that the contract does not know."""
    names = [name for name in draft.columns if None in draft.columns[name]]
    if not names:
        raise NotApplicableError
    name, word = draft.rng.choice(names), draft.rng.choice(("NULL", "None", "-", "#N/A", "nan"))
    values = draft.columns[name]
    draft.columns[name] = [word if value is None else value for value in values]
    return f"{name} says {word!r} where it was null"
