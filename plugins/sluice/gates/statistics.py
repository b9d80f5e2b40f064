"""Statistics of days, as common table expressions: what the rules of `history_sql` judge days by.

There are two ways to the same numbers. `Rows` reads all rows again for every statement: that is the SQL that a suite's
expectation has, as Great Expectations runs it alone. `Shared` reads each column once for all rules: how often each value
occurs on each day. All that the rules ask (means, medians, shares of nulls, bins, categories) follows from these
counts, which are small where values repeat. tests/gates holds one way to the other.
"""

# ruff: noqa: S608 - every statement is written here; columns are quoted names that `expectations` has checked
from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta


def text(name: str) -> str:
    """A value as text, without differences of case and blanks: the models spell keys in one way (macro `join_key`).

    A zero has no sign: 0.0 and -0.0 are one value where values are counted.
    """
    plain = f"upper(trim(cast({name} as varchar)))"
    return f"if({plain} = '-0.0', '0.0', {plain})"


class Rows:
    """Every statement reads the rows of `batch` and `history` that it needs."""

    def start(self, columns: Sequence[str], days: int) -> str:
        """`batch_days (ds)`, and what the other expressions read."""
        listed = ", ".join(["ds", *dict.fromkeys(columns)])
        return f"""
            with batch_days as (select distinct ds from {{batch}}),
            seen as (
                select {listed} from history where ds >= (select min(ds) from batch_days) - {days}
                    and ds < (select min(ds) from batch_days)
                union all select {listed} from {{batch}}
            )"""

    def rows(self) -> str:
        """`all_days (ds, rows)`."""
        return "all_days as (select ds, count(*) as rows from seen group by ds)"

    def means(self, columns: Sequence[str]) -> str:
        """`daily (ds, name, value)`: the mean of each column."""
        return self._daily(columns, "avg(cast({} as double))")

    def null_shares(self, columns: Sequence[str]) -> str:
        """`daily (ds, name, value)`: the share of nulls of each column."""
        return self._daily(columns, "avg(cast({} is null as int))")

    def magnitudes(self, columns: Sequence[str]) -> str:
        """`daily (ds, name, value)`: the median of each column's absolute values."""
        return self._daily(columns, "median(abs(cast({} as double)))")

    def mode_shares(self, columns: Sequence[str]) -> str:
        """`daily (ds, name, value)`: the share of rows that have each column's most frequent value; null where it has none."""
        return self._daily(columns, "list_max(map_values(histogram({}))) / count(*)")

    def values(self, columns: Sequence[str], by: str | None = None) -> str:
        """`valued (ds, _part, name, value, n)`: how often each value occurs, as text; nulls are no value."""
        texts = ", ".join(f"{text(name)} as {name}" for name in columns)
        return f"""
            valued as (
                select ds, _part, name, value, count(*) as n
                from (unpivot (select ds, {_part(by)} as _part, {texts} from seen)
                    on {", ".join(columns)} into name name value value)
                group by all
            )"""

    def sizes(self, by: str | None) -> str:
        """`sizes (ds, _part, rows)`."""
        return f"sizes as (select ds, {_part(by)} as _part, count(*) as rows from seen group by all)"

    def bins(self, columns: Sequence[str], edges: Mapping[str, Sequence[float]]) -> str:
        """`counted (ds, name, bin, n)`: how often each bin occurs; nulls are in none."""
        binned = ", ".join(f"{_bin(name, edges.get(name))} as {name}" for name in columns)
        return f"""
            counted as (
                select ds, name, bin, count(*) as n
                from (unpivot (select ds, {binned} from seen) on {", ".join(columns)} into name name value bin)
                group by all
            )"""

    def groups(self, column: str, by: str, at_least: float) -> str:
        """`counted (ds, name, n, hits)`: known values of each group, and those of `at_least` or more."""
        return f"""
            counted as (
                select ds, {text(by)} as name, count(*) as n, count(*) filter ({column} >= {at_least}) as hits
                from seen where {column} is not null and {by} is not null group by all
            )"""

    def same_rows(self, columns: Sequence[str]) -> str:
        """`earlier` and `mine (ds, row, n)`: hashes of rows; of the batch only those that an earlier day may have."""
        return _same_rows(
            columns,
            "(from seen where ds < (select max(ds) from batch_days))",
            "(from seen semi join batch_days using (ds))",
        )

    def _daily(self, columns: Sequence[str], statistic: str) -> str:
        measured = ", ".join(f"cast({statistic.format(name)} as double) as {name}" for name in columns)
        return f"""
            daily as (
                from (select ds, {measured} from seen group by ds)
                    unpivot include nulls (value for name in ({", ".join(columns)}))
            )"""


