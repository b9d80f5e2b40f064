"""Ways to damage the published rows of a day, by kind: each draws its columns, rows and size, and gives SQL over the view `day`.

No damage says a value of the rows, which may be personal data: columns, shares and factors only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from sluice.core.sql import literal, quoted
from sluice_lab.mutation.draft import NotApplicableError

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.contracts import Column

# What was done, the columns that it was done to, and the rows as they are then.
Damage = tuple[str, Sequence[str], str]
_SHARES = (0.05, 0.2, 0.5, 1.0)
# Minutes and seconds, percent, metres and kilometres, miles, pounds, feet: what units are mistaken by.
_FACTORS = (60, 1 / 60, 100, 0.01, 1000, 0.001, 1.609, 0.4536, 3.281)
_NUMERIC, _TEXT = ("integer", "number"), ("string",)
# Distinct values up to which a text is one of a few codes.
_FEW = 50


@dataclass(frozen=True)
class Day:
    """The view `day`, and `before`, the day before it, with what the contract says of their columns."""

    con: duckdb.DuckDBPyConnection
    columns: Mapping[str, Column]
    key: Sequence[str]
    rng: Random

    @property
    def numbers(self) -> list[str]:
        return self.of(*_NUMERIC)

    def of(self, *types: str) -> list[str]:
        """Columns of these types that have more than one value on the day."""
        names = [name for name, one in self.columns.items() if not types or one.type in types]
        there = set(self.con.table("day").columns)
        names = [name for name in names if name in there]
        if not names:
            return []
        counted = ", ".join(f"count(distinct {quoted(name)}) > 1" for name in names)
        varies = self.con.execute(f"select {counted} from day").fetchall()[0]
        return [name for name, yes in zip(names, varies, strict=True) if yes]

    def deviation(self, name: str) -> float:
        """A column's standard deviation on the day; 0 where it has none."""
        found = self.con.execute(
            f"select coalesce(stddev_pop({quoted(name)}::double), 0) from day"
        ).fetchall()[0][0]
        return found if math.isfinite(found) else 0.0

    def one(self, names: Sequence[str]) -> str:
        if not names:
            raise NotApplicableError
        return self.rng.choice(names)

    def where(self, least: float = 0.0) -> tuple[str, str]:
        """SQL that is true of a drawn part of the rows, and the part in words."""
        codes = [name for name in self.of(*_TEXT) if self._distinct(name) <= _FEW]
        if codes and not least and self.rng.random() < 0.3:
            name = self.rng.choice(codes)
            return (
                f"{quoted(name)} = (select mode({quoted(name)}) from day)",
                f"those of the commonest {name}",
            )
        share = self.rng.choice([one for one in _SHARES if one >= least])
        if share == 1:
            return "true", "all rows"
        return (
            f"hash({self._key}, {self.rng.randrange(2**31)}) % 1000 < {share * 1000:.0f}",
            f"{share:.0%} of the rows",
        )

    def replaced(self, changed: Mapping[str, str], where: str) -> str:
        """The rows with columns as SQL expressions make them, where they can be of the column's type."""
        types = dict(zip(self.con.table("day").columns, map(str, self.con.table("day").types), strict=True))
        made = ", ".join(
            f"case when {where} then try_cast(({sql}) as {types[name]}) else {quoted(name)} end as {quoted(name)}"
            for name, sql in changed.items()
        )
        return f"select * replace ({made}) from day"

    def shuffled(self, name: str) -> str:
        order = f"hash({self._key}, {self.rng.randrange(2**31)})"
        return (
            f"with a as (select *, row_number() over (order by {self._key}) as _sluice_nth from day), "
            f"b as (select {quoted(name)} as _sluice_other, row_number() over (order by {order}) as _sluice_nth from day) "
            f"select a.* exclude (_sluice_nth) replace (_sluice_other as {quoted(name)}) from a join b using (_sluice_nth)"
        )

    @property
    def _key(self) -> str:
        return ", ".join(map(quoted, self.key))

    def _distinct(self, name: str) -> int:
        return self.con.execute(f"select count(distinct {quoted(name)}) from day").fetchall()[0][0]


def _of_values(types: Sequence[str], draw: Callable[[Day, str], tuple[str, str]]) -> Callable[[Day], Damage]:
    """A damage of one column of these types; `draw` gives the SQL expression of its values and says it."""

    def damage(day: Day) -> Damage:
        name = day.one([one for one in day.of(*types) if one not in day.key] or day.of(*types))
        made, said = draw(day, quoted(name))
        where, part = day.where()
        return f"{name} {said} in {part}", [name], day.replaced({name: made}, where)

    return damage


def _scaled(day: Day, name: str) -> tuple[str, str]:
    factor = day.rng.choice(_FACTORS)
    return f"{name}::double * {factor}", f"is multiplied by {factor:.4g}"


