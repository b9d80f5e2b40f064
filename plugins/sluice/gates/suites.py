"""Suites: native Great Expectations JSON, `expectations/<pipeline>/<table>.json`, one a table.

Each expectation's `meta` says what Great Expectations does not: a short unique name, whether a failure holds the batch,
sets the failing rows aside (up to a `limit`) or warns, who owns the rule and why it is there. A suite is refused as a whole, with all that is wrong in it, because a
rule that was silently skipped would let bad data through.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from sluice.core import strict_yaml
from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare.spec import PREDICTIONS
from sluice.gates import all_columns, history, quarantine_rules, unjudged
from sluice.gates.verdict import Severity, Unjudged
from sluice.lake.columns import HAS_WAIVED_INPUT, MISSING_HISTORY_DAYS

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

    from sluice.declare.spec import Pipeline

# Every derived table and the predictions have these beside their own columns.
_DERIVED = {HAS_WAIVED_INPUT: "BOOLEAN", MISSING_HISTORY_DAYS: "BIGINT"}
QUERY = "unexpected_rows_query"
# Its `value_set` is what the contract declares for its column.
_DECLARED = "expect_column_values_to_be_declared"
# In place of a `value_set`: the column of a contract whose declared values are meant, with its source's name where the table
# has no contract of its own or another one is meant.
_VALUES_OF = "values_of"


class Meta(BaseModel):
    """What every rule says about itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    severity: Severity
    owner: str = Field(min_length=1)
    why: str = Field(min_length=1)
    # Share (0 to 1) of a day's rows that may be set aside; where more fail, the batch is held.
    limit: float | None = Field(None, gt=0, lt=1)
    # What becomes of rows that the rule does not judge, see `sluice.gates.unjudged`, which also has the default.
    unjudged: Unjudged | None = None

    @model_validator(mode="after")
    def _limit_is_for_quarantine(self) -> Meta:
        if self.severity == "quarantine" and self.limit is None:
            raise ValueError(
                "a rule of severity 'quarantine' needs a limit: the share of a day's rows, such as 0.01, above which "
                "the batch is held"
            )
        if self.severity != "quarantine" and self.limit is not None:
            raise ValueError(f"a limit is only for severity 'quarantine', not for {self.severity!r}")
        return self


class _Entry(BaseModel):
    """One expectation as Great Expectations writes it; keys that it adds itself, such as `id`, are let through."""

    type: str
    # A list of names, because mypy takes a plain alias for a parameter that collides with **kwargs.
    arguments: dict[str, Any] = Field(validation_alias=AliasChoices("kwargs"))
    meta: Meta


class _File(BaseModel):
    expectations: list[Any]


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite, ready to run.

    `columns` are those that its arguments name; `query` is its SQL, if it is a query; `history_days` is how many days
    before the batch it compares with, and `min_days` how many of them have to be there.
    """

    meta: Meta
    kind: str
    columns: tuple[str, ...]
    query: str | None
    expectation: Expectation
    # As the suite gives them, and the values of a contract where they come from there.
    arguments: Mapping[str, Any]
    history_days: int = 0
    min_days: int = 0
    # The other table that it compares with, "" if none.
    reference_table: str = ""

    @property
    def sql(self) -> str:
        """The query over the view `batch`, as GX writes it: a subquery with an alias, so that a rule can have none."""
        return (self.query or "").format(batch="(select * from batch) as subselect")


@dataclass(frozen=True)
class Suite:
    """All rules of one table. `hash` is the sha256 of the file; the columns of a rule about all but some are those of today."""

    rules: tuple[Rule, ...]
    hash: str


def path_of(spec: Pipeline, table: str) -> Path:
    return settings().expectations / spec.pipeline / f"{table}.json"


def load(spec: Pipeline, table: str, path: Path | None = None) -> Suite:
    """Read the suite of a table, from its place or from another file that is to take it.

    Raises:
        SpecInvalidError: the file is missing or is not a suite, or an expectation is of an unknown type, has wrong
            arguments, lacks its `meta`, or would set rows aside without being about rows; lists every problem.
    """
    path = path or path_of(spec, table)
    if not path.is_file():
        raise SpecInvalidError(
            f"Table {spec.pipeline}.{table} has no suite.",
            where=str(path),
            todo="write its rules there; a table without rules is never published",
        )
    raw = path.read_bytes()
    try:
        expectations = _File.model_validate_json(raw).expectations
    except ValueError as error:
        raise _invalid(path, [f"not a Great Expectations suite: {_explain(error)}"]) from error
    rules, problems = [], []
    read = reader(spec, table)
    for index, entry in enumerate(expectations, start=1):
        try:
            rules.append(read(entry))
        except ValueError as error:
            problems.append(f"expectation {index}: {error}")
    setting_aside = [rule for rule in rules if rule.meta.severity == "quarantine"]
    problems += quarantine_rules.problems(setting_aside)
    problems += unjudged.problems(rules)
    names = [rule.meta.rule for rule in rules]
    problems += [
        f"rule name {name!r} is used twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if not expectations:
        problems.append("it has no expectations")
    if problems:
        raise _invalid(path, problems)
    return Suite(rules=tuple(rules), hash=hashlib.sha256(raw).hexdigest())


def reader(spec: Pipeline, table: str) -> Callable[[Any], Rule]:
    """Return a function that reads one expectation of a table's suite; it raises ValueError with what is wrong."""
    from great_expectations.exceptions import GreatExpectationsError

    declared, columns = _declared_values(spec, table), cache(lambda: columns_of(spec, table))

    def read(recorded: Any) -> Rule:
        try:
            return _rule(_of_columns(recorded, columns, spec.key_of(table)), declared)
        except (GreatExpectationsError, ValueError) as error:
            raise ValueError(_explain(error)) from error

    return read


