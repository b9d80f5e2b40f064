"""The rows that quarantine rules take out of a batch: found by comparing whole rows, each taken once.

Rows have no number. A failing row is told from the others by all its values, as SQL's EXCEPT ALL compares them: null
and NaN are equal to themselves, and of two copies of a row one can fail. What a rule returns must be rows of the batch,
as many as it counted; anything else is a rule that cannot be trusted with taking rows out.
"""

# Names of tables are ours, those of columns are the batch's own, quoted; queries are the suite's.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from sluice.gates.suites import Rule

_Rows = list[dict[str, Any]]


class NotRowsError(Exception):
    """What a rule returned is not what it counted, or not of the batch."""


class QuarantinedRows:
    """Collects, rule by rule, which rows of the view `batch` are set aside."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._rules: list[Rule] = []

    def add(self, rule: Rule, count: int, all_failing: Callable[[Rule], _Rows], unjudged: str = "") -> float:
        """Take note of all rows that fail a rule; return the largest share of a day's rows that they are.

        Args:
            count: how many they are, as Great Expectations counted them.
            all_failing: fetches them, where the rule is no query.
            unjudged: a SQL condition of rows that fail with them, because the rule did not judge them.

        Raises:
            NotRowsError: they are not, or not so many.
        """
        con, index = self._con, len(self._rules)
        columns = self._columns()
        if rule.query:
            con.execute(f"create table failing_{index} as select {columns} from ({rule.sql})")
        else:
            con.register("fetched", self._arrow(all_failing(rule)))
            con.execute(f"create table failing_{index} as select {columns} from fetched")
            con.unregister("fetched")
        if unjudged:
            con.execute(
                f"insert into failing_{index} select {columns} from batch where {unjudged}"
                f" except all select {columns} from failing_{index}"
            )
        found = self._count(f"failing_{index}")
        strange = self._count(f"(from failing_{index} except all select {columns} from batch)")
        if found != count or strange:
            con.execute(f"drop table failing_{index}")
            raise NotRowsError(
                f"it counts {count:,} failing rows and returns {found:,}, {strange:,} of which are no rows of the batch"
            )
        self._rules.append(rule)
        worst = con.execute(
            f"select max(failing / total) from (select ds, count(*) as failing from failing_{index} group by ds)"
            " join (select ds, count(*) as total from batch group by ds) using (ds)"
        )
        return worst.fetchall()[0][0]

    def parted(self, rules: Sequence[str]) -> tuple[pa.Table, list[tuple[Rule, _Rows]]]:
        """The rows that stay, and for each rule the rows that it sets aside, without those that an earlier one did.

        Args:
            rules: names of the rules that set rows aside.
        """
        con, columns = self._con, self._columns()
        con.execute("create or replace table taken as select * from batch limit 0")
        found = []
        for index, rule in enumerate(self._rules):
            if rule.meta.rule not in rules:
                continue
            con.execute(f"create or replace table mine as from failing_{index} except all from taken")
            con.execute(f"insert into taken select {columns} from mine")
            found.append((rule, con.sql("from mine").to_arrow_table().to_pylist()))
        good = con.sql(f"select {columns} from batch except all from taken").to_arrow_table()
        return good, found

    def _columns(self) -> str:
        return ", ".join(f'"{name}"' for name in self._con.table("batch").columns)

    def _arrow(self, rows: _Rows) -> pa.Table:
        import pyarrow as pa

        schema = self._con.table("batch").limit(0).to_arrow_table().schema
        return pa.Table.from_pylist(rows, schema=schema)

    def _count(self, source: str) -> int:
        return self._con.execute(f"select count(*) from {source}").fetchall()[0][0]
