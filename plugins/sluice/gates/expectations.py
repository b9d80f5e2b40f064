"""Expectation types that compare a batch with the days before it, or with another table: in named arguments, not SQL.

They are Great Expectations' own custom SQL expectations, whose import takes seconds: import this module in a function.
A day that has too little history passes, and its result says that it was not compared.

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

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from great_expectations.compatibility import pydantic

from sluice.core.sql import quoted
from sluice.gates import agreement_sql, conditions, history_sql
from sluice.gates.conditions import NAME, FromArguments
from sluice.gates.statistics import ROWS, Rows

# Columns of a statement's rows that say what was compared, not what was found.
_BOOKKEEPING = ("days", "days_compared", "compared", "fails")

_COUNT = pydantic.Field(ge=1, le=366)
_SHARE = pydantic.Field(gt=0, le=1)
_HALF_WIDTH = pydantic.Field(ge=0, description="Half of the band, in robust standard deviations")
_LEAST_HALF = pydantic.Field(gt=0, description="Half of the band at least, in the statistic's own unit")


class FitsHistory(FromArguments):
    """What they have in common: the statement is made from the arguments, and its rows say which of them fail."""

    # A finding and how far the comparison went come from one query; Great Expectations' own count is a second one.
    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    days: int = _COUNT
    min_days: int = _COUNT

    # SQL over a row that the statement returns: what is compared with the limit, and the limit, in one unit.
    statistic: ClassVar[str]

    @property
    def allowed(self) -> str:
        return str(vars(self)["limit"])

    @property
    def span(self) -> dict[str, int]:
        return {"days": self.days, "min_days": self.min_days}

    @abstractmethod
    def statement(self, of: Rows = ROWS) -> str:
        """The SQL of the rule, over statistics that come from rows or are shared with other rules."""

    @pydantic.root_validator(skip_on_failure=True, allow_reuse=True)
    def _arguments_fit(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values["min_days"] > values["days"]:
            raise ValueError(f"min_days {values['min_days']} is more than days {values['days']}")
        named = [*values.get("column_list", ()), *values.get("values", ()), *values.get("agree", ())]
        named += [values.get(each) for each in ("column", "by", "table")]
        odd = [name for name in named if name is not None and not NAME.match(name)]
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
    def columns(self) -> list[str]:
        return [quoted(name) for name in self.column_list]


class ExpectTableRowCountToFitHistory(FitsHistory):
    """Rows a day, against the same weekday of the trailing days; `slack` is a share of what is expected."""

    statistic = "abs(rows - expected) / expected"

    width: float = _HALF_WIDTH
    slack: float = _LEAST_HALF

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.row_count(of=of, **self.span, width=self.width, slack=self.slack)

    @property
    def allowed(self) -> str:
        return "(high - expected) / expected"


class ExpectColumnMeansToFitHistory(OfColumns):
    """The mean of a day; with `weekly` against the same weekday."""

    statistic = "abs(mean - expected)"

    width: float = _HALF_WIDTH
    slack: float = _LEAST_HALF
    weekly: bool = False

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.means(
            self.columns, width=self.width, slack=self.slack, weekly=self.weekly, of=of, **self.span
        )

    @property
    def allowed(self) -> str:
        return "high - expected"


class ExpectColumnNullSharesToFitHistory(OfColumns):
    """The share of nulls of a day, against a band that has no lower end."""

    statistic = "null_share - expected"

    width: float = _HALF_WIDTH
    slack: float = _LEAST_HALF

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.null_shares(self.columns, of=of, width=self.width, slack=self.slack, **self.span)

    @property
    def allowed(self) -> str:
        return "high - expected"


class ExpectColumnMagnitudesToFitHistory(OfColumns):
    """The median absolute value of a day is neither `limit` times what is usual, nor one part in `limit` of it."""

    statistic = "greatest(median_magnitude / usual, coalesce(usual / nullif(median_magnitude, 0), 'inf'))"

    limit: float = pydantic.Field(gt=1)

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.magnitudes(self.columns, **self.span, limit=self.limit, of=of)


class ExpectColumnDistributionsToFitHistory(OfColumns):
    """The divergence of a day's values from those of the trailing days, in bins between `edges` or as categories."""

    statistic = "divergence"

    edges: dict[str, list[float]] = {}
    limit: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.distributions(
            self.columns,
            {quoted(name): edges for name, edges in self.edges.items()},
            **self.span,
            limit=self.limit,
            of=of,
        )


class ExpectColumnCategoriesToBeKnownFromHistory(OfColumns):
    """At most the share `limit` of a day's rows has a value that no trailing day has."""

    statistic = "coalesce(new_share, 0)"

    limit: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.categories(self.columns, **self.span, limit=self.limit, of=of)


