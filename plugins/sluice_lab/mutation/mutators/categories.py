"""Damage: codes, names and references."""

from __future__ import annotations

import string
from typing import Any

from sluice_lab.mutation.draft import Draft
from sluice_lab.mutation.mutators.registry import FLIGHTS, mutator

# Text columns that are codes or references, by source.
_CODES = {
    "schedule": ("carrier", "origin", "dest"),
    "arrivals": ("carrier", "origin", "dest", "tailnum"),
    "weather": ("origin",),
    "planes": ("type", "manufacturer", "engine", "tailnum"),
    "airports": ("faa", "dst", "tzone"),
    "airlines": ("carrier",),
}


def _code(draft: Draft) -> str:
    return draft.rng.choice(_CODES[draft.source])


def _two(draft: Draft, name: str) -> tuple[Any, Any]:
    """Two values of a column, frequent ones mostly."""
    found = [v for v in draft.columns[name] if v is not None]
    one = draft.rng.choice(found)
    others = draft.require([v for v in found if v != one])
    return one, draft.rng.choice(others)


@mutator("categories")
def a_new_code(draft: Draft) -> str:
    """One code is written as one that nobody knows."""
    name = _code(draft)
    old, _ = _two(draft, name)
    new = "".join(draft.rng.choice(string.ascii_uppercase) for _ in old)
    draft.change(name, range(draft.size), lambda v: new if v == old else v)
    return f"{name} {old} is written {new}"


@mutator("categories")
def two_codes_swapped(draft: Draft) -> str:
    """Two codes stand for each other."""
    name = _code(draft)
    one, other = _two(draft, name)
    swap = {one: other, other: one}
    draft.change(name, range(draft.size), lambda v: swap.get(v, v))
    return f"{name} {one} and {other} are swapped"


@mutator("categories")
def codes_merged(draft: Draft) -> str:
    """One code is written as another."""
    name = _code(draft)
    one, other = _two(draft, name)
    draft.change(name, range(draft.size), lambda v: other if v == one else v)
    return f"{name} {one} is written {other}"


@mutator("categories")
def typing_errors(draft: Draft) -> str:
    """A letter of a text is another one, in a share of the rows."""
    name, rows = draft.column("string", key=True), draft.some(0.05, 0.6)

    def mistype(text: str) -> str:
        at = draft.rng.randrange(len(text))
        return text[:at] + draft.rng.choice(string.ascii_uppercase) + text[at + 1 :]

    draft.change(name, rows, lambda v: mistype(v) if v else v)
    return f"{name} has a wrong letter in {len(rows) / draft.size:.0%} of the rows"


@mutator("categories")
def other_spelling(draft: Draft) -> str:
    """Codes have a prefix or a hyphen, or have lost a letter, in a share of the rows: another standard of codes."""
    name = _code(draft)
    rows, where = draft.rows()
    change = draft.rng.choice(
        (lambda v: f"K{v}", lambda v: f"{v[:1]}-{v[1:]}", lambda v: v[1:], lambda v: f"{v}0")
    )
    draft.change(name, rows, change)
    return f"{name} is spelled like {draft.columns[name][rows[0]]!r} {where}"


@mutator("references", sources=FLIGHTS)
def unknown_places(draft: Draft) -> str:
    """Destinations are random codes that no register has."""
    rows = draft.some(0.05, 0.6)
    draft.change("dest", rows, lambda _: "Q" + "".join(draft.rng.choices(string.ascii_uppercase, k=2)))
    return f"dest is unknown in {len(rows) / draft.size:.0%} of the rows"


@mutator("references", sources=("arrivals",))
def unknown_aircraft(draft: Draft) -> str:
    """Aircraft are random registrations that no register has."""
    rows = draft.some(0.05, 0.6)
    draft.change("tailnum", rows, lambda _: f"N{draft.rng.randrange(100, 1000)}ZZ")
    return f"tailnum is unknown in {len(rows) / draft.size:.0%} of the rows"


@mutator("references", sources=FLIGHTS)
def other_flight_numbers(draft: Draft) -> str:
    """Flight numbers are those of another system: offset, or cut to three digits."""
    way = draft.rng.choice(("offset", "cut"))
    by = draft.rng.choice((1, 1000, 5000))
    rows, where = draft.rows()
    draft.change("flight", rows, (lambda v: v + by) if way == "offset" else lambda v: v % 1000)
    return f"flight {'+' + str(by) if way == 'offset' else 'cut to three digits'} {where}"


@mutator("references", sources=("planes", "airports", "airlines"))
def register_mixed_up(draft: Draft) -> str:
    """Keys of a register stand beside the values of other keys, in a share of the rows."""
    (key,) = draft.declared.key
    rows = draft.some(0.06, 1.0)
    values = [draft.columns[key][i] for i in rows]
    draft.rng.shuffle(values)
    for i, value in zip(rows, values, strict=True):
        draft.columns[key][i] = value
    return f"{key} is mixed up in {len(rows) / draft.size:.0%} of the rows"


@mutator("text", harmless=True)
def padded_text(draft: Draft) -> str:
    """Texts have blanks around them."""
    name = draft.column("string", key=True)
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: draft.rng.choice((f" {v}", f"{v} ", f"  {v}  ")))
    return f"{name} is padded {where}"


@mutator("text", harmless=True)
def other_case(draft: Draft) -> str:
    """Texts are in lower case."""
    name = draft.column("string", key=True)
    rows, where = draft.rows()
    draft.change(name, rows, str.lower)
    return f"{name} is in lower case {where}"


@mutator("text")
def text_cut_short(draft: Draft) -> str:
    """Texts are cut to a length, as where a field has become narrower."""
    name, length = draft.column("string", key=True), draft.rng.randint(1, 6)
    before = list(draft.columns[name])
    draft.change(name, range(draft.size), lambda v: v[:length])
    if before == draft.columns[name]:
        draft.require([])
    return f"{name} is cut to {length} characters"