def derived_rule(name: str, kind: str, arguments: dict[str, Any], **meta: Any) -> Rule:
    """A rule that follows from what is declared elsewhere, as one that a suite would have."""
    return _rule(_Entry(type=kind, kwargs=arguments, meta=Meta(rule=name, **meta)), {})


def check(spec: Pipeline) -> None:
    """Check the suites of all tables of a pipeline without any data.

    Raises:
        SpecInvalidError: lists every problem of every suite.
    """
    problems = []
    for table in spec.tables:
        try:
            problems += _problems(spec, table, load(spec, table))
        except SpecInvalidError as error:
            problems.append(str(error))
    if problems:
        raise _invalid(settings().expectations / spec.pipeline, problems)


def check_file(spec: Pipeline, table: str, path: Path) -> None:
    """Check a file that is to become the suite of a table.

    Raises:
        SpecInvalidError: lists every problem.
    """
    if problems := _problems(spec, table, load(spec, table, path)):
        raise _invalid(path_of(spec, table), problems)


def _problems(spec: Pipeline, table: str, suite: Suite) -> list[str]:
    """What `load` does not see: every column that a rule names is a column of its table, and every query binds."""
    import duckdb

    from sluice.gates import origin

    problems, columns = [], columns_of(spec, table)
    with duckdb.connect() as con:
        con.execute(f"create table batch ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
        history.show(con, [])
        others = {rule.reference_table for rule in suite.rules if rule.reference_table}
        for other in sorted(others & set(spec.sources)):
            history.show_table(con, other, columns_of(spec, other), [])
        for rule in suite.rules:
            where = f"{path_of(spec, table).name}, rule {rule.meta.rule}"
            missing = [name for name in rule.columns if name not in columns]
            if missing:
                problems.append(
                    f"{where}: {table} has no column {missing[0]!r} (it has {', '.join(columns)})"
                )
            if origin.is_reserved(rule.meta.rule):
                problems.append(f"{where}: a built-in rule has this name; give it another one")
            if rule.query:
                try:
                    returned = con.sql(rule.sql).columns
                except duckdb.Error as error:
                    problems.append(f"{where}: {_explain(error)}")
                    continue
                lost = [name for name in columns if name not in returned]
                if rule.meta.severity == "quarantine" and lost:
                    problem = f"its query does not return whole rows: {lost[0]!r} is missing"
                    problems.append(f"{where}: {quarantine_rules.refusal(problem)}")
    return problems + origin.problems(spec, table)


def _of_columns(recorded: Any, columns: Callable[[], Mapping[str, str]], key: Sequence[str]) -> _Entry:
    """One expectation of a file, with the names of the columns that it is about."""
    entry = _Entry.model_validate(recorded)
    _check_names(entry)
    try:
        found = all_columns.listed(entry.type, entry.arguments, columns, key)
    except ValueError as error:
        raise ValueError(f"rule {entry.meta.rule}: {_explain(error)}") from error
    return entry.model_copy(update={"arguments": found})


def _declared_values(spec: Pipeline, table: str) -> dict[str, tuple[str, ...]]:
    """The values that contracts declare, by `<source>.<column>`, and those of the table's own contract by column."""
    return {
        name: column.values
        for source, declared in spec.sources.items()
        for column_name, column in declared.contract.columns.items()
        for name in (f"{source}.{column_name}", *([column_name] if source == table else []))
        if column.values
    }


def _rule(entry: _Entry, declared: Mapping[str, Sequence[str]]) -> Rule:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    from sluice.gates import expectations  # which makes them known to Great Expectations

    kwargs = dict(entry.arguments)
    values_of = kwargs.get("column") if entry.type == _DECLARED else kwargs.pop(_VALUES_OF, None)
    if values_of is not None:
        if values_of not in declared:
            raise ValueError(
                f"rule {entry.meta.rule}: no contract declares values of column {values_of!r}"
                f" (declared: {', '.join(declared) or 'none'}); give the column `values` in the pipeline's YAML, or list"
                " the values, as the `value_set` of another expectation"
            )
        kwargs["value_set"] = list(declared[values_of])
    query = kwargs.get(QUERY)
    if query is not None and "{batch}" not in query:
        raise ValueError(
            f"rule {entry.meta.rule}: the query does not read {{batch}}, so it checks nothing of it"
        )
    # Some expectations change the arguments that they are given.
    configuration = ExpectationConfiguration(type=entry.type, kwargs=kwargs, meta=entry.meta.model_dump())
    named = [kwargs[key] for key in ("column", "column_A", "column_B", "by") if kwargs.get(key)]
    compares = entry.type in expectations.COMPARING
    expectation = configuration.to_domain_obj()
    return Rule(
        meta=entry.meta,
        kind=entry.type,
        columns=(*named, *kwargs.get("column_list", ())),
        query=getattr(expectation, QUERY, None),
        expectation=expectation,
        arguments=kwargs,
        history_days=kwargs.get("days", 0) if compares else 0,
        min_days=getattr(expectation, "min_days", 0),
        reference_table=kwargs["table"] if compares and "table" in kwargs else "",
    )


def _check_names(entry: _Entry) -> None:
    """Refuse an argument that the rule's type does not have, and name those that it has."""
    from great_expectations.expectations.expectation import BatchExpectation
    from great_expectations.expectations.registry import get_expectation_impl

    from sluice.gates import expectations

    known = set(get_expectation_impl(entry.type).__fields__)
    if entry.type in expectations.TYPES:
        known -= {QUERY}
    if entry.type == _DECLARED:
        known -= {"value_set"}
    elif "value_set" in known:
        known |= {_VALUES_OF}
        if {"value_set", _VALUES_OF} <= set(entry.arguments):
            raise ValueError(f"rule {entry.meta.rule}: give either `value_set` or `{_VALUES_OF}`")
    if entry.type in all_columns.TYPES:
        known |= {all_columns.ARGUMENT}
        if {"column_list", all_columns.ARGUMENT} <= set(entry.arguments):
            raise ValueError(f"rule {entry.meta.rule}: give either `column_list` or `{all_columns.ARGUMENT}`")
    for name in entry.arguments:
        if name not in known:
            allowed = sorted(known - set(BatchExpectation.__fields__))
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"rule {entry.meta.rule}: {entry.type} has no argument {name!r} (allowed: {', '.join(allowed)}){hint}"
            )


