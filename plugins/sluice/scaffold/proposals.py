"""Propose the numeric bounds of a suite's rules again, from what is published, as a diff of its file.

The rules kept here: a bound leaves the room of `sluice.scaffold.headroom` around the most extreme published day; nothing is proposed from
fewer than `FEWEST_DAYS`; days on a waiver do not count; and of each change it is said whether it makes a rule looser. A rule that holds
has let none of its failing days be published, so that what it held is not among what is measured.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sluice.core.sql import quoted
from sluice.gates import history_sql, measuring, suite_text, suites
from sluice.scaffold import headroom

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.spec import Pipeline
    from sluice.gates.expectations import FitsHistory
    from sluice.gates.suites import Rule

# Four weeks: each day of the week four times, and the `days` that `sluice new` lets history rules look back on. By the rule of three
# a bound that none of n days broke is broken by fewer than 3 in n clean days (at 95%), here by one in nine.
FEWEST_DAYS = 28
# A bound that is off by less of the room that it is to leave stays what a person has written.
_NEAR = 0.1
# What is this part of its bound at most is what computing in floats leaves of 0: a bound of it would fail on the next value.
_NOISE = 1e-9
# In the `why` of a rule that a program has written.
_AGAIN = re.compile(
    rf"(Its bounds were measured again on [\d,]+ published days\. )?{re.escape(suite_text.REVIEW)}"
)
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_BETWEEN = re.compile(rf"(.+)\bbetween {_NUMBER} and {_NUMBER}", re.IGNORECASE | re.DOTALL)
_ONE_SIDED = re.compile(rf"(.+?)\s*(<=|>=|<|>)\s*{_NUMBER}", re.DOTALL)
_COMPOUND = re.compile(r"\b(and|or|not|is|in|case|between)\b|[<>=]", re.IGNORECASE)
# What GX asks of each row's value.
_OF_VALUES = {
    "expect_column_values_to_be_between": "{0}",
    "expect_column_value_lengths_to_be_between": "length({0})",
}
# Statistics that are no shares: one of 1 and more is a limit, too.
_NO_SHARES = (
    "expect_table_row_count_to_fit_history",
    "expect_column_means_to_fit_history",
    "expect_column_magnitudes_to_fit_history",
)


class _NotProposedError(Exception):
    """Why the bounds of a rule cannot be proposed."""


@dataclass(frozen=True)
class Change:
    """One bound of a rule, and the day that came closest to it."""

    rule: str
    severity: str
    what: str
    old: float
    new: float
    looser: bool
    days: int
    found: float
    day: str
    # Days that are beyond the bound as it is; they count.
    days_beyond: int

    @property
    def lets_more_through(self) -> bool:
        """Whether more would be published with it: it loosens a rule that holds, or that sets rows aside."""
        return self.looser and self.severity != "warn"

    def sentence(self) -> str:
        how = (
            f"LOOSENS A RULE THAT {'HOLDS' if self.severity == 'hold' else 'SETS ROWS ASIDE'}"
            if self.lets_more_through
            else "LOOSER"
            if self.looser
            else "tighter"
        )
        return (
            f"{self.rule} ({self.severity}): {self.what} {self.old:.12g} to {self.new:.12g}, {how};"
            f" {self.days:,} days, the closest {self.found:.4g} on {self.day}, {self.days_beyond or 'none'} beyond it now"
        )


@dataclass(frozen=True)
class Proposal:
    """What is proposed of one suite: its text before and after, the changed bounds, and why others were not proposed."""

    path: Path
    old: str
    new: str
    changes: tuple[Change, ...]
    not_proposed: Mapping[str, str]
    without_bounds: tuple[str, ...]

    def diff(self) -> list[str]:
        old, new = self.old.splitlines(), self.new.splitlines()
        return list(difflib.unified_diff(old, new, str(self.path), f"{self.path} (proposed)", lineterm=""))

    def summary(self) -> Iterator[str]:
        """Each change, why other bounds are not proposed, and how many loosen a rule that holds."""
        for change in self.changes:
            yield change.sentence()
        for what, why in self.not_proposed.items():
            yield f"{what}: not proposed, because {why}"
        if self.without_bounds:
            yield f"no plain numeric bound: {', '.join(self.without_bounds)}"
        loosened = {one.rule: None for one in self.changes if one.lets_more_through}
        said = f", of which these would let more through: {', '.join(loosened)}" if loosened else ""
        yield f"{len(self.changes)} bounds would change{said}"


# Where a value of an expectation is, and the value.
_Edit = tuple[tuple[str | int, ...], Any]
_Edits = Callable[[Mapping[bool, float]], list[_Edit]]


@dataclass(frozen=True)
class _Bounds:
    """Numbers that a rule compares one thing with: SQL over `rows`, which have a `ds`."""

    what: str
    rows: str
    lowest: str
    highest: str
    # The ends that it has now, the upper one as True; and how others are written.
    ends: Mapping[bool, float]
    edits: _Edits
    # The rows that are compared, and those of them that need the bound.
    compared: str = "highest is not null"
    needing: str = "true"
    is_share: bool = False
    shows_values: bool = False


def propose(spec: Pipeline, table: str, *, loosen: bool = False) -> Proposal:
    """Measure the bounds of a table's rules on its published days.

    Args:
        loosen: also propose what would let more through than the rules that hold, or set rows aside, do now.

    Raises:
        SpecInvalidError: the suite cannot be used.
        TableMissingError: nothing of the table is published without a waiver.
    """
    import duckdb

    path, rules = suites.path_of(spec, table), suites.load(spec, table).rules
    old = text = path.read_text(encoding="utf-8")
    read, entries = suites.reader(spec, table), suite_text.entries(text)
    changes: list[Change] = []
    not_proposed, without = {}, []
    with measuring.opened(spec, table, rules) as con:
        for number, (rule, entry) in enumerate(zip(rules, entries, strict=True)):
            found = list(_bounds(rule, entry, read))
            if not found:
                without.append(rule.meta.rule)
            for one in found:
                try:
                    if one.shows_values and not spec.may_quote(table):
                        raise _NotProposedError("its range would show values of people")
                    new = _measured(con, rule, one)
                    if all(change.new == change.old for change in new.values()):
                        continue
                    if more := [change for change in new.values() if change.lets_more_through and not loosen]:
                        raise _NotProposedError(f"it needs `--loosen`: {more[0].sentence()}")
                    changed = text
                    edits = one.edits({end: change.new for end, change in new.items()})
                    for place, value in [*edits, *_why(entry, new)]:
                        changed = suite_text.replace(changed, ("expectations", number, *place), value)
                    read(suite_text.entries(changed)[number])
                except (_NotProposedError, duckdb.Error, ValueError) as error:
                    # The message of a database may quote values.
                    said = str(error) if isinstance(error, _NotProposedError) else type(error).__name__
                    not_proposed[f"{rule.meta.rule}, {one.what}"] = said
                else:
                    text = changed
                    changes += [change for change in new.values() if change.new != change.old]
    return Proposal(path, old, text, tuple(changes), not_proposed, tuple(without))


def _why(entry: Mapping[str, Any], new: Mapping[bool, Change]) -> Iterator[_Edit]:
    """What a program has said of where a bound comes from is corrected; a person's words are left."""
    why = entry["meta"]["why"]
    if suite_text.REVIEW in why:
        days = next(iter(new.values())).days
        said = f"Its bounds were measured again on {days:,} published days. {suite_text.REVIEW}"
        yield ("meta", "why"), _AGAIN.sub(said, why)