class ExpectColumnValuesNotToSpike(OfColumns):
    """No value's share of a day's rows rises by more than `limit` above its largest of the trailing days.

    With `by`, the rows of each group are looked at on their own.
    """

    statistic = "coalesce(share - share_before, 0)"

    by: str | None = None
    limit: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.spikes(
            self.columns, self.by and quoted(self.by), **self.span, limit=self.limit, of=of
        )


class ExpectColumnModeSharesToFitHistory(OfColumns):
    """The share of a day's rows that have its most frequent value rises by at most `limit` above that of any trailing day.

    Whatever the value is: a column that became constant, or a default in a part of the rows, also where values are new each day.
    """

    statistic = "mode_share - share_before"

    limit: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.mode_shares(self.columns, **self.span, limit=self.limit, of=of)


class ExpectRowsToDifferFromEarlierDays(OfColumns):
    """At most the share `limit` of a day's rows is, in these columns, the same as on one earlier day."""

    statistic = "same_share"

    limit: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.repeats(self.columns, **self.span, limit=self.limit, of=of)


class ExpectGroupSharesToFitHistory(FitsHistory):
    """No group has rows of `at_least` too many: more than the share `limit` of all rows of its day.

    What is usual for a group is its own share of such rows less that of all others, as the median of the trailing
    days. `limit_below` is for too few.
    """

    statistic = "abs(rows_too_many)"

    column: str
    by: str
    at_least: float
    limit: float = _SHARE
    limit_below: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return history_sql.group_shares(
            quoted(self.column),
            quoted(self.by),
            at_least=self.at_least,
            **self.span,
            limit=self.limit,
            limit_below=self.limit_below,
            of=of,
        )

    @property
    def allowed(self) -> str:
        return f"if(rows_too_many > 0, {self.limit}, {self.limit_below})"


class ExpectRowsToAgreeWithHistory(OfColumns):
    """At most the share `limit` of a day's rows has a value that is not usual for its group, the `column_list`.

    `values` are SQL expressions by name. Usual is the median, give or take the value's `tolerances`, or without one
    the most frequent text. Without `values` at most that share is of a group that no trailing day has.
    """

    statistic = "coalesce(differing_share, 0)"

    values: dict[str, str] = {}
    tolerances: dict[str, float] = {}
    limit: float = _SHARE

    def statement(self, of: Rows = ROWS) -> str:
        return agreement_sql.with_history(
            self.columns, self.values, self.tolerances, **self.span, limit=self.limit
        )


class ExpectRowsToAgreeWithTable(OfColumns):
    """At most the share `limit` of a day's rows does not agree with another source's same day, which is published.

    Rows are matched by the `column_list`. `agree` are SQL conditions by name over a row `delivered` and the row
    `published` of the other `table`. Without them, rows are to be in both. A day that the other table lacks, or has
    on a waiver, is not compared.
    """

    statistic = "coalesce(differing_share, 0)"

    table: str
    agree: dict[str, str] = {}
    limit: float = _SHARE
    days: int = 1
    min_days: int = 1

    def statement(self, of: Rows = ROWS) -> str:
        return agreement_sql.with_table(self.table, self.columns, self.agree, limit=self.limit)

    def compared(self, rows: Sequence[Mapping[str, Any]]) -> str:
        if not rows or not rows[0]["days_compared"]:
            return f"not compared: nothing of {self.table} is published for these days"
        return f"nothing found on {rows[0]['days_compared']} days of {self.table}"


_MADE = (
    ExpectTableRowCountToFitHistory,
    ExpectColumnMeansToFitHistory,
    ExpectColumnNullSharesToFitHistory,
    ExpectColumnMagnitudesToFitHistory,
    ExpectColumnDistributionsToFitHistory,
    ExpectColumnCategoriesToBeKnownFromHistory,
    ExpectColumnValuesNotToSpike,
    ExpectColumnModeSharesToFitHistory,
    ExpectRowsToDifferFromEarlierDays,
    ExpectGroupSharesToFitHistory,
    ExpectRowsToAgreeWithHistory,
    ExpectRowsToAgreeWithTable,
)

# By the name that a suite gives them.
COMPARING: Mapping[str, type] = {one.expectation_type: one for one in _MADE}
TYPES: Mapping[str, type] = {**conditions.TYPES, **COMPARING}


def _finding(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _BOOKKEEPING and value is not None}


def _compared(rows: Sequence[Mapping[str, Any]], min_days: int) -> str:
    """How far the comparison went, in words."""
    nothing = "not compared: there is nothing to compare"
    if not rows:
        return nothing
    days, compared, earlier = (rows[0][name] for name in ("days", "days_compared", "earlier_days"))
    if not compared:
        return (
            f"not compared: {earlier} earlier days, {min_days} are needed" if earlier < min_days else nothing
        )
    if compared < days:
        return f"nothing found on {compared} of {days} days; the others have too few earlier days to compare"
    return (
        f"nothing found; compared with {earlier} earlier days"
        if days == 1
        else f"nothing found on {days} days"
    )
