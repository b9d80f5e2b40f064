"""Expectation types that compare a batch with the days before it, and the view `history` that they read.

They are Great Expectations' own custom SQL expectations with named arguments instead of a query. The rule kept here:
history is what was published without a waiver. A day that has too little of it passes, and its result says that it was
not compared.

The statistics are old and plain, because people must be able to check them by hand:

- a band is the median of the trailing days plus or minus `width` times 1.4826 median absolute deviations, never narrower
  than `slack`: the modified z-score of Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993); why not mean
  and standard deviation: Leys et al., Journal of Experimental Social Psychology 49 (2013). One storm among the
  trailing days does not move it;
- the distance of distributions is the Jensen-Shannon divergence to base 2, 0 to 1: Lin, Divergence Measures Based on
  the Shannon Entropy, IEEE Transactions on Information Theory 37 (1991). Unlike the population stability index it
  stays finite where a bin is empty;
- the others are shares of rows and ratios, and say in `history_sql` of what.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

from sluice import waivers
from sluice.gates import agreement_sql, history_sql
from sluice.gates.statistics import ROWS, Rows
from sluice.lake import tables

if TYPE_CHECKING:
    import duckdb

    from sluice.lake.batches import Manifest
    from sluice.spec import Pipeline

# Parquet that is read once into memory instead of once a rule: some hundred thousand rows.
_SMALL_BYTES = 8 * 2**20
# Columns of a statement's rows that say what was compared, not what was found.
_BOOKKEEPING = ("days", "days_compared", "compared", "fails")
# Names go into SQL as they are.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@contextmanager
def files(spec: Pipeline, manifest: Manifest, days: int) -> Iterator[list[str]]:
    """Local Parquet files of the published days that the batch is compared with: up to `days` before its first one.

    Days whose publication rests on a waiver are left out. Copies of a remote warehouse's files live as long as the
    context.
    """
    if not days:
        yield []
        return
    first = date.fromisoformat(min(manifest.partitions))
    window = [(first - timedelta(days=back)).isoformat() for back in range(days, 0, -1)]
    with TemporaryDirectory(prefix="sluice-history-") as scratch:
        yield _unwaived(spec, manifest.table, window, Path(scratch))


@contextmanager
def beside(spec: Pipeline, manifest: Manifest, names: Collection[str]) -> Iterator[dict[str, list[str]]]:
    """As `files`, of other tables: their published files of the batch's own days, by table."""
    days = sorted(manifest.partitions)
    with TemporaryDirectory(prefix="sluice-beside-") as scratch:
        yield {name: _unwaived(spec, name, days, Path(scratch) / name) for name in names}


def _unwaived(spec: Pipeline, table: str, days: Sequence[str], scratch: Path) -> list[str]:
    scratch.mkdir(exist_ok=True)
    found = tables.files(spec.pipeline, table, days[0], days[-1], into=scratch)
    waived = waivers.of_partitions(spec, table, days) if found else {}
    return [path for path in found if not any(path.endswith(f"ds={day}.parquet") for day in waived)]


