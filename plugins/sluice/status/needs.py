"""What a derived table still waits for before a run day of it is built: the same as its build refuses to do without.

dbt has to say which sources a table is built from, and that is asked only where one of them is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from sluice.core.errors import SpecInvalidError, TransformFailedError
from sluice.core.partitions import days_later
from sluice.declare import stale_input
from sluice.declare.spec import Pipeline
from sluice.lake.snapshots import Published
from sluice.status.parts import Item

# dbt cannot read its project: the table's own run fails of that, and says so.
_UNREADABLE = (TransformFailedError, SpecInvalidError)


@dataclass
class Needs:
    """Of one pipeline, as it is published now."""

    spec: Pipeline
    # Table -> day of data -> what readers see.
    shown: Mapping[str, Mapping[str, Published]]
    # Table and day of what a person gave up.
    skipped: Container[tuple[str, str]] = ()
    # Derived table -> the tables that it is built from, and those of which a day makes a day of it; of what was asked for.
    _read: dict[str, list[str]] = field(default_factory=dict)
    _origins: dict[str, list[str]] = field(default_factory=dict)

    def incomplete(self, table: str, run_day: str, sources: list[Item]) -> str:
        """Which source a run day of a derived table waits for; "" if for none."""
        for item in sources:
            if self.spec.sources[item.table].cadence == "weekly" and item.state in ("awaited", "missing"):
                continue  # a day goes on with the register that is there
            if item.batch_id is None and (why := self._waits_for(table, item)):
                return why
        if not sources:
            return "nothing was delivered"
        there = {item.table for item in sources}
        daily = [name for name, one in self.spec.sources.items() if one.cadence == "daily"]
        # A source that is not expected on the day may have its newest day missing all the same.
        others = (self._waits_for_earlier(table, name, run_day) for name in daily if name not in there)
        return next((why for why in others if why), "") or self._lacks_all_of_one(table, run_day)

    def came(self, table: str, day: str) -> bool:
        """Whether something is published of a day that a derived table is built of, whether or not it was expected."""
        from sluice.transform import stage

        # Only where something came at all, dbt is asked what the table is built of.
        if not any(day in shown for shown in self.shown.values()):
            return False
        origins = self._ask(self._origins, table, stage.origins)
        return any(day in self.shown.get(name, {}) for name in origins)

    def history(self, table: str, run_day: str) -> str:
        """Which history a table that refuses to be built over a hole waits for; "" if for none."""
        from sluice.transform import stage

        if self.spec.missing_history_of(table).missing != "refuse":
            return ""
        try:
            lacking = stage.history_lacking(self.spec, table, [self.spec.data_day(table, run_day)])
        except _UNREADABLE:
            return ""
        return f"it is not built without {'; '.join(each.named for each in lacking)}" if lacking else ""

    def _waits_for_earlier(self, table: str, source: str, run_day: str) -> str:
        """Why a day of a derived table waits for an earlier day of a source that has none on it; "" if it does not."""
        from sluice.transform import stage

        if source not in self._tables_of(table):
            return ""
        expected, newest = stage.newest_expected(self.spec, source, run_day)
        given_up = (source, expected) in self.skipped
        goes_on = newest and stale_input.goes_on_without(self.spec, table, source, given_up=given_up)
        return "" if (newest or "") >= expected or goes_on else f"{source} {expected} is not published"

    def _waits_for(self, table: str, item: Item) -> str:
        """Why a derived table is not built before a source's day is published; "" if it is built without."""
        spec, given_up = self.spec, item.state == "skipped"
        is_late = item.state in ("missing", "held") and stale_input.may_lag(spec, item.table)
        why = f"{item.table} {item.day} is {item.state}"
        if not (given_up or is_late):
            return why
        if item.table not in self._tables_of(table):
            return ""
        if not stale_input.goes_on_without(spec, table, item.table, given_up=given_up):
            return why
        oldest = days_later(item.day, -spec.history_days)
        if any(oldest <= day <= item.day for day in self.shown[item.table]):
            return ""
        return f"{why}, and no earlier day of it is published"

    def _lacks_all_of_one(self, table: str, run_day: str) -> str:
        """Of which table nothing is published that a table looks back on; "" if there is none."""
        from sluice.transform import runner

        day, back = self.spec.data_day(table, run_day), self.spec.history_of(table)
        for name, shown in self.shown.items():
            # What costs most comes last.
            if (
                not any(days_later(day, -offset) in shown for offset in range(back + 1))
                and name in self._tables_of(table)
                and not runner.may_be_empty(self.spec, table, name, day)
            ):
                return f"nothing of {name} is published from {days_later(day, -back)} to {day}"
        return ""

    def _tables_of(self, table: str) -> list[str]:
        from sluice.transform import stage

        return self._ask(self._read, table, stage.reads)

    def _ask(
        self, kept: dict[str, list[str]], table: str, question: Callable[[Pipeline, str], list[str]]
    ) -> list[str]:
        """What dbt's project says of a table, asked once; nothing where it cannot be read."""
        if table not in kept:
            try:
                kept[table] = question(self.spec, table)
            except _UNREADABLE:
                kept[table] = []
        return kept[table]