def _moved(day: Day, name: str) -> tuple[str, str]:
    steps = day.rng.choice([-3, -1, -0.5, 0.5, 1, 3])
    return (
        f"{name}::double + {steps} * (select stddev_pop({name}) from day)",
        f"is {steps:+g} standard deviations off",
    )


def _noisy(day: Day, name: str) -> tuple[str, str]:
    seed, width = day.rng.randrange(2**31), day.rng.choice([1, 3])
    noise = f"(hash({name}, {seed}) % 2001 / 1000.0 - 1)"
    return (
        f"{name}::double + {width} * {noise} * (select stddev_pop({name}) from day)",
        f"has noise of {width} standard deviations",
    )


def _rounded(day: Day, name: str) -> tuple[str, str]:
    unit = f"(select nullif(stddev_pop({name}), 0) from day)"
    return f"round({name}::double / {unit}) * {unit}", "is rounded to its standard deviation"


def _coded(day: Day, name: str) -> tuple[str, str]:
    code = day.rng.choice([-1, 0, 999, 9999])
    return str(code), f"is {code}"


def _spelled(day: Day, name: str) -> tuple[str, str]:
    made, said = day.rng.choice(
        [
            (f"lower({name})", "is in lower case"),
            (f"'x' || {name}", "has a letter before it"),
            (f"left({name}, 1)", "is cut after its first letter"),
            (literal("OTHER"), "is one code that there was not"),
            (f"(select max({name}) from day)", "is one of its codes"),
        ]
    )
    return made, said


def _later(day: Day, name: str) -> tuple[str, str]:
    hours = day.rng.choice([-5, -1, 1, 5, 24])
    return f"{name} + interval ({hours}) hour", f"is {hours:+d} hours off"


def _other_day(day: Day, name: str) -> tuple[str, str]:
    days = day.rng.choice([-7, -1, 1])
    return f"{name} + {days}", f"is {days:+d} days off"


def _swapped(day: Day) -> Damage:
    first = day.one([name for name in day.of() if len(day.of(day.columns[name].type)) > 1])
    second = day.one([name for name in day.of(day.columns[first].type) if name != first])
    where, part = day.where()
    both = {first: quoted(second), second: quoted(first)}
    return f"{first} and {second} are swapped in {part}", [first, second], day.replaced(both, where)


def _shuffled(day: Day) -> Damage:
    name = day.one([one for one in day.of() if one not in day.key])
    return f"{name} is shuffled among all rows", [name], day.shuffled(name)


def _missing_rows(day: Day) -> Damage:
    where, part = day.where()
    if where == "true":
        raise NotApplicableError  # no rows: that is no question for rules
    return f"{part} are missing", [], f"select * from day where not coalesce({where}, false)"


def _repeated(day: Day) -> Damage:
    """Rows under the same key that differ in one column: rows that are alike as a whole are stored once."""
    name = day.one([one for one in day.numbers if one not in day.key])
    where, part = day.where()
    copied = day.replaced({name: f"{quoted(name)}::double + 1"}, "true")
    return (
        f"{part} are there twice, with another {name}",
        [],
        f"from day union all by name select * from ({copied}) as day where {where}",
    )


def _of_before(day: Day) -> str:
    if not day.con.execute("select 1 from duckdb_views() where view_name = 'before'").fetchall():
        raise NotApplicableError
    return "select * replace ((select any_value(ds) from day) as ds) from before"


def _stale(day: Day) -> Damage:
    return "the rows are those of the day before, under this day", [], _of_before(day)


def _foreign(day: Day) -> Damage:
    where, part = day.where(0.2)
    return (
        f"of the day before, {part} are there too",
        [],
        f"from day union all by name select * from ({_of_before(day)}) as day where {where}",
    )


def _missing_values(day: Day) -> Damage:
    name = day.one([one for one in day.of() if day.columns[one].nullable])
    where, part = day.where()
    return f"{name} is missing in {part}", [name], day.replaced({name: "null"}, where)


DAMAGES: Mapping[str, Callable[[Day], Damage]] = {
    "missing values": _missing_values,
    "constant": _of_values(
        (),
        lambda day, name: (f"(select mode({name}) from day)", "is its commonest value"),
    ),
    "error code": _of_values(_NUMERIC, _coded),
    "unit": _of_values(_NUMERIC, _scaled),
    "sign": _of_values(_NUMERIC, lambda day, name: (f"-{name}::double", "has the other sign")),
    "offset": _of_values(_NUMERIC, _moved),
    "noise": _of_values(_NUMERIC, _noisy),
    "rounding": _of_values(_NUMERIC, _rounded),
    "category": _of_values(_TEXT, _spelled),
    "time": _of_values(("timestamp",), _later),
    "date": _of_values(("date",), _other_day),
    "flag": _of_values(("boolean",), lambda day, name: (f"not {name}", "is the opposite")),
    "swapped columns": _swapped,
    "shuffled": _shuffled,
    "missing rows": _missing_rows,
    "duplicates": _repeated,
    "stale rows": _stale,
    "another day's rows": _foreign,
}
