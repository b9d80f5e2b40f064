"""Great Expectations inside DuckDB, over the staged files where they lie.

Nothing is loaded into Python: GX's own SQLAlchemy engine runs its queries on a DuckDB view over the Parquet files.
As shipped it reads results after the connection went back to the pool, which DuckDB answers with nothing; so one
connection is kept for the batch, as GX does for SQLite.

What many rules ask is asked together beforehand (`fused_queries`); GX takes those metrics from there, and asks for the others.

GX marks an expectation that raised like one that failed, and one failing query takes others with it. Here every rule
that did not give a clean answer is asked again on its own, and is broken only if that fails too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sluice.core.settings import settings
from sluice.core.sql import quoted
from sluice.gates import causes, findings, fused_queries, history, profile, quarantined_rows, unjudged
from sluice.gates.suites import QUERY, Rule
from sluice.gates.verdict import Cause, RuleResult
from sluice.lake import connection, storage

if TYPE_CHECKING:
    import duckdb
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.datasource.fluent import SQLDatasource
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from sqlalchemy import Connection

    from sluice.declare.contracts import Column

# What DuckDB may hold of a batch at once, however large it is; what does not fit lies on disk meanwhile.
MEMORY = "1GB"
# Failing rows of one rule that are looked at for the sample; GX fetches no more of a query.
LOOKED_AT = 200
# Counts only: no value is fetched while nothing failed.
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}
_ROWS = {"result_format": "BASIC", "partial_unexpected_count": LOOKED_AT, "include_unexpected_rows": True}
# The format in which a query expectation returns its rows (LOOKED_AT at most).
_QUERY_ROWS = {"result_format": "COMPLETE"}
# All rows that fail, where the engine is `unlimited`.
_ALL_ROWS = {"result_format": "COMPLETE", "include_unexpected_rows": True}


class Evaluated(NamedTuple):
    """One rule's result, with up to `LOOKED_AT` rows that it failed on. For a query those are the rows that it returns."""

    result: RuleResult
    rows: list[dict[str, Any]]