def show(con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Make `history`, with at least the columns of the view `batch`; those that a file lacks are null.

    It is a view over the files, unless they are small: opening them again for every rule then costs more than the rules.
    """
    read = "read_parquet($paths, hive_partitioning = false, can_have_nan = true, union_by_name = true)"
    columns = "select * from batch where false"
    if not paths:
        con.execute(f"create view history as {columns}")
        return
    # Both halves are written here.
    rows = con.sql(f"{columns} union all by name select * from {read}", params={"paths": list(paths)})  # noqa: S608
    if sum(Path(path).stat().st_size for path in paths) > _SMALL_BYTES:
        rows.create_view("history")
    else:
        rows.create("history")


def show_beside(
    con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], paths: Sequence[str]
) -> None:
    """Make a view of another table's files under its own name, with at least these columns (DuckDB types by name)."""
    empty = ", ".join(f"cast(null as {kind}) as {_quoted(name)}" for name, kind in columns.items())
    query = f"select {empty} where false"
    if not paths:
        con.execute(f"create view {_quoted(table)} as {query}")
        return
    read = "read_parquet($paths, hive_partitioning = false, can_have_nan = true, union_by_name = true)"
    # All of it is written here, or declared.
    rows = con.sql(f"{query} union all by name select * from {read}", params={"paths": list(paths)})  # noqa: S608
    rows.create_view(table)


@lru_cache(maxsize=1)
def register() -> Mapping[str, type]:
    """Make the expectation types known to Great Expectations; they are classes of its own, whose import takes seconds.

    Returns:
        The types by the name that a suite gives them.
    """
    from great_expectations.compatibility import pydantic
    from great_expectations.expectations.core import UnexpectedRowsExpectation

    count = pydantic.Field(ge=1, le=366)
    share = pydantic.Field(gt=0, le=1)
    half_width = pydantic.Field(ge=0, description="Half of the band, in robust standard deviations")
    least_half = pydantic.Field(gt=0, description="Half of the band at least, in the statistic's own unit")

    class FitsHistory(UnexpectedRowsExpectation):
        """What they have in common: the statement is made from the arguments, and its rows say which of them fail."""

        # A finding and how far the comparison went come from one query; Great Expectations' own count is a second one.
        metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

        unexpected_rows_query: str = ""
        days: int = count
        min_days: int = count

        @property
        def span(self) -> dict[str, int]:
            return {"days": self.days, "min_days": self.min_days}

        @abstractmethod
        def statement(self, of: Rows = ROWS) -> str:
            """The SQL of the rule, over statistics that come from rows or are shared with other rules."""

        def __init__(self, **given: Any) -> None:
            named = given.pop("unexpected_rows_query", None)
            super().__init__(**given)
            made = self.statement()
            if named not in (None, made):
                raise ValueError("unexpected_rows_query is made from the other arguments and cannot be given")
            self.__dict__["unexpected_rows_query"] = made
            self.__fields_set__.add("unexpected_rows_query")

        @pydantic.root_validator(skip_on_failure=True, allow_reuse=True)
        def _arguments_fit(cls, values: dict[str, Any]) -> dict[str, Any]:
            if values["min_days"] > values["days"]:
                raise ValueError(f"min_days {values['min_days']} is more than days {values['days']}")
            named = [*values.get("column_list", ()), *values.get("values", ()), *values.get("agree", ())]
            named += [values.get(each) for each in ("column", "by", "table")]
            odd = [name for name in named if name is not None and not _NAME.match(name)]
            if odd:
                raise ValueError(f"{odd[0]!r} is no name of a column")
            for one, other in (("edges", "column_list"), ("tolerances", "values")):
                strangers = set(values.get(one) or ()) - set(values.get(other) or ())
                if strangers:
                    raise ValueError(f"{one} of {', '.join(sorted(strangers))}, which {other} does not have")
            return values

        def _validate(
            self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None
        ) -> dict:
            rows = metrics["unexpected_rows_query.table"]
            found = [_finding(row) for row in rows if row["fails"]]
            details = {"compared": self.compared(rows), "unexpected_rows": found}
            return {"success": not found, "result": {"observed_value": len(found), "details": details}}

        def compared(self, rows: Sequence[Mapping[str, Any]]) -> str:
            return _compared(rows, self.min_days)

    class OfColumns(FitsHistory):
        column_list: list[str] = pydantic.Field(min_items=1)

        @property
        def quoted(self) -> list[str]:
            return [_quoted(name) for name in self.column_list]

        @abstractmethod
        def statement(self, of: Rows = ROWS) -> str: ...

    class ExpectTableRowCountToFitHistory(FitsHistory):
        """Rows a day, against the same weekday of the trailing days; `slack` is a share of what is expected."""

        width: float = half_width
        slack: float = least_half

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.row_count(of=of, **self.span, width=self.width, slack=self.slack)

    class ExpectColumnMeansToFitHistory(OfColumns):
        """The mean of a day; with `weekly` against the same weekday."""

        width: float = half_width
        slack: float = least_half
        weekly: bool = False

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.means(
                self.quoted, width=self.width, slack=self.slack, weekly=self.weekly, of=of, **self.span
            )

    class ExpectColumnNullSharesToFitHistory(OfColumns):
        """The share of nulls of a day, against a band that has no lower end."""

        width: float = half_width
        slack: float = least_half

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.null_shares(
                self.quoted, of=of, width=self.width, slack=self.slack, **self.span
            )

    class ExpectColumnMagnitudesToFitHistory(OfColumns):
        """The median absolute value of a day is neither `limit` times what is usual, nor one part in `limit` of it."""

        limit: float = pydantic.Field(gt=1)

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.magnitudes(self.quoted, **self.span, limit=self.limit, of=of)

    class ExpectColumnDistributionsToFitHistory(OfColumns):
        """The divergence of a day's values from those of the trailing days, in bins between `edges` or as categories."""

        edges: dict[str, list[float]] = {}
        limit: float = share

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.distributions(
                self.quoted,
                {_quoted(name): edges for name, edges in self.edges.items()},
                **self.span,
                limit=self.limit,
                of=of,
            )

    class ExpectColumnCategoriesToBeKnownFromHistory(OfColumns):
        """At most the share `limit` of a day's rows has a value that no trailing day has."""

        limit: float = share

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.categories(self.quoted, **self.span, limit=self.limit, of=of)

    class ExpectColumnValuesNotToSpike(OfColumns):
        """No value's share of a day's rows rises by more than `limit` above its largest of the trailing days.

        With `by`, the rows of each group are looked at on their own.
        """

        by: str | None = None
        limit: float = share

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.spikes(
                self.quoted, self.by and _quoted(self.by), **self.span, limit=self.limit, of=of
            )

    class ExpectRowsToDifferFromEarlierDays(OfColumns):
        """At most the share `limit` of a day's rows is, in these columns, the same as on one earlier day."""

        limit: float = share

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.repeats(self.quoted, **self.span, limit=self.limit, of=of)

    class ExpectGroupSharesToFitHistory(FitsHistory):
        """No group has rows of `at_least` too many: more than the share `limit` of all rows of its day.

        What is usual for a group is its own share of such rows less that of all others, as the median of the trailing
        days. `limit_below` is for too few.
        """

        column: str
        by: str
        at_least: float
        limit: float = share
        limit_below: float = share

        def statement(self, of: Rows = ROWS) -> str:
            return history_sql.group_shares(
                _quoted(self.column),
                _quoted(self.by),
                at_least=self.at_least,
                **self.span,
                limit=self.limit,
                limit_below=self.limit_below,
                of=of,
            )

    class ExpectRowsToAgreeWithHistory(OfColumns):
        """At most the share `limit` of a day's rows has a value that is not usual for its group, the `column_list`.

        `values` are SQL expressions by name. Usual is the median, give or take the value's `tolerances`, or without one
        the most frequent text. Without `values` at most that share is of a group that no trailing day has.
        """

        values: dict[str, str] = {}
        tolerances: dict[str, float] = {}
        limit: float = share

        def statement(self, of: Rows = ROWS) -> str:
            made = agreement_sql.with_history(
                self.quoted, self.values, self.tolerances, **self.span, limit=self.limit
            )
            return made if of is ROWS else made.format(batch="batch")

    class ExpectRowsToAgreeWithTable(OfColumns):
        """At most the share `limit` of a day's rows does not agree with another source's same day, which is published.

        Rows are matched by the `column_list`. `agree` are SQL conditions by name over a row `delivered` and the row
        `published` of the other `table`. Without them, rows are to be in both. A day that the other table lacks, or has
        on a waiver, is not compared.
        """

        table: str
        agree: dict[str, str] = {}
        limit: float = share
        days: int = 1
        min_days: int = 1

        def statement(self, of: Rows = ROWS) -> str:
            made = agreement_sql.with_table(self.table, self.quoted, self.agree, limit=self.limit)
            return made if of is ROWS else made.format(batch="batch")

        def compared(self, rows: Sequence[Mapping[str, Any]]) -> str:
            if not rows or not rows[0]["days_compared"]:
                return f"not compared: nothing of {self.table} is published for these days"
            return f"nothing found on {rows[0]['days_compared']} days of {self.table}"

    made = (
        ExpectTableRowCountToFitHistory,
        ExpectColumnMeansToFitHistory,
        ExpectColumnNullSharesToFitHistory,
        ExpectColumnMagnitudesToFitHistory,
        ExpectColumnDistributionsToFitHistory,
        ExpectColumnCategoriesToBeKnownFromHistory,
        ExpectColumnValuesNotToSpike,
        ExpectRowsToDifferFromEarlierDays,
        ExpectGroupSharesToFitHistory,
        ExpectRowsToAgreeWithHistory,
        ExpectRowsToAgreeWithTable,
    )
    return {one.expectation_type: one for one in made}


def _quoted(name: str) -> str:
    return f'"{name}"'


def _finding(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _BOOKKEEPING and value is not None}


def _compared(rows: Sequence[Mapping[str, Any]], min_days: int) -> str:
    """How far the comparison went, in words."""
    if not rows:
        return "not compared: the batch has no day"
    days, compared, earlier = (rows[0][name] for name in ("days", "days_compared", "earlier_days"))
    if not compared:
        return f"not compared: {earlier} earlier days, {min_days} are needed"
    if compared < days:
        return f"nothing found on {compared} of {days} days; the others have too few earlier days to compare"
    return (
        f"nothing found; compared with {earlier} earlier days"
        if days == 1
        else f"nothing found on {days} days"
    )
