"""Damage: types and columns."""

from __future__ import annotations

from sluice_lab.mutation.draft import Draft
from sluice_lab.mutation.mutators.registry import mutator

_NUMBERS = ("integer", "number")


@mutator("types", harmless=True)
def numbers_as_text(draft: Draft) -> str:
    """Numbers are delivered as text; in JSON and Parquet that is another type."""
    name = draft.column(*_NUMBERS)
    draft.change(name, range(draft.size), str)
    return f"{name} is text"


@mutator("types", harmless=True)
def whole_numbers_with_a_point(draft: Draft) -> str:
    """Whole numbers are written with a decimal point."""
    name = draft.column("integer")
    draft.change(name, range(draft.size), lambda v: f"{v}.0")
    return f"{name} is written like 12.0"


@mutator("types")
def words_for_numbers(draft: Draft) -> str:
    """A share of a numeric column holds words."""
    name, rows = draft.column(*_NUMBERS), draft.some(0.002, 0.3)
    word = draft.rng.choice(("unknown", "n/a", "--", "1,234", "12 min", "0x1F"))
    draft.change(name, rows, lambda _: word)
    return f"{name} is {word!r} in {len(rows)} rows"


@mutator("types")
def booleans_for_numbers(draft: Draft) -> str:
    """A numeric column says true or false."""
    name = draft.column(*_NUMBERS)
    draft.change(name, range(draft.size), lambda v: str(v > 0).lower())
    return f"{name} is true or false"


@mutator("types")
def decimal_comma(draft: Draft) -> str:
    """Numbers are written with a decimal comma, as text in quotes."""
    name = draft.column("number")
    draft.change(name, range(draft.size), lambda v: str(v).replace(".", ","))
    return f"{name} has a decimal comma"


@mutator("columns")
def renamed_column(draft: Draft) -> str:
    """A column has another name."""
    name = draft.rng.choice(list(draft.columns))
    draft.names[name] = draft.rng.choice((name.upper(), f"{name}_", name.replace("_", "") + "x", "value"))
    return f"{name} is called {draft.names[name]}"


@mutator("columns")
def missing_column(draft: Draft) -> str:
    """A column is not there."""
    name = draft.rng.choice(list(draft.columns))
    del draft.columns[name]
    return f"{name} is missing"


@mutator("columns")
def exchanged_names(draft: Draft) -> str:
    """The names of two columns in the header are exchanged."""
    one, other = draft.rng.sample(list(draft.columns), 2)
    draft.names = {one: other, other: one}
    return f"{one} and {other} have each other's name"


@mutator("columns", harmless=True)
def columns_in_another_order(draft: Draft) -> str:
    """The columns come in another order, each under its name."""
    names = list(draft.columns)
    draft.rng.shuffle(names)
    draft.columns = {name: draft.columns[name] for name in names}
    return "the columns are shuffled"


@mutator("columns", harmless=True)
def extra_column(draft: Draft) -> str:
    """There is a column that nobody declared."""
    draft.columns["remark"] = [draft.rng.choice(("ok", "late", "")) for _ in range(draft.size)]
    return "there is a column remark"
