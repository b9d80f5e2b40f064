"""Take the expectations of an existing Great Expectations suite (1.x, or 0.18) into the suite of a table.

The rules kept here: what is taken means what it meant, or is refused with what to do; it only warns until a person has reviewed it;
and no rule that is there is touched. Before anything is written each new rule is asked, by the gate's own engine, about rows with
values and about rows without any, because a rule that breaks makes a gate publish nothing, whatever its severity.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sluice.core.errors import SpecInvalidError
from sluice.core.sql import literal, quoted
from sluice.gates import engine, suite_text, suites, unjudged

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.suites import Rule

# Characters of a note of the file that become a part of a `why`.
_NOTE = 500
_BY_HAND = "write it as one of the types of docs/operations.md, Rules of a batch"
_IN_CONTRACT = "declare columns and types in the contract: a delivery that differs is refused before any gate"
# Arguments that say how to run an expectation, not what it expects; what GX 1.x has no longer, where it says what is so anyway.
_HOW = {"result_format", "include_config", "catch_exceptions", "batch_id", "auto", "profiler_config"}
_GONE = {"parse_strings_as_datetimes", "allow_cross_type_comparisons", "output_strftime_format"}
# What GX asks about a batch as a whole, of which a partition may be one of several, as SQL about each day.
_AGGREGATES = {
    "expect_table_row_count_to_be_between": "count(*)",
    "expect_table_row_count_to_equal": "count(*)",
    "expect_column_max_to_be_between": "max({0})",
    "expect_column_mean_to_be_between": "avg({0})",
    "expect_column_median_to_be_between": "median({0})",
    "expect_column_min_to_be_between": "min({0})",
    "expect_column_proportion_of_non_null_values_to_be_between": "count({0}) / count(*)",
    "expect_column_proportion_of_unique_values_to_be_between": "count(distinct {0}) / nullif(count({0}), 0)",
    "expect_column_stdev_to_be_between": "stddev_samp({0})",
    "expect_column_sum_to_be_between": "sum({0})",
    "expect_column_unique_value_count_to_be_between": "count(distinct {0})",
}
# What its engine cannot ask of DuckDB, as a condition of each row.
_CONDITIONS = {
    "expect_column_values_to_match_regex": ("regex", "regexp_matches({0}, {1})"),
    "expect_column_values_to_not_match_regex": ("regex", "not regexp_matches({0}, {1})"),
    "expect_column_values_to_match_like_pattern": ("like_pattern", "{0} like {1}"),
    "expect_column_values_to_not_match_like_pattern": ("like_pattern", "{0} not like {1}"),
}
_RENAMED = {
    "expect_multicolumn_values_to_be_unique": "expect_select_column_values_to_be_unique_within_record"
}
_BOUNDS = {"column", "value", "min_value", "max_value", "strict_min", "strict_max"}


class _RefusedError(Exception):
    def __init__(self, why: str, todo: str) -> None:
        self.why, self.todo = why, todo


@dataclass(frozen=True)
class Refused:
    """An expectation that was not taken, by its place in the file."""

    expectation: int
    what: str
    why: str
    todo: str

    def sentence(self) -> str:
        return f"expectation {self.expectation}, {self.what}: {self.why}. Next: {self.todo}."


@dataclass(frozen=True)
class Imported:
    """What became of the expectations of a file; `already` are rules that are there with the same type and arguments."""

    path: Path
    taken: tuple[str, ...]
    already: tuple[str, ...]
    refused: tuple[Refused, ...]


def take(spec: Pipeline, table: str, file: Path) -> Imported:
    """Add the expectations of a file to the suite of a table, which is made where there is none.

    Raises:
        SpecInvalidError: the file is no suite of Great Expectations, or the table's own suite cannot be used as it is.
    """
    found, version = _read(file)
    path, text = suites.path_of(spec, table), suite_text.new(f"{spec.pipeline}.{table}")
    if path.is_file():
        suites.load(spec, table)
        text = path.read_text(encoding="utf-8")
    there = {entry["meta"]["rule"]: entry for entry in suite_text.entries(text)}
    columns, read = suites.columns_of(spec, table), suites.reader(spec, table)
    names: Counter[str] = Counter()
    new: dict[str, tuple[int, dict[str, Any], Rule]] = {}
    already, refused = [], []
    for number, recorded in enumerate(found, start=1):
        what = _named(recorded)
        try:
            name = _rule_name(recorded, names)
            kind, arguments = _converted(recorded, columns)
            was = f" It was {recorded['severity']}." if isinstance(recorded.get("severity"), str) else ""
            why = f"Imported from {file.name}{version}.{was}{_note(recorded)} {suite_text.REVIEW}"
            meta = {"rule": name, "severity": "warn", "owner": spec.owner_of(table), "why": why}
            entry = {"type": kind, "kwargs": arguments, "meta": meta}
            _require_text(entry)
            if _same(entry, there.get(name)):
                already.append(name)
                continue
            if name in there:
                raise _RefusedError(
                    f"a rule {name} is there, and differs",
                    "keep it, or remove or rename it and import again; nothing is ever overwritten",
                )
            rule = _rule(read, entry)
            if unjudged.can_be(rule.expectation):
                # As it was: a row without a value was left out.
                meta["unjudged"] = "pass"
                rule = _rule(read, entry)
            new[name] = number, entry, rule
        except _RefusedError as error:
            refused.append(Refused(number, what, error.why, error.todo))
    rules = [rule for _, _, rule in new.values()]
    for name, problem in (_broken(columns, rules) if rules else {}).items():
        number, _, _ = new.pop(name)
        refused.append(Refused(number, _named(found[number - 1]), problem, _BY_HAND))
    if new:
        suite_text.write(spec, table, suite_text.append(text, [entry for _, entry, _ in new.values()]))
    return Imported(path, tuple(new), tuple(already), tuple(sorted(refused, key=lambda one: one.expectation)))


def _read(file: Path) -> tuple[list[Any], str]:
    """The expectations of a file, and which version of GX has written it, as an apposition."""
    problem = ""
    try:
        read = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error) or type(error).__name__
    else:
        if isinstance(read, dict) and isinstance(read.get("expectations"), list) and read["expectations"]:
            meta = read.get("meta")
            version = meta.get("great_expectations_version") if isinstance(meta, dict) else None
            said = f", a suite of Great Expectations {version}" if isinstance(version, str) else ""
            return read["expectations"], said
        problem = "it has no list `expectations` with something in it"
    raise SpecInvalidError(
        f"This is not a suite of Great Expectations: {problem}.",
        where=str(file),
        allowed='a JSON file with `"expectations": [{"type": ..., "kwargs": {...}}]` (1.x) or `"expectation_type"` (0.18)',
        todo="export the suite as JSON, and import that file",
    )


def _kind(recorded: Any) -> tuple[str, dict[str, Any]]:
    """Type and arguments of an expectation, as 1.x or 0.18 has them."""
    kind = recorded.get("type", recorded.get("expectation_type")) if isinstance(recorded, dict) else None
    arguments = recorded.get("kwargs") if isinstance(recorded, dict) else None
    if not isinstance(kind, str) or not isinstance(arguments, dict):
        raise _RefusedError("it is not an object with a type and `kwargs`", "correct the file")
    return kind, arguments


def _named(recorded: Any) -> str:
    try:
        kind, arguments = _kind(recorded)
    except _RefusedError:
        return "of no type"
    column = arguments.get("column")
    return f"{kind} of {column}" if isinstance(column, str) else kind


def _rule_name(recorded: Any, names: Counter[str]) -> str:
    """A name from type and column; the second of one name has a 2 at its end."""
    kind, arguments = _kind(recorded)
    column, what = arguments.get("column"), kind.removeprefix("expect_")
    if isinstance(column, str):
        what = suite_text.rule_name(column, re.sub("^column_(values_)?(to_)?", "", what))
    name = re.sub("[^a-z0-9]+", "_", what.lower()).strip("_") or "rule"
    names[name] += 1
    return name if names[name] == 1 else f"{name}_{names[name]}"


def _converted(recorded: Any, columns: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Type and arguments in the words of 1.x and of our own types; what would change its meaning is refused."""
    from sluice.gates import expectations

    kind, given = _kind(recorded)
    if kind in expectations.TYPES or any("query" in name for name in given):
        raise _RefusedError(
            "it is SQL, which a person reads before it is run",
            "copy it by hand into the suite, with its `meta`",
        )
    if "other_table_name" in given:
        raise _RefusedError("it is about another table", "write it as expect_rows_to_agree_with_table")
    if kind.startswith(("expect_table_column", "expect_column_to_exist", "expect_column_type")) or kind in (
        "expect_column_values_to_be_of_type",
        "expect_column_values_to_be_in_type_list",
    ):
        raise _RefusedError("the contract says it", _IN_CONTRACT)
    if recorded.get("windows") or '"$PARAMETER"' in json.dumps(given):
        raise _RefusedError(
            "a parameter of its suite or of earlier runs stands in the place of a value",
            "give the value, or write a rule that compares with history",
        )
    if given.get("row_condition") is not None:
        raise _RefusedError(
            "it has a row_condition, and a day on which no row fulfils that would break the gate",
            "write it as expect_rows_to_satisfy_condition, `(not (CONDITION)) or (WHAT HAS TO HOLD)`",
        )
    left = {
        name: value
        for name, value in given.items()
        if name not in _HOW and value is not None and not (name in _GONE and value is False)
    }
    if gone := sorted(_GONE & set(left)):
        raise _RefusedError(
            f"GX 1.x has no argument {gone[0]}", "give the column its type in the contract, and bounds of it"
        )
    left.pop("condition_parser", None)  # of a row_condition that is not there
    named = [left[key] for key in ("column", "column_A", "column_B") if key in left]
    listed = left.get("column_list")
    for name in [*named, *(listed if isinstance(listed, list) else ())]:
        if str(name) not in columns:
            near = difflib.get_close_matches(str(name), columns, n=1)
            raise _RefusedError(
                f"the table has no column {name!r}{f'; did they mean {near[0]!r}?' if near else ''}",
                f"name one of {', '.join(columns)} in the file",
            )
    _require_text(left)
    if kind in _AGGREGATES:
        return _of_days(kind, left)
    return _of_rows(kind, left) if kind in _CONDITIONS else (_RENAMED.get(kind, kind), left)


