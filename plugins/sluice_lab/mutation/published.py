"""Damage to what any pipeline has published, judged by its own rules: what share of it they see.

The rule kept here: nothing is staged, published or recorded. A published day of a source is read, changed by SQL in one random way that the
types of its contract allow, and its gate's rules are asked about it, with the days before it as history. What breaks the contract, and what only
a file can have (headers, dialects, encodings), is not part of it: `sluice mutate` without a pipeline tries that on flights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sluice import waivers
from sluice.core.errors import TableMissingError
from sluice.core.partitions import days_later
from sluice.core.sql import literal, quoted
from sluice.gates import engine, history, policy, suites
from sluice.lake import batches, diff, tables
from sluice_lab.mutation.damages import DAMAGES, Day, NotApplicableError
from sluice_lab.mutation.material import MATERIAL_SHARE
from sluice_lab.mutation.run import Case, Stage

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.suites import Rule
    from sluice.gates.verdict import RuleResult

# Days that a rule which compares needs behind a day, as the rules that `sluice new` writes do (`min_days`).
HISTORY_DAYS = 21
# Of its old value, what a number may differ by and is the same: as little as nobody acts on.
_SAME = 0.01
_TRIES = 50


@dataclass(frozen=True)
class Source:
    """One source of a pipeline: its rules, and the published days that have enough history to be judged."""

    spec: Pipeline
    table: str
    rules: tuple[Rule, ...]
    days: tuple[str, ...]

    @property
    def others(self) -> dict[str, Mapping[str, str]]:
        """Columns, with their types, of the tables that rules compare with."""
        named = {rule.reference_table for rule in self.rules if rule.reference_table}
        return {one: suites.columns_of(self.spec, one) for one in sorted(named)}


@dataclass(frozen=True)
class Tried:
    """A damaged day that was judged, kept so that other rules can be asked about it."""

    case: Case
    source: Source
    columns: tuple[str, ...]
    path: str


def sources(spec: Pipeline) -> list[Source]:
    """Each source with the days that can be judged.

    Raises:
        TableMissingError: no source has a day with enough history.
    """
    found = []
    for table in spec.sources:
        shown = [day for day, one in sorted(tables.published(spec.pipeline, table).items()) if one.rows]
        clean = sorted(set(shown) - set(waivers.of_partitions(spec, table, shown)))
        days = tuple(clean[HISTORY_DAYS:])
        if days:
            found.append(Source(spec, table, tuple(suites.load(spec, table).rules), days))
    if not found:
        raise TableMissingError(
            f"No source of {spec.pipeline} has more than {HISTORY_DAYS} published days with rows and without a waiver.",
            where=spec.pipeline,
            todo="publish more days: rules that compare with history need some before the day that they judge",
        )
    return found


def mutate(known: Sequence[Source], seed: int, number: int, folder: Path) -> Tried:
    """Draw, do and judge mutation `number` of the run with this seed; the damaged rows stay in `folder`.

    Raises:
        NotApplicableError: no damage could be done to any day that was drawn.
    """
    import duckdb

    rng = Random(f"{seed}/{number}")  # noqa: S311 - reproducible on purpose
    # Each kind once, in another order, before any comes again.
    order = Random(f"{seed}/{number // len(DAMAGES)}").sample(list(DAMAGES), len(DAMAGES))  # noqa: S311 - as above
    kind = order[number % len(DAMAGES)]
    for _ in range(_TRIES):
        source = rng.choice(known)
        day = rng.choice(source.days)
        with TemporaryDirectory(prefix="sluice-mutate-") as name, duckdb.connect() as con:
            con.execute("set timezone = 'UTC'")
            clean = _show(con, source, day, Path(name))
            declared = source.spec.sources[source.table]
            about = Day(con, declared.contract.columns, declared.key, rng)
            try:
                did, columns, query = DAMAGES[kind](about)
            except NotApplicableError:
                continue
            path = folder / f"{number}.parquet"
            con.execute(f"copy ({query}) to {literal(str(path))} (format parquet)")
            changed = diff.compare(
                [clean],
                [str(path)],
                declared.key,
                examples=False,
                relative=dict.fromkeys(about.numbers, _SAME),
            )
            before, after = (con.from_parquet(one).shape[0] for one in (clean, str(path)))
        if changed["added"] + changed["removed"] + changed["changed"]:
            break
    else:
        raise NotApplicableError(kind)
    share = (changed["added"] + changed["removed"] + changed["changed"]) / max(before + changed["added"], 1)
    outcome, results, aside = judge(source, day, str(path), after)
    caught = outcome in ("HOLD", "ERROR") or (aside > 0 and share - aside < MATERIAL_SHARE)
    stage: Stage = "raw gate" if caught else "missed" if share >= MATERIAL_SHARE else "harmless"
    case = Case(
        number=number,
        source=source.table,
        run_day=day,
        mutator=kind,
        kind=kind,
        did=did,
        stage=stage,
        outcome=outcome,
        share=share,
        rules=_failed(results),
        told=outcome == "WARN",
    )
    return Tried(case, source, tuple(columns), str(path))


def clean(known: Sequence[Source], seed: int, number: int) -> Case:
    """Judge a clean published day: anything but PASS or WARN is a false alarm."""
    rng = Random(f"{seed}/clean/{number}")  # noqa: S311 - reproducible on purpose
    source = known[number % len(known)]
    day = rng.choice(source.days)
    with TemporaryDirectory(prefix="sluice-mutate-") as name:
        (path,) = _files(source, day, Path(name))
        rows = tables.published(source.spec.pipeline, source.table, day, day)[day].rows
        outcome, results, _ = judge(source, day, path, rows)
    return Case(
        number, source.table, day, "clean", "clean", "", "harmless", outcome, 0.0, _failed(results), False
    )


def judge(
    source: Source, day: str, path: str, rows: int, rules: Sequence[Rule] | None = None
) -> tuple[str, list[RuleResult], float]:
    """The outcome, what each rule says, and the share of the rows that would be set aside, of a day as it is in a file.

    Args:
        rules: other rules than the source's own.
    """
    asked, spec = source.rules if rules is None else tuple(rules), source.spec
    batch = tables.published(spec.pipeline, source.table, day, day)[day].batch_id
    manifest = batches.load(spec.pipeline, source.table, batch).model_copy(update={"partitions": (day,)})
    days = max((rule.history_days for rule in asked), default=0)
    with (
        history.files(spec, manifest, days) as earlier,
        history.reference_files(spec, manifest, source.others) as published,
        engine.opened({day: path}, earlier, published, source.others) as staged,
    ):
        results = [one.result for one in staged.evaluate(asked, show_rows=False)]
    outcome, _ = policy.decide({day: rows}, results)
    aside = sum(one.failing_rows or 0 for one in results if one.severity == "quarantine" and not one.passed)
    return outcome, results, aside / max(rows, 1)


def _failed(results: Sequence[RuleResult]) -> tuple[str, ...]:
    failed = [one for one in results if not one.passed]
    return tuple(one.rule for one in sorted(failed, key=lambda one: not one.holds))


def _files(source: Source, day: str, into: Path) -> list[str]:
    return tables.files(source.spec.pipeline, source.table, day, day, into=into)


def _show(con: Any, source: Source, day: str, scratch: Path) -> str:
    """Views `day` and `before`, the rows of a day and of the last one before it; returns the path of the day's."""
    (path,) = _files(source, day, scratch / "day")
    earlier = tables.files(
        source.spec.pipeline,
        source.table,
        days_later(day, -HISTORY_DAYS),
        days_later(day, -1),
        into=scratch / "before",
    )
    for name, one in (("day", path), ("before", earlier[-1] if earlier else path)):
        con.execute(
            f"create view {quoted(name)} as from read_parquet({literal(one)}, hive_partitioning = false)"
        )
    return path