def _bounds(rule: Rule, entry: Mapping[str, Any], read: Callable[[Any], Rule]) -> Iterator[_Bounds]:
    from sluice.gates.expectations import FitsHistory

    given, kind = entry["kwargs"], rule.kind
    if given.get("mostly", 1) != 1 or given.get("row_condition"):
        return  # some rows may be anywhere
    if isinstance(rule.expectation, FitsHistory):
        yield from _of_history(rule, entry, read)
    elif kind == "expect_rows_to_satisfy_condition":
        yield from _of_conditions(given["condition"], "(select * from batch)", shows_values=True)
    elif kind == "expect_groups_to_satisfy_condition" and not given.get("compared_within"):
        by = ", ".join(dict.fromkeys(["ds", *map(quoted, given.get("group_by", ["ds"]))]))
        made = ", ".join(f"{sql} as {quoted(name)}" for name, sql in given["aggregates"].items())
        where = f" where {given['where']}" if given.get("where") else ""
        grouped = f"(select {by}, {made} from batch{where} group by {by})"  # noqa: S608 - the suite's own SQL
        counts = all(re.match(r"\s*count\(", sql, re.IGNORECASE) for sql in given["aggregates"].values())
        yield from _of_conditions(given["condition"], grouped, shows_values=not counts)
    elif kind in _OF_VALUES:
        yield from _of_arguments(
            given, "(select * from batch)", _OF_VALUES[kind].format(quoted(given["column"]))
        )