class StagedRows:
    """The rows of one staged batch, as DuckDB and GX see them."""

    def __init__(self, con: duckdb.DuckDBPyConnection, batch: Batch, engine: Any) -> None:
        self._con, self._batch, self._engine = con, batch, engine
        # What the quarantine rules that were evaluated set aside.
        self.quarantined = quarantined_rows.QuarantinedRows(con)

    def count(self, partitions: Sequence[str]) -> dict[str, int]:
        """Rows of each partition; one without rows counts 0."""
        found = self._con.execute("select cast(ds as varchar), count(*) from batch group by ds").fetchall()
        return {**dict.fromkeys(partitions, 0), **dict(found)}

    def columns(self) -> dict[str, str]:
        """DuckDB types of the columns, by name."""
        batch = self._con.table("batch")
        return dict(zip(batch.columns, map(str, batch.types), strict=True))

    def summary(self) -> list[dict[str, Any]]:
        """What DuckDB's SUMMARIZE says of the rows, a row a column.

        Of a large batch it is asked about a sample, because it takes longer than all rules; what is cheap to count
        (nulls, least, greatest, mean) is still of all rows.
        """
        total = self._con.execute("select count(*) from batch").fetchall()[0][0]
        if total <= profile.ALL_ROWS:
            return self._asked("summarize select * from batch")
        share = 100 * profile.SAMPLE_ROWS / total
        sampled = self._asked(f"summarize select * from batch using sample {share} percent (system, 1)")  # noqa: S608
        wanted = []
        for one in sampled:
            name = quoted(one["column_name"])
            mean = f"avg({name})" if one["avg"] is not None and one["std"] is not None else "null"
            wanted.append(f"count({name}), min({name}), max({name}), {mean}")
        found = self._con.execute(f"select {', '.join(wanted)} from batch").fetchall()[0]  # noqa: S608 - quoted names
        for number, one in enumerate(sampled):
            known, least, greatest, mean = found[4 * number : 4 * number + 4]
            nulls = round(100 * (1 - known / total), 2)
            one.update(null_percentage=f"{nulls:.2f}", min=least, max=greatest, avg=mean)
        return sampled

    def cause(self, columns: Mapping[str, Column], key: Sequence[str]) -> Cause:
        """The most probable cause of what is wrong with the rows, by the columns of their contract."""
        return causes.most_probable(self._con, columns, key)

    def _asked(self, query: str) -> list[dict[str, Any]]:
        found = self._con.execute(query)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def evaluate(self, rules: Sequence[Rule], *, show_rows: bool) -> list[Evaluated]:
        """Evaluate all rules, those together that can be; results are in the order of `rules`.

        Args:
            show_rows: whether values of the data may appear in the results.

        Raises:
            sqlalchemy.exc.DBAPIError: DuckDB had no space for what does not fit into memory.
        """
        from great_expectations.core import ExpectationSuite

        suite = ExpectationSuite(name="batch", expectations=[rule.expectation for rule in rules])
        answers = fused_queries.ask(self._con, rules)
        # They come in another order.
        with self._engine.given(answers):
            results = self._batch.validate(suite, result_format=_COUNTS).results
        found = {one.expectation_config.meta["rule"]: one for one in results if one.expectation_config}
        return [self._judge(rule, found[rule.meta.rule], answers, show_rows) for rule in rules]

    def _judge(
        self, rule: Rule, found: ExpectationValidationResult, answers: fused_queries.Answers, show_rows: bool
    ) -> Evaluated:
        fault = findings.fault(found)
        if fault:
            found = self._validate(rule.expectation, _COUNTS)
            fault = findings.fault(found)
        left_out, counted_out = (None, 0) if fault else self._unjudged(rule, found, answers)
        passed = not fault and bool(found.success)
        if counted_out:
            passed = findings.enough_pass(rule, found.result, counted_out)
        rows = [] if fault or passed else self._failing_rows(rule, found, counted_out)
        failing, total = findings.counted(rule, found.result, rows, self._con)
        failing = failing + counted_out if failing is not None else None
        worst = None
        if rule.meta.severity == "quarantine" and not fault and not passed:
            worst, fault = self._to_be_set_aside(rule, failing, total, counted_out)
        if not show_rows:
            rows, fault = [], fault and "it raised an error, which is not shown here"
        result = RuleResult(
            **rule.meta.model_dump(),
            kind=rule.kind,
            columns=rule.columns,
            passed=passed,
            broken=bool(fault),
            observed=fault
            or findings.observed(rule, found.result, failing, total, rows[:1], show=show_rows)
            + findings.left_out(left_out, counted_out),
            failing_rows=failing,
            failing_share=failing / total if failing is not None and total else None,
            worst_share=worst,
            unjudged_rows=left_out,
        )
        return Evaluated(result, rows)

    def _unjudged(
        self, rule: Rule, found: ExpectationValidationResult, answers: fused_queries.Answers
    ) -> tuple[int | None, int]:
        """Rows that a rule did not judge, None if that is not known; and how many of them count as failing."""
        if not unjudged.can_be(rule.expectation):
            return answers.unjudged.get(str(rule.query)), 0
        count = unjudged.count(self._con, rule, found, lambda one: self._validate(one, _COUNTS))
        if not count:
            return count, 0
        return count, count if unjudged.counts_as_failing(rule, count, found.result["element_count"]) else 0

    def _validate(
        self, expectation: Expectation, result_format: Mapping[str, Any]
    ) -> ExpectationValidationResult:
        """Ask one rule alone. What failed for lack of space is raised: it is the disk's fault, and not the rule's."""
        self._engine.lacked_space = None
        found = self._batch.validate(expectation, result_format=dict(result_format))
        if self._engine.lacked_space:
            raise self._engine.lacked_space
        return found

    def _to_be_set_aside(
        self, rule: Rule, failing: int | None, total: int | None, unjudged_rows: int
    ) -> tuple[float | None, str]:
        """The largest share of a day's rows that fails the rule, and why its rows cannot be set aside, if they cannot.

        Where more of the whole batch fail than may, more of some day do: then there is no need to fetch them.
        """
        if failing is None or not total:
            return None, "it is not about single rows of the batch, so that none can be set aside"
        if failing / total > (rule.meta.limit or 0):
            return failing / total, ""
        try:
            judged = failing - unjudged_rows
            also = unjudged.missing(rule) if unjudged_rows else ""
            fetch = lambda rule: self._all_failing_rows(rule, judged) if judged else []  # noqa: E731
            return self.quarantined.add(rule, failing, fetch, also), ""
        except quarantined_rows.NotRowsError as error:
            return None, str(error)

    def _all_failing_rows(self, rule: Rule, count: int) -> list[dict[str, Any]]:
        # GX cuts the rows that it has fetched to the "partial" count, whatever the format.
        wanted = {**_ALL_ROWS, "partial_unexpected_count": count}
        with self._engine.unlimited():
            return self._validate(rule.expectation, wanted).result["unexpected_rows"]

    def _failing_rows(
        self, rule: Rule, found: ExpectationValidationResult, unjudged_rows: int
    ) -> list[dict[str, Any]]:
        if unjudged_rows and not found.result["unexpected_count"]:
            return unjudged.examples(self._con, rule, LOOKED_AT)
        result = self._validate(rule.expectation, _QUERY_ROWS if rule.query else _ROWS).result
        rows = result["details"]["unexpected_rows"] if rule.query else result.get("unexpected_rows", [])
        return rows[:LOOKED_AT]


