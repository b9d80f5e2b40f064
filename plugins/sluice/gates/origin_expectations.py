"""Expectation types that compare a batch with the very rows it was made of: one for each, values and scores computed again.

The platform adds rules of these types itself (`sluice.gates.origin`), which also makes the views that they read. A finding
is a day's, in numbers that say what is wrong: they are told as sentences, and keys are in them only where values may be quoted.

Custom SQL expectations of Great Expectations, whose import takes seconds: import this module in a function.
"""

# ruff: noqa: S608 - names are quoted, expressions are declared
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from great_expectations.compatibility import pydantic

from sluice.core.sql import literal, quoted
from sluice.gates.conditions import FromArguments, as_query
from sluice_ml.recomputation import SAME_NEAR_ZERO, SAME_SCORE

# The views of the rows that a batch was made of, and of scores that were computed again. No table is named like this.
INPUT, SCORES = "_input", "_scores"
# Keys that a finding names.
_NAMED = 3
# Days and kinds of findings that a sentence tells.
_SHOWN = 3
# Rows of a day from which on ranks are compared, and standard errors of a rank correlation of unrelated scores, 1 / sqrt(n - 1), that
# are more than chance: docs/thresholds.md, "Scores against those of others".
_COMPARED, _BEYOND_CHANCE = 200, 3