def columns_of(spec: Pipeline, table: str) -> dict[str, str]:
    """DuckDB types of a table's columns, by name."""
    if table == PREDICTIONS:
        import duckdb

        from sluice_ml.scoring import schema

        rows = duckdb.from_arrow(schema(spec.model.key).empty_table())
        return {**dict(zip(rows.columns, map(str, rows.types), strict=True)), **_DERIVED}
    if table in spec.sources:
        return spec.sources[table].contract.sql_types
    path, declared = _properties(spec, table)
    try:
        return {column["name"]: column["data_type"] for column in declared["columns"]} | _DERIVED
    except (KeyError, TypeError) as error:
        raise SpecInvalidError(
            f"The columns of model {declared['name']!r} are not declared with name and data_type.",
            where=str(path),
            todo="give every column both, and run `sluice check`",
        ) from error


def descriptions_of(spec: Pipeline, table: str) -> dict[str, str]:
    """What dbt's properties file says of the columns of a derived table, by name; "" where it says nothing."""
    _, declared = _properties(spec, table)
    return {column["name"]: column.get("description") or "" for column in declared["columns"]}


def _properties(spec: Pipeline, table: str) -> tuple[Path, dict[str, Any]]:
    """The properties file of dbt that declares the model of a derived table, and what it says of it."""
    model = spec.derived[table].model
    folder = settings().dbt_project / "models" / spec.pipeline
    # The one that is named like the model first: it takes as long to parse all as to judge a table.
    for path in sorted(folder.rglob("*.yml"), key=lambda path: (path.stem != model, path)):
        found = path.stat()
        for declared in _models(path, found.st_mtime_ns, found.st_size):
            if declared.get("name") == model:
                return path, declared
    raise SpecInvalidError(
        f"No properties file of dbt declares the columns of model {model!r}, which table {table!r} is made of.",
        where=str(folder),
        todo=f"add {model}.yml beside the model, with its columns and their data_type",
    )


@lru_cache(maxsize=32)
def _models(path: Path, _modified: int, _size: int) -> Sequence[dict[str, Any]]:
    """Models that a properties file of dbt declares; read again once it is another file."""
    read = strict_yaml.read(path)
    return (read.get("models") or ()) if isinstance(read, dict) else ()


def _explain(error: Exception) -> str:
    """An error of pydantic, Great Expectations or DuckDB on one line."""
    if not hasattr(error, "errors"):
        return str(error).partition("\n")[0]
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {strict_yaml.sentence(item)}".lstrip(": ")
        for item in error.errors()
    )


def _invalid(where: Path, problems: list[str]) -> SpecInvalidError:
    return SpecInvalidError(
        "; ".join(problems),
        where=str(where),
        todo="correct the suite and run `sluice check`",
    )