class Shared(Rows):
    """Statements read tables that `queries` make once, after all statements were written."""

    def __init__(self, partitions: Sequence[date], days: int) -> None:
        """
        Args:
            partitions: days of the batch.
            days: the longest history that a rule looks back on.
        """
        self._first, self._last = min(partitions), max(partitions)
        self._batch = ", ".join(f"date '{day}'" for day in sorted(set(partitions)))
        self._from = self._first - timedelta(days=days)
        # Query -> name of the table that holds its answer.
        self._tables: dict[str, str] = {}

    def queries(self) -> list[str]:
        """What makes the tables that the statements read, which have all been written."""
        return [f"create or replace temp table {name} as {query}" for query, name in self._tables.items()]

    def start(self, columns: Sequence[str], days: int) -> str:
        return f"with batch_days as (select unnest([{self._batch}]) as ds)"

    def rows(self) -> str:
        return f"all_days as (from {self._table(f'select ds, count(*) as rows from {self._seen([])} group by ds')})"

    def means(self, columns: Sequence[str]) -> str:
        return self._daily(columns, "sum(cast(value as double) * n) / sum(n) filter (value is not null)")

    def null_shares(self, columns: Sequence[str]) -> str:
        return self._daily(columns, "coalesce(sum(n) filter (value is null), 0) / sum(n)")

    def mode_shares(self, columns: Sequence[str]) -> str:
        return self._daily(columns, "max(n) filter (value is not null) / sum(n)")

    def magnitudes(self, columns: Sequence[str]) -> str:
        # The middle one of the sorted values, or the mean of the two in the middle.
        ranked = """(
            select ds, size, sum(n) over (partition by ds order by size) as upto, sum(n) over (partition by ds) as total
            from (select ds, abs(cast(value as double)) as size, if(value is null, 0, n) as n from {})
        )"""
        low, high = "min(size) filter (upto >= (total + 1) // 2)", "min(size) filter (upto >= total // 2 + 1)"
        return self._daily(columns, f"({low} + {high}) / 2", ranked)

    def values(self, columns: Sequence[str], by: str | None = None) -> str:
        of = (
            f"select ds, _part, {_literal(name)} as name, {text('value')} as value, sum(n) as n"
            f" from {self._counts(name, by)} where value is not null group by all"
            for name in columns
        )
        return f"valued as ({' union all '.join(of)})"

    def sizes(self, by: str | None) -> str:
        counted = f"select ds, {by or 'null'} as part, count(*) as n from {self._seen([by] if by else [])} group by all"
        query = f"select ds, {_part(by and 'part')} as _part, cast(sum(n) as bigint) as rows from ({counted}) group by all"
        return f"sizes as (from {self._table(query)})"

    def bins(self, columns: Sequence[str], edges: Mapping[str, Sequence[float]]) -> str:
        of = (
            f"select ds, {_literal(name)} as name, {_bin('value', edges.get(name))} as bin, sum(n) as n"
            f" from {self._counts(name)} where value is not null group by all"
            for name in columns
        )
        return f"counted as ({' union all '.join(of)})"

    def groups(self, column: str, by: str, at_least: float) -> str:
        counts = self._counts(column, by)
        return f"""
            counted as (
                select ds, _part as name, sum(n) as n, coalesce(sum(n) filter (value >= {at_least}), 0) as hits
                from {counts} where value is not null and _part is not null group by all
            )"""

    def same_rows(self, columns: Sequence[str]) -> str:
        seen = self._seen(columns)
        return _same_rows(
            columns,
            f"(from {seen} where ds < date '{self._last}')",
            f"(from {seen} where ds in ({self._batch}))",
        )

    def _counts(self, column: str, by: str | None = None) -> str:
        """Table `(ds, _part, value, n)`: how often each value occurs, null among them."""
        seen = self._seen([column, *([by] if by else [])])
        if by is None:
            return self._table(
                f"select ds, 'all' as _part, {column} as value, count(*) as n from {seen} group by all"
            )
        # What is alike as text is put together after the rows were counted: a text a row would cost as much again.
        counted = f"select ds, {by} as part, {column} as value, count(*) as n from {seen} group by all"
        return self._table(
            f"select ds, {text('part')} as _part, value, cast(sum(n) as bigint) as n from ({counted}) group by all"
        )

    def _daily(self, columns: Sequence[str], statistic: str, source: str = "{}") -> str:
        of = (
            f"select ds, {_literal(name)} as name, cast({statistic} as double) as value"
            f" from {source.format(self._counts(name))} group by ds"
            for name in columns
        )
        return f"daily as ({' union all '.join(of)})"

    def _seen(self, columns: Sequence[str]) -> str:
        """Both views together, so that a column has one type; days are constants, so that files are skipped by them."""
        listed = ", ".join(["ds", *dict.fromkeys(columns)])
        return (
            f"(select {listed} from history where ds >= date '{self._from}' and ds < date '{self._first}'"
            f" union all select {listed} from batch)"
        )

    def _table(self, query: str) -> str:
        return self._tables.setdefault(query, f"shared_{len(self._tables)}")


ROWS = Rows()


def _same_rows(columns: Sequence[str], before: str, batch: str) -> str:
    row = f"hash({', '.join(columns)})"
    return f"""
        earlier as (select ds, {row} as row, count(*) as n from {before} group by all),
        mine as (
            select ds, row, count(*) as n from (select ds, {row} as row from {batch})
            where row in (select row from earlier) group by all
        )"""


def _part(by: str | None) -> str:
    return text(by) if by else "'all'"


def _literal(quoted: str) -> str:
    return "'" + quoted.strip('"') + "'"


def _bin(name: str, edges: Sequence[float] | None) -> str:
    """The bin of a value, as text: the value itself without edges."""
    if edges is None:
        return text(name)
    steps = " ".join(f"when {name} < {edge} then '{index}'" for index, edge in enumerate(edges))
    return f"case when {name} is null then null {steps} else '{len(edges)}' end"