@contextmanager
def opened(
    files: Mapping[str, str],
    earlier: Sequence[str] = (),
    reference_files: Mapping[str, Sequence[str]] | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[StagedRows]:
    """Open the staged files of a batch.

    Args:
        files: a path or URI for each partition; remote files are copied to a scratch folder first.
        earlier: local files of the days that the batch is compared with.
        reference_files: local files of other tables that it is compared with, by table.
        columns: DuckDB types of the columns of these tables, by table.

    Raises:
        duckdb.Error: a file is no readable Parquet file.
        OSError: a file cannot be read.
    """
    import duckdb
    import great_expectations as gx
    from duckdb_engine import ConnectionWrapper
    from great_expectations.data_context.types.base import ProgressBarsConfig

    # GX narrates its progress, and repeats exceptions that end up in the verdict.
    log = logging.getLogger("great_expectations")
    log.propagate, log.handlers = False, [logging.NullHandler()]
    with TemporaryDirectory(prefix="sluice-gate-") as scratch:
        paths = [_local(file, day, Path(scratch)) for day, file in files.items()]
        limits: dict[str, Any] = {
            "threads": settings().threads,
            "memory_limit": MEMORY,
            "temp_directory": scratch,
        }
        con = duckdb.connect(config=limits)
        try:
            # Global, because every cursor has settings of its own.
            con.execute("set global timezone = 'UTC'")
            # Parquet's statistics leave NaN out, and DuckDB would skip rows by them: x > 1 would not find a NaN
            # (https://github.com/duckdb/duckdb/issues/25521).
            staged = "select * from read_parquet($paths, hive_partitioning = false, can_have_nan = true)"
            con.sql(staged, params={"paths": paths}).create_view("batch")
            history.show(con, earlier)
            for table, others in (reference_files or {}).items():
                history.show_table(con, table, (columns or {})[table], others)
            context = gx.get_context(mode="ephemeral")
            context.variables.progress_bars = ProgressBarsConfig(globally=False)
            cursors = {"creator": lambda: ConnectionWrapper(con.cursor())}
            source = _datasource_type()(name="staged", connection_string="duckdb://", kwargs=cursors)
            context.add_datasource(datasource=source)
            asset = source.add_table_asset("batch")
            with closing(source.get_execution_engine()) as engine:
                yield StagedRows(con, asset.add_batch_definition_whole_table("batch").get_batch(), engine)
        finally:
            con.close()


@lru_cache(maxsize=1)
def _datasource_type() -> type[SQLDatasource]:
    """A GX data source for DuckDB; made on first use because importing GX takes seconds."""
    from great_expectations.datasource.fluent import SQLDatasource
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from sqlalchemy import TextClause, text

    class DuckDBExecutionEngine(SqlAlchemyExecutionEngine):
        """Keeps one connection: a DuckDB result lives only as long as the connection that made it."""

        _unlimited = False
        # GX turns what a query raises into a result.
        lacked_space: Exception | None = None
        _answers: fused_queries.Answers | None = None

        @contextmanager
        def given(self, answers: fused_queries.Answers) -> Iterator[None]:
            """Only counts are taken here: a query that found rows is not asked for them."""
            self._answers = answers
            try:
                yield
            finally:
                self._answers = None

        def resolve_metrics(
            self,
            metrics_to_resolve: Iterable[MetricConfiguration],
            metrics: dict | None = None,
            runtime_configuration: dict | None = None,
        ) -> dict:
            wanted = list(metrics_to_resolve)
            found = {one.id: value for one in wanted if (value := self._known(one)) is not None}
            asked = [one for one in wanted if one.id not in found]
            return (
                {**found, **super().resolve_metrics(asked, metrics, runtime_configuration)}
                if asked
                else found
            )

        def _known(self, metric: MetricConfiguration) -> Any:
            """A metric's value from the answers; None if it has none."""
            if self._answers is None or metric.metric_domain_kwargs.get("row_condition"):
                return None
            arguments: dict[str, Any] = metric.metric_value_kwargs or {}
            query = str(arguments.get(QUERY))
            match metric.metric_name:
                case "unexpected_rows_query.row_count":
                    return self._answers.counts.get(query)
                case "unexpected_rows_query.table":
                    return [] if query in self._answers.counts else self._answers.tables.get(query)
                case "column_values.unique.unexpected_count":
                    return self._answers.repeated.get(metric.metric_domain_kwargs["column"])
            return None

        @contextmanager
        def unlimited(self) -> Iterator[None]:
            """GX fetches 200 rows of a result at most; here all of them, because every failing row is set aside."""
            self._unlimited = True
            try:
                yield
            finally:
                self._unlimited = False

        def execute_query(self, query: Any) -> Any:
            if isinstance(query, TextClause):
                # No query has parameters: a colon before a word, as in a pattern such as `^(?:a|b)$`, is one of its own.
                query = text(re.sub(r"(?<![:\w\\]):(?=\w)", r"\:", query.text))
            result = super().execute_query(query)
            return _Unlimited(result) if self._unlimited else result

        @contextmanager
        def get_connection(self) -> Generator[Connection, None, None]:
            if self._connection is None:
                self._connection = self.engine.connect()
            try:
                yield self._connection
            except Exception as error:
                if storage.is_full(error):
                    self.lacked_space = error
                # Or every later query would fail with it: DuckDB aborts the whole transaction.
                self._connection.rollback()
                raise

        def close(self) -> None:
            if self._connection is not None:
                self._connection.close()
            super().close()

    class DuckDBDatasource(SQLDatasource):
        """An in-memory database is only seen by the engine that made it: data source and engine share one."""

        type: Literal["duckdb_staged"] = "duckdb_staged"  # type: ignore[assignment]

        @property
        def execution_engine_type(self):
            return DuckDBExecutionEngine

        def get_engine(self):
            return self.get_execution_engine().engine

    return DuckDBDatasource


class _Unlimited:
    """A result that does not stop where it is told to."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def fetchmany(self, _size: int) -> Any:
        return self._result.fetchall()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._result, name)


def _local(file: str, day: str, scratch: Path) -> str:
    path = connection.local_path(file)
    if path is None:
        path = scratch / f"{day}.parquet"
        path.write_bytes(connection.read(file))
    return str(path)