def _of_history(rule: Rule, entry: Mapping[str, Any], read: Callable[[Any], Rule]) -> Iterator[_Bounds]:
    of = cast("FitsHistory", rule.expectation)
    given, kind = entry["kwargs"], rule.kind
    needing, base = "true", "1" if kind == "expect_column_magnitudes_to_fit_history" else "0"
    if "slack" in given:
        # Without it the band is as wide as the days differ; on the others slack has to make room.
        bare = read({**entry, "kwargs": {**given, "slack": 1e-12}})
        rule, of = bare, cast("FitsHistory", bare.expectation)
        needing = f"{headroom.widened(0, 1)[1]} * highest > {of.allowed}"
    for argument, statistic in {
        "slack": of.statistic,
        # Those of groups have a sign.
        "limit": "rows_too_many" if "limit_below" in of.__fields__ else of.statistic,
        "limit_below": "-rows_too_many",
    }.items():
        if argument in given:
            yield _Bounds(
                what=argument,
                rows=f"({history_sql.without_limit((rule.query or '').format(batch='batch'))})",
                lowest=base,
                highest=statistic,
                ends={True: given[argument]},
                edits=_arguments({True: argument}),
                compared="compared and highest is not null",
                needing=needing,
                is_share=kind not in _NO_SHARES,
            )


def _of_conditions(condition: str | list[str], rows: str, *, shows_values: bool = False) -> Iterator[_Bounds]:
    """Each condition that is a plain range of one expression: what it is of has no comparison of its own."""
    listed = [condition] if isinstance(condition, str) else condition
    for number, one in enumerate(listed):
        place = ("kwargs", "condition", *(() if isinstance(condition, str) else (number,)))
        match, groups = _BETWEEN.fullmatch(one.strip()), {False: 2, True: 3}
        if not match:
            match = _ONE_SIDED.fullmatch(one.strip())
            groups = {match[2].startswith("<"): 3} if match else {}
        if match and not _COMPOUND.search(match[1]):
            what = match[1].strip()
            ends = {end: float(match[group]) for end, group in groups.items()}
            edits = _rewritten(match, groups, place)
            yield _Bounds(what, rows, what, what, ends, edits, shows_values=shows_values)


def _rewritten(match: re.Match[str], groups: Mapping[bool, int], place: tuple[str | int, ...]) -> _Edits:
    def edits(new: Mapping[bool, float]) -> list[_Edit]:
        said = match.string
        for end in sorted(groups, reverse=True):
            start, stop = match.span(groups[end])
            if new[end] != float(match[groups[end]]):
                said = f"{said[:start]}{_plain(new[end])}{said[stop:]}"
        return [(place, said)]

    return edits


