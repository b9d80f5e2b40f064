"""How close published days came to the limits of the rules that compare them with history, and how often those would have failed.

The rule kept here: each day is asked what its gate asks, against the days before it, so that a limit rests on what was measured and
not on a guess. It is asked of what readers see: rows that were set aside are not in it, and days on a waiver are left out, as they are of
every comparison. So a rule that holds has no failing day but those of before it was written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from sluice.core.errors import TableMissingError
from sluice.core.settings import settings
from sluice.core.sql import quoted
from sluice.gates import engine, history, history_sql, suites
from sluice.lake import tables

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.spec import Pipeline
    from sluice.gates.expectations import FitsHistory
    from sluice.gates.suites import Rule


@dataclass(frozen=True)
class Measured:
    """One rule over the published days; `found` and `limit` are of the day that came closest, None where none could be compared."""

    rule: str
    severity: str
    days_compared: int
    days_failing: int
    day: str | None
    # The column, the named value or the group that it was; "" of a rule about all rows.
    about: str
    # None also where it was no finite number.
    found: float | None
    limit: float | None
    # Why it could not be asked; "" where it could.
    problem: str = ""

    @property
    def share(self) -> float | None:
        """The part of its limit that was used, 1 and more where the rule fails."""
        return None if self.found is None or not self.limit else self.found / self.limit

    def sentence(self) -> str:
        if self.problem or not self.days_compared:
            return f"{self.rule}: {self.problem or 'nothing was compared'}"
        about = f" ({self.about})" if self.about else ""
        fails = f"fails on {self.days_failing:,}" if self.days_failing else "none fails"
        closest = (
            "no finite number"
            if self.share is None
            else f"{self.share:.0%} of its limit, {self.found:.4g} of {self.limit:.4g}"
        )
        on = f" on {self.day}{about}" if self.day else ""
        return f"{self.rule}: {closest}{on}; {self.days_compared:,} days compared, {fails}"


def measure(spec: Pipeline, table: str) -> Iterator[Measured]:
    """Ask each rule of a table's suite that compares with history, or with another table, about all published days.

    Raises:
        SpecInvalidError: the suite cannot be used.
        TableMissingError: nothing of the table is published without a waiver.
    """
    import duckdb

    from sluice.gates.expectations import FitsHistory

    rules = [rule for rule in suites.load(spec, table).rules if isinstance(rule.expectation, FitsHistory)]
    with opened(spec, table, rules) as con:
        for rule in rules:
            try:
                yield _measured(con, rule, cast("FitsHistory", rule.expectation))
            except duckdb.Error as error:
                # Its message may quote values.
                about = rule.meta.rule, rule.meta.severity
                yield Measured(
                    *about, 0, 0, None, "", None, None, f"cannot be measured: {type(error).__name__}"
                )


@contextmanager
def opened(spec: Pipeline, table: str, rules: Sequence[Rule]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open all published days of a table as the view that some of its rules ask, `batch`, in which each day finds those before it.

    Raises:
        TableMissingError: nothing of the table is published without a waiver.
    """
    import duckdb

    others = {rule.reference_table for rule in rules if rule.reference_table}
    with TemporaryDirectory(prefix="sluice-measure-") as name:
        scratch = Path(name)
        paths = {one: _published(spec, one, scratch / one) for one in (table, *sorted(others))}
        if not paths[table]:
            raise TableMissingError(
                f"Nothing of {spec.pipeline}.{table} is published without a waiver.",
                where=f"{spec.pipeline}.{table}",
                todo="publish some weeks of it; until then no limit can be measured",
            )
        limits: dict[str, Any] = {
            "threads": settings().threads,
            "memory_limit": engine.MEMORY,
            "temp_directory": str(scratch / "spilled"),
        }
        with duckdb.connect(config=limits) as con:
            con.execute("set timezone = 'UTC'")  # as in a gate
            history.show_table(con, "published", suites.columns_of(spec, table), paths[table])
            con.execute("create table batch as select * from published")
            history.show(con, [])
            for other in others:
                history.show_table(con, other, suites.columns_of(spec, other), paths[other])
            yield con


def _published(spec: Pipeline, table: str, scratch: Path) -> list[str]:
    days = sorted(tables.published(spec.pipeline, table))
    return history.unwaived_files(spec, table, days, scratch) if days else []


def _measured(con: duckdb.DuckDBPyConnection, rule: Rule, of: FitsHistory) -> Measured:
    asked = history_sql.without_limit((rule.query or "").format(batch="batch"))
    columns = con.sql(asked).columns
    by = rule.arguments.get("by")
    names = ("column_name", "compared_value", *([by] if isinstance(by, str) else []))
    told = [f"cast({quoted(one)} as varchar)" for one in names if one in columns]
    about = f"concat_ws(' ', {', '.join(told)})" if told else "''"
    closest_of = f"""
        select count(distinct ds) filter (compared), count(distinct ds) filter (fails),
            arg_max(row(ds, about, found, allowed), found / allowed) filter (compared and allowed > 0)
        from (
            select cast(ds as varchar) as ds, {about} as about, cast({of.statistic} as double) as found,
                cast({of.allowed} as double) as allowed, compared, fails
            from ({asked})
        )"""  # noqa: S608 - written by the rule's own type
    days, failing, closest = con.sql(closest_of).fetchall()[0]
    day, said, found, allowed = closest or (None, "", None, None)
    finite = found if found is not None and math.isfinite(found) else None
    return Measured(rule.meta.rule, rule.meta.severity, days, failing, day, said, finite, allowed)