class InWords(FromArguments):
    """A rule whose findings are told as sentences."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    @abstractmethod
    def sentence(self, found: Mapping[str, Any], *, show: bool) -> str:
        """What one finding says; `show` says whether values of the data may be quoted."""

    def in_words(self, findings: Sequence[Mapping[str, Any]], *, show: bool) -> str:
        shown = [self.sentence(one, show=show) for one in findings[:_SHOWN]]
        more = len(findings) - len(shown)
        return "; ".join([*shown, *([f"and {more} more"] if more else [])])

    def _validate(
        self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None
    ) -> dict:
        found = [dict(row) for row in metrics["unexpected_rows_query.table"]]
        return {
            "success": not found,
            "result": {"observed_value": len(found), "details": {"unexpected_rows": found}},
        }


def _cast(value: str, kind: str) -> str:
    return f"try_cast({value} as {kind})"


def _typed(value: str, kind: str) -> str:
    """SQL of a batch's key as its type; a text that says a whole number in another way than the type does ('7.0') is none: it finds no
    partner where keys are joined as text."""
    if not kind.endswith(("INT", "INTEGER")):
        return _cast(value, kind)
    other = f"typeof({value}) = 'VARCHAR' and cast(try_cast({value} as {kind}) as varchar) <> cast({value} as varchar)"
    return f"if({other}, null, try_cast({value} as {kind}))"


class _ByKey(InWords):
    """A rule that finds the rows of the input by key.

    `table` is the input's name, `key` are SQL expressions over the batch and `input_key` over the input, compared as DuckDB's `types`.
    """

    table: str
    key: list[str] = pydantic.Field(min_items=1)
    input_key: list[str] = pydantic.Field(min_items=1)
    types: list[str] = pydantic.Field(min_items=1)

    def identity(self, key: Sequence[str], typed: Callable[[str, str], str] = _cast) -> str:
        """What tells rows apart, and how a key is shown. A null is equal to nulls alone: not to what has not the type."""
        values = [f"{typed(one, kind)}, ({one}) is null" for one, kind in zip(key, self.types, strict=True)]
        shown = ", ".join(map(_text, key))
        return f"hash(ds, {', '.join(values)}) as _hash, concat_ws('|', {shown}) as _key"


class ExpectOneRowForEachInput(_ByKey):
    """For each row of the input there is one row with its key: none is missing, extra, or there twice.

    `segments` are columns of the input by which missing rows are told, where all of a value are. `left_out` rows may be missing, for
    a reason, and at most `max_left_out`; where it is another number, `rows_by_model` are the rows of the dbt models on the way.
    """

    segments: list[str] = []
    left_out: int = 0
    max_left_out: int = 0
    rows_by_model: dict[str, int] = {}

    def statement(self) -> str:
        # Keys are told apart by their hash, a number however long they are, in one pass over both sides.
        lost = [
            f"""
            select input.ds, {literal(name)} as name, lost.value, count(*) as rows, lost.rows as lost
            from input join (select ds, cast({quoted(name)} as varchar) as value, count(*) as rows from missing group by all) as lost
                on lost.ds = input.ds and lost.value = cast(input.{quoted(name)} as varchar)
            group by all"""
            for name in self.segments
        ] or ["select null::date as ds, '' as name, '' as value, 0 as rows, 1 as lost where false"]
        return as_query(f"""
            with made as (select ds, {self.identity(self.key, _typed)} from {{batch}}),
            input as (select {", ".join(["ds", self.identity(self.input_key), *map(quoted, self.segments)])} from {INPUT}),
            different as (
                select _hash, sum(n) as n from (select _hash, 1 as n from made union all select _hash, -1 from input)
                group by _hash having sum(n) <> 0
            ),
            missing as (
                from input join different using (_hash) where n < 0 qualify row_number() over (partition by _hash) <= -n
            ),
            surplus as (
                select *, _hash in (select _hash from input where _hash in (select _hash from different)) as is_known
                from made where _hash in (select _hash from different where n > 0)
            ),
            segments as ({" union all ".join(lost)}),
            whole as (
                select ds, string_agg(name || ' ' || value, ', ' order by segments.rows desc, name) as all_of
                from segments join (select ds, count(*) as rows from missing group by ds) as total using (ds)
                where segments.rows = lost and lost >= total.rows / 10 group by ds
            ),
            totals as (
                select ds, count(*) as input_rows from input where ds in (select ds from missing union all select ds from surplus) group by ds
            )
            select ds, problem, rows, coalesce(input_rows, 0) as input_rows,
                if(problem = 'missing' and rows < input_rows, all_of, null) as all_of, such_as
            from (
                select ds, 'missing' as problem, count(*) as rows, {_first("_key")} as such_as from missing group by ds
                union all
                select ds, if(is_known, 'repeated', 'extra'), count(*), {_first("_key")} from surplus group by ds, is_known
                union all
                select min(ds), 'left out', {self.left_out}, null from input having {self.left_out} > {self.max_left_out}
            ) left join totals using (ds) left join whole using (ds)
            where problem <> 'missing' or (select count(*) from missing) <> {self.left_out}
            order by ds, problem""")

    def in_words(self, findings: Sequence[Mapping[str, Any]], *, show: bool) -> str:
        counts = ", ".join(f"{rows:,} in {model}" for model, rows in self.rows_by_model.items())
        return super().in_words(findings, show=show) + (f". Rows on the way: {counts}" if counts else "")

    def sentence(self, found: Mapping[str, Any], *, show: bool) -> str:
        rows, total = found["rows"], found["input_rows"]
        said = {
            "missing": f"{rows:,} of {total:,} rows of {self.table} have no row here",
            "extra": f"{rows:,} rows are made of no row of {self.table}",
            "repeated": f"{rows:,} rows are for the same rows of {self.table} as others",
            "left out": f"{rows:,} rows of {self.table} were left out for a reason, where at most {self.max_left_out:,} may be (`max_left_out`)",
        }[found["problem"]]
        if found["problem"] == "left out":
            return said
        if found["problem"] == "missing" and self.left_out:
            said += f" ({self.left_out:,} of all days may be left out for a reason)"
        among = f", among them all of {found['all_of']}" if show and found["all_of"] else ""
        return f"{said} on {found['ds']}{among}{_such_as(found) if show else ''}"


class ExpectValuesToBeReproduced(_ByKey):
    """Columns have the values that SQL over the row of the input with the same key gives.

    `values` are these expressions by column, compared as DuckDB's `value_types`. A key that several rows of the input have is not
    compared, and what is missing or extra is told by `ExpectOneRowForEachInput`.
    """

    values: dict[str, str]
    value_types: list[str]
    view: str = INPUT

    def statement(self) -> str:
        given = [
            f"cast(({one}) as {kind}) as _value_{place}"
            for place, (one, kind) in enumerate(zip(self.values.values(), self.value_types, strict=True))
        ]
        made = [f"{quoted(name)} as _made_{place}" for place, name in enumerate(self.values)]
        compared = [
            self._wrong(name, f"_made_{place}", f"_value_{place}") for place, name in enumerate(self.values)
        ]
        return as_query(f"""
            with given as (
                select {", ".join([self.identity(self.input_key), *given])} from {self.view}
                qualify count(*) over (partition by _hash) = 1
            ),
            made as (select {", ".join(["ds", self.identity(self.key), *made])} from {{batch}}),
            compared as (select made.*, given.* exclude (_hash, _key) from made join given using (_hash))
            from ({" union all ".join(compared)}) where rows > 0 order by ds, name""")

    @staticmethod
    def _wrong(name: str, made: str, given: str) -> str:
        wrong = f"{made} is distinct from {given}"
        shown = f"concat(_key, ' ', {_text(made)}, ' (expected ', {_text(given)}, ')')"
        return f"""
            select ds, {literal(name)} as name, count(*) as of_rows, count(*) filter ({wrong}) as rows, {_first(shown, wrong)} as such_as
            from compared group by ds"""

    def sentence(self, found: Mapping[str, Any], *, show: bool) -> str:
        name = found["name"]
        return (
            f"{found['rows']:,} of {found['of_rows']:,} values of {name} on {found['ds']} are not what {self.table} gives by"
            f" `{self.values[name]}`{_such_as(found) if show else ''}"
        )


class ExpectScoresToBeReproduced(InWords):
    """Scores are those that their model gives again for the rows that it scored, and each of these rows has one.

    `key` is the column that names what was predicted, compared as DuckDB's `type`; `model` is how a sentence calls what scored.
    """

    key: str
    type: str
    model: str

    def statement(self) -> str:
        return f"""
            with compared as (
                select ds, key, score, expected, predicted is not null as is_there,
                    (abs(score - expected) <= {SAME_SCORE} * expected + {SAME_NEAR_ZERO}) is not true as wrong
                from {SCORES} left join (
                    select ds, try_cast({quoted(self.key)} as {self.type}) as key, score, true as predicted from {{batch}}
                ) using (ds, key)
            ),
            usable as (from compared where score between 0 and 1)
            select ds, is_there, any_value(of_rows) as of_rows, count(*) as rows,
                avg(score) as mean, avg(expected) as expected_mean,
                count(distinct score) filter (score is not null) as values, min(score) as least,
                count(*) filter (score is null or isnan(score)) as unknown,
                max(abs(score + expected - 1)) < 1e-5 as is_inverted,
                min(score / nullif(expected, 0)) as least_factor, max(score / nullif(expected, 0)) as factor,
                abs(sum(score) - sum(expected)) < 1e-5 * sum(expected)
                    and abs(sum(score * score) - sum(expected * expected)) < 1e-5 * sum(expected * expected) as is_shuffled,
                any_value(correlation) as correlation, {_first("key || ' ' || round(score, 4) || ' (expected ' || round(expected, 4) || ')'")} as such_as
            from compared join (select ds, count(*) as of_rows from compared group by ds) using (ds)
                left join (select ds, corr(score, expected) as correlation from usable group by ds having count(*) > 1) using (ds)
            where wrong group by ds, is_there order by ds, is_there desc"""

    def sentence(self, found: Mapping[str, Any], *, show: bool) -> str:
        of = f"{found['rows']:,} of {found['of_rows']:,}"
        if not found["is_there"]:
            return f"{of} rows of {found['ds']} that were scored again have no score here under their key"
        said = f"{of} scores of {found['ds']} are not what {self.model} gives for the same rows"
        return f"{said}: {self._how(found)}{_such_as(found)}" if show else said

    def _how(self, found: Mapping[str, Any]) -> str:
        """What is known of the scores that are wrong, most telling first."""
        if found["unknown"] == found["rows"]:
            return "they are no numbers"
        if found["rows"] > 1 and found["values"] == 1:
            return f"each of them is {found['least']:.4g}"
        if found["is_inverted"]:
            return "they are inverted, each 1 less what it should be"
        if found["rows"] > 1 and found["is_shuffled"]:
            return "they are the right scores, of other rows"
        least, most = found["least_factor"], found["factor"]
        if most and found["rows"] > 1 and most - least <= 1e-4 * most:
            return f"each of them is {most:.4g} times what it should be"
        correlation = "" if found["correlation"] is None else f", correlation {found['correlation']:.2f}"
        return f"their mean is {found['mean']:.4g} in place of {found['expected_mean']:.4g}{correlation}"


class ExpectScoresToRankLikePeers(InWords):
    """Scores rank the rows of a day not opposite to others that predict the same, and like one that was a good model itself.

    `peers` are columns of scores by what a sentence calls them, of which `must_be_alike` has to be correlated with the scores, and no
    other may be correlated inversely: by ranks (Spearman), beyond chance. `key` and `type` as above.
    """

    key: str
    type: str
    peers: dict[str, str]
    must_be_alike: str

    def statement(self) -> str:
        ranks = [f"{_rank(name)} as {quoted(f'rank_{name}')}" for name in ("score", *self.peers)]
        found = [
            f"""
            select ds, {literal(name)} as peer, count(*) as rows, corr(rank_score, {quoted(f"rank_{name}")}) as correlation,
                {1 if name == self.must_be_alike else -1} * {_BEYOND_CHANCE} / sqrt(count(*) - 1) as least
            from ranked group by ds"""
            for name in self.peers
        ]
        return f"""
            with ranked as (
                select ds, {", ".join(ranks)} from {SCORES} join (
                    select ds, try_cast({quoted(self.key)} as {self.type}) as key, score from {{batch}} where score between 0 and 1
                ) using (ds, key)
            )
            from ({" union all ".join(found)}) where rows >= {_COMPARED} and correlation < least order by ds, peer"""

    def _validate(
        self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None
    ) -> dict:
        found = super()._validate(metrics, runtime_configuration, execution_engine)
        found["result"]["details"]["compared"] = (
            f"not unlike {' and '.join(self.peers.values())}, of days with {_COMPARED} rows or more"
        )
        return found

    def sentence(self, found: Mapping[str, Any], *, show: bool) -> str:
        return (
            f"scores do not rank {found['rows']:,} rows of {found['ds']} as {self.peers[found['peer']]} does: rank correlation"
            f" {found['correlation']:.2f}, at least {found['least']:.2f} expected"
        )


class ExpectRowsToSayWhatMadeThem(InWords):
    """Columns that say of each row what made it have the one value that was recorded when it was made.

    `values` are these, as texts, by column.
    """

    values: dict[str, str | None]

    def statement(self) -> str:
        counted, found = [], []
        for place, (name, value) in enumerate(self.values.items()):
            recorded = "null" if value is None else literal(value)
            wrong = f"filter (cast({quoted(name)} as varchar) is distinct from {recorded})"
            counted.append(
                f"count(*) {wrong} as rows_{place}, min({_text(quoted(name))}) {wrong} as such_as_{place}"
            )
            found.append(f"""
                select ds, {literal(name)} as name, coalesce({recorded}, 'null') as recorded,
                    of_rows, rows_{place} as rows, such_as_{place} as such_as
                from counted""")
        return as_query(f"""
            with counted as (select ds, count(*) as of_rows, {", ".join(counted)} from {{batch}} group by ds)
            from ({" union all ".join(found)}) where rows > 0 order by ds, name""")

    def sentence(self, found: Mapping[str, Any], *, show: bool) -> str:
        return (
            f"{found['rows']:,} of {found['of_rows']:,} rows of {found['ds']} do not have {found['name']} {found['recorded']},"
            f" which was recorded when they were made{_such_as(found) if show else ''}"
        )


TYPES: Mapping[str, type] = {
    one.expectation_type: one
    for one in (
        ExpectOneRowForEachInput,
        ExpectValuesToBeReproduced,
        ExpectScoresToBeReproduced,
        ExpectScoresToRankLikePeers,
        ExpectRowsToSayWhatMadeThem,
    )
}


def _first(what: str, where: str = "true") -> str:
    """The first of some texts, of the rows that satisfy a condition."""
    return f"array_to_string(min({what}, {_NAMED}) filter ({where}), ', ')"


def _rank(column: str) -> str:
    """The rank of a value on its day; equal values share the mean of their ranks."""
    name = quoted(column)
    return (
        f"rank() over (partition by ds order by {name}) + (count(*) over (partition by ds, {name}) - 1) / 2"
    )


def _text(value: str) -> str:
    return f"coalesce(cast({value} as varchar), 'null')"


def _such_as(found: Mapping[str, Any]) -> str:
    return f", such as {found['such_as']}" if found["such_as"] else ""