def _of_arguments(given: Mapping[str, Any], rows: str, measured: str) -> Iterator[_Bounds]:
    names = {False: "min_value", True: "max_value"}
    ends = {end: given[name] for end, name in names.items() if isinstance(given.get(name), (int, float))}
    if ends:
        yield _Bounds(given["column"], rows, measured, measured, ends, _arguments(names), shows_values=True)


def _arguments(names: Mapping[bool, str]) -> _Edits:
    return lambda new: [(("kwargs", names[end]), value) for end, value in new.items()]


def _measured(con: duckdb.DuckDBPyConnection, rule: Rule, of: _Bounds) -> dict[bool, Change]:
    """The ends as they would be; those that are near enough stay what they are.

    Raises:
        _NotProposedError: too few days, or what was found makes no bound.
    """
    old = {end: of.ends.get(end, math.inf if end else -math.inf) for end in (False, True)}
    taken = f"compares and isfinite(lowest) and isfinite(highest) and {of.needing}"
    query = f"""select count(distinct ds) filter (compares), min(ds) filter (compares and not isfinite(highest)),
            min(lowest) filter ({taken}), arg_min(ds, {{'found': lowest, 'ds': ds}}) filter ({taken}), count(distinct ds) filter (compares and lowest < $low),
            max(highest) filter ({taken}), arg_max(ds, {{'found': highest, 'ds': -datediff('day', date '2000-01-01', ds)}}) filter ({taken}), count(distinct ds) filter (compares and highest > $high)
        from (
            select *, coalesce({of.compared}, false) as compares
            from (select *, cast({of.lowest} as double) as lowest, cast({of.highest} as double) as highest from {of.rows})
        )"""  # noqa: S608 - the suite's own SQL
    given = {"low": old[False], "high": old[True]}
    days, odd, low, *of_low, high, on, beyond = con.execute(query, given).fetchall()[0]
    if days < FEWEST_DAYS:
        raise _NotProposedError(f"{days} days were compared, {FEWEST_DAYS} are needed")
    if odd:
        raise _NotProposedError(f"on {odd} it is no finite number")
    still = high is None or (low == high and of.lowest != of.highest)
    if still or max(abs(low), abs(high)) <= _NOISE * max(map(abs, of.ends.values())):
        room = " beyond what `width` leaves" if of.needing != "true" else ""
        raise _NotProposedError(f"nothing moved{room}, so that nothing says how far is too far")
    changes = {}
    wide = headroom.widened(low, high)
    for end, found, day, broken in ((False, low, *of_low), (True, high, on, beyond)):
        if end not in of.ends:
            continue
        new = _rounded(wide[end], up=end)
        # What is 1 at most now, and was, is a share too.
        if end and new >= 1 >= max(found, 0 if of.is_share else old[end]):
            raise _NotProposedError(f"it is {found:.4g} on {day}, too near to all rows for a bound")
        if abs(new - old[end]) < _NEAR * abs(new - found):
            new = old[end]
        looser = new > old[end] if end else new < old[end]
        what = of.what if len(of.ends) == 1 else f"{of.what}, {'most' if end else 'least'}"
        about = rule.meta.rule, rule.meta.severity, what
        changes[end] = Change(*about, old[end], new, looser, days, found, str(day), broken)
    return changes


def _plain(number: float) -> str:
    """Without an exponent, which is not read again."""
    return f"{Decimal(repr(number)).normalize():f}"


def _rounded(number: float, *, up: bool) -> float:
    """Three digits, away from what was measured; a whole number stays one."""
    if not number:
        return 0
    step = 10.0 ** (math.floor(math.log10(abs(number))) - 2)
    rounded = float(f"{(math.ceil if up else math.floor)(round(number / step, 6)) * step:.12g}")
    return int(rounded) if rounded.is_integer() else rounded
