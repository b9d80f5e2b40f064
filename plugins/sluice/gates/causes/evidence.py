"""A held batch beside its past: each row with the newest earlier rows of the same entity, and counts of rows and values.

An entity is what the key names without its days: the flight of a plan, the aircraft of a register, the station and hour
of a reading. All of it is asked of the views `batch` and `history` that the rules were asked of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Any

from sluice.core.sql import quoted

if TYPE_CHECKING:
    import duckdb
    import numpy as np

    from sluice.declare.contracts import Column

# Days with rows that entities are looked for on first: a week, and the same weekday.
RECENT_DAYS = 8
# Rows whose values are compared one by one; of a larger batch a sample.
COMPARED_ROWS = 20_000
# The units of a column of clock readings, and of one that moves a clock.
CLOCK, MINUTES = "HHMM", "minutes"
_NEWEST = "(from history where ds = (select max(ds) from history))"
_EARLIER = "(from history where ds < (select max(ds) from history))"


class Evidence:
    """What detectors ask of a batch and its history."""

    def __init__(
        self, con: duckdb.DuckDBPyConnection, columns: Mapping[str, Column], key: Sequence[str]
    ) -> None:
        self._con, self.columns, self.key = con, list(columns), list(key)
        of = lambda *types: [name for name, one in columns.items() if one.type in types]  # noqa: E731
        self.numbers, self.texts = of("integer", "number"), of("string")
        self.dates, self.instants = of("date", "timestamp"), of("timestamp")
        self.measured = [name for name in columns if name not in key]
        self.types = {name: one.type for name, one in columns.items()}
        self.units = {name: one.unit for name, one in columns.items()}
        self.clocks, self.minutes = (
            [name for name in self.numbers if name not in key and columns[name].unit == unit]
            for unit in (CLOCK, MINUTES)
        )
        # The columns that name an entity, and what of them does: the time of day of an instant, nothing of a date.
        self.named_by = [name for name in key if columns[name].type != "date"]
        self._entity = [
            f"cast(cast({quoted(name)} as timestamp) as time)" if name in self.instants else quoted(name)
            for name in self.named_by
        ]
        con.execute(
            "create or replace temp view recent as from history where ds in "
            f"(select distinct ds from history order by ds desc limit {RECENT_DAYS})"
        )
        self.rows, self._days = self.all("select count(*), count(distinct ds) from batch")[0]
        self.recent_days = self.one("select count(distinct ds) from recent")

    def all(self, query: str) -> list[tuple[Any, ...]]:
        return self._con.execute(query).fetchall()

    def one(self, query: str) -> Any:
        """The first value that a query gives; 0 where that is null."""
        return self.all(query)[0][0] or 0

    @cached_property
    def fullness(self) -> float:
        """Rows of a day as a share of those of an earlier day: of the same weekday, where there are two of them or more."""
        days = self.all("select dayofweek(ds), count(*) from history group by ds")
        weekday = self.one("select dayofweek(min(ds)) from batch")
        same = [rows for day, rows in days if day == weekday and self._days == 1]
        usual = median(same if len(same) > 1 else [rows for _, rows in days])
        return self.rows / self._days / usual

    @cached_property
    def is_constant(self) -> bool:
        """Whether all earlier days have about as many rows, as those of a register."""
        least, most = self.all(
            "select min(rows), max(rows) from (select count(*) as rows from history group by ds)"
        )[0]
        return least > 0.99 * most

    @cached_property
    def extra_rows(self) -> float:
        """Share of the rows whose key another row has too, but for one of them."""
        key = ", ".join(map(quoted, self.key))
        return 1 - self.one(f"select count(*) from (select distinct ds, {key} from batch)") / self.rows

    @property
    def _alike(self) -> str:
        return f"hash({', '.join(quoted(one) for one in self.columns if one not in self.dates)})"

    @cached_property
    def repeated(self) -> tuple[Any, float, int]:
        """The earlier day with most of the rows, alike but for their dates; the share of the rows; and the rows of that day."""
        found = self.all(
            f"with now as (select {self._alike} as row from batch), past as (select distinct ds, {self._alike} as row from recent) "
            "select past.ds, count(*) as found, (select count(*) from recent where recent.ds = past.ds) "
            "from now join past using (row) group by all order by found desc, past.ds desc limit 1"
        )
        return (found[0][0], found[0][1] / self.rows, found[0][2]) if found else (None, 0.0, 0)

    @cached_property
    def usually_repeated(self) -> float:
        """The largest share of the newest earlier day's rows that are alike on another one."""
        return self.one(
            f"with past as (select distinct ds, {self._alike} as row from recent), newest as (from past where ds = (select max(ds) from past)), "
            "found as (select past.ds, count(*) as rows from newest join past on newest.row = past.row and newest.ds <> past.ds group by all) "
            "select max(rows) / (select count(*) from newest) from found"
        )

    @cached_property
    def unknown(self) -> tuple[float, float]:
        """Share of the rows whose entity no earlier day has, and that of the newest earlier day."""
        if not self._entity:
            return 0.0, 0.0
        same = ", ".join(self._entity)
        share = lambda rows, past: self.one(  # noqa: E731
            f"select avg(cast(({same}) not in (select ({same}) from {past}) as int)) from {rows}"
        )
        return share("batch", "history"), share(_NEWEST, _EARLIER)

    def known_as(self, entity: Sequence[str], written: Sequence[str]) -> float:
        """Of the rows with an unknown entity, the share that history has where some of its columns are taken from others."""
        same, named, taken = (", ".join(one) for one in (self._entity, entity, written))
        return self.one(
            f"select avg(cast(({taken}) in (select ({named}) from history) as int)) from batch "
            f"where ({same}) not in (select ({same}) from history)"
        )

    @cached_property
    def unknown_by(self) -> tuple[str, float]:
        """The column of the key without which most of the rows with an unknown entity would be known, and their share."""
        found = []
        for number, name in enumerate(self.named_by):
            if others := self._entity[:number] + self._entity[number + 1 :]:
                found.append((name, self.known_as(others, others)))
        return max(found, key=lambda one: one[1], default=("", 0.0))

    @cached_property
    def exchanged(self) -> tuple[str, str, float]:
        """Two columns, one of them of the key, that exchanged make most of the rows with an unknown entity known."""
        found = []
        for name in self.named_by:
            for other in self.columns:
                if other != name and self.types[other] == self.types[name]:
                    turn = {name: other, other: name}
                    written = [
                        quoted(turn.get(one, one)) if one in turn else was
                        for one, was in zip(self.named_by, self._entity, strict=True)
                    ]
                    found.append((name, other, self.known_as(self._entity, written)))
        return max(found, key=lambda one: one[2], default=("", "", 0.0))

    @cached_property
    def new_values(self) -> dict[str, float]:
        """Of each text column the share of rows with a value that no earlier day has, beyond that of the newest earlier day."""
        share = lambda name, rows, past: self.one(  # noqa: E731
            f"select avg(cast({name} not in (select {name} from {past} where {name} is not null) as int)) from {rows} "
            f"where {name} is not null"
        )
        return {
            # What a column that is filled for the first time has is new, and no other spelling.
            name: share(quoted(name), "batch", "history") - share(quoted(name), _NEWEST, _EARLIER)
            if self.one(f"select count({quoted(name)}) from history")
            else 0.0
            for name in self.texts
        }

    @cached_property
    def null_shares(self) -> dict[str, tuple[float, float]]:
        """Of each column the share of rows without a value, and the most on nine of ten earlier days."""
        missing = {name: f"avg(cast({quoted(name)} is null as int))" for name in self.columns}
        return {
            name: (
                self.one(f"select {share} from batch"),
                self.one(
                    f"select quantile_cont(share, 0.9) from (select {share} as share from history group by ds)"
                ),
            )
            for name, share in missing.items()
        }

    def is_one_value(self, name: str) -> bool:
        """Whether a column has one value only, and had more on each earlier day."""
        values = f"count(distinct {quoted(name)})"
        now = self.one(f"select {values} from batch")
        return (
            now == 1 < self.one(f"select min(found) from (select {values} as found from recent group by ds)")
        )

    @cached_property
    def pairs(self) -> Mapping[str, np.ndarray]:
        """Values of rows that have a past: `name` now, `was name` on the newest earlier day, `before name` on the one before it."""
        if not self._entity:
            return {}
        entity = f"[{', '.join(f'cast({one} as varchar)' for one in self._entity)}]"
        shown = [name for name in self.columns if name not in self.dates]
        of = lambda side, lead: ", ".join(  # noqa: E731
            f"{side}.{quoted(name)} as {quoted(lead + name)}" for name in shown
        )
        return self._con.execute(
            # Names with blanks, which no contract has.
            f'with past as (select *, {entity} as "the entity", row_number() over (partition by {entity} order by ds desc) as "the nth" '
            f'from recent), now as (select *, {entity} as "the entity" from batch) '
            f"select {of('now', '')}, {of('was', 'was ')}, {of('older', 'before ')} from now "
            'join past as was on was."the entity" = now."the entity" and was."the nth" = 1 '
            'left join past as older on older."the entity" = now."the entity" and older."the nth" = 2 '
            f'order by hash(now."the entity"), now limit {COMPARED_ROWS}'
        ).fetchnumpy()

    def peers(self, view: str, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Values of a column, and beside each the mean of the others of the same time; None where keys name no time."""
        at = ", ".join(quoted(one) for one in self.key if one in self.instants)
        if not at:
            return None
        column, key = quoted(name), ", ".join(map(quoted, self.key))
        found = self._con.execute(
            f"select {column} as now, (sum({column}) over same - {column}) / nullif(count({column}) over same - 1, 0) as others "
            f"from {view} window same as (partition by {at}) order by hash({key}), {column} limit {COMPARED_ROWS}"
        ).fetchnumpy()
        return found["now"], found["others"]