def _require_text(what: Any) -> None:
    try:
        json.dumps(what, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise _RefusedError("a value is no number or no text that JSON can hold", "correct it") from None


def _of_rows(kind: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A pattern of texts as a condition in SQL."""
    argument, condition = _CONDITIONS[kind]
    if set(given) - {"mostly"} != {"column", argument} or not isinstance(given[argument], str):
        raise _RefusedError(f"{kind} takes a column, a {argument} and `mostly`", "correct it")
    said = {"condition": condition.format(quoted(given["column"]), literal(given[argument]))}
    return "expect_rows_to_satisfy_condition", said | {key: given[key] for key in ("mostly",) if key in given}


def _of_days(kind: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A number about a batch as a whole as one about each day of it."""
    if odd := sorted(set(given) - _BOUNDS):
        raise _RefusedError(f"{kind} has no argument {odd[0]!r}", "correct it")
    bounds = {
        sign: given[name]
        for name, sign in (
            ("min_value", ">" if given.get("strict_min") else ">="),
            ("max_value", "<" if given.get("strict_max") else "<="),
            ("value", "="),
        )
        if name in given
    }
    if not bounds or any(isinstance(value, (bool, list, dict)) for value in bounds.values()):
        raise _RefusedError("it has no bound that is a number, a day or a text", "give it one")
    said = {
        sign: literal(value) if isinstance(value, str) else json.dumps(value)
        for sign, value in bounds.items()
    }
    condition = (
        f"found between {said['>=']} and {said['<=']}"
        if set(said) == {">=", "<="}
        else " and ".join(f"found {sign} {value}" for sign, value in said.items())
    )
    measured = _AGGREGATES[kind].format(quoted(given.get("column", "")))
    return "expect_groups_to_satisfy_condition", {"aggregates": {"found": measured}, "condition": condition}


def _note(recorded: Mapping[str, Any]) -> str:
    """What somebody has said of an expectation, in 1.x or 0.18; with a blank before it."""
    meta = recorded.get("meta")
    said = [recorded.get("description"), recorded.get("notes"), (meta or {}).get("notes") if isinstance(meta, dict) else None]  # fmt: skip
    texts = []
    for one in said:
        content = one.get("content") if isinstance(one, dict) else one
        texts += content if isinstance(content, list) else [content]
    note = " ".join(" ".join(one for one in texts if isinstance(one, str)).split())[:_NOTE]
    return f" It says: {note}" if note else ""


def _rule(read: Any, entry: dict[str, Any]) -> Rule:
    try:
        return read(entry)
    except ValueError as error:
        raise _RefusedError(str(error), _BY_HAND) from None


def _same(one: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    return other is not None and all(one[key] == other[key] for key in ("type", "kwargs"))


def _broken(columns: Mapping[str, str], rules: Sequence[Rule]) -> dict[str, str]:
    """Why rules break that are asked about rows with values, or about rows without any, by name."""
    import duckdb

    def row(digit: int) -> str:
        """Each column has a value, by its type from a digit or from a day."""
        values = (
            f"coalesce(try_cast('{digit}' as {kind}), try_cast('2000-01-0{digit}' as {kind})) as {quoted(name)}"
            for name, kind in columns.items()
        )
        return f"select {', '.join(values)}"

    found: dict[str, str] = {}
    with TemporaryDirectory(prefix="sluice-import-") as folder, duckdb.connect() as con:
        file = f"{folder}/rows.parquet"
        for when, query in (
            ("", f"{row(1)} union all {row(2)}"),
            ("on a day without values ", f"select b.* from (select 1) left join ({row(1)}) as b on false"),  # noqa: S608
        ):
            con.sql(query).write_parquet(file)
            with engine.opened({"rows": file}) as staged:
                for one in staged.evaluate(rules, show_rows=True):
                    if one.result.broken:
                        problem = f"{when}the gate would break: {one.result.observed}"
                        found.setdefault(one.result.rule, problem)
    return found
