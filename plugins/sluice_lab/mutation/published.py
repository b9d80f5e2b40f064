"""Damage to what any pipeline has published, judged by its own rules: what share of it they see.

The rule kept here: nothing is staged, published or recorded. A published day of a source is read, changed by SQL in one random way that the
types of its contract allow, and its gate's rules are asked about it, with the days before it as history. What breaks the contract, and what only
a file can have (headers, dialects, encodings), is not part of it: `sluice mutate` without a pipeline tries that on flights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sluice import waivers
from sluice.core.errors import TableMissingError
from sluice.core.settings import settings
from sluice.core.sql import literal, quoted
from sluice.gates import engine, history, policy, suites
from sluice.lake import batches, diff, tables
from sluice_lab.mutation.damages import DAMAGES, Day, NotApplicableError
from sluice_lab.mutation.material import FEATURE_TOLERANCE, MATERIAL_SHARE
from sluice_lab.mutation.run import Case, Stage

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.spec import Pipeline
    from sluice.gates.suites import Rule
    from sluice.gates.verdict import RuleResult

# Published days before those that are judged: four weeks, as most rules that compare look back, and seven at least, as the rules that
# `sluice new` writes need.
_LONG, _SHORT = 28, 7
_TRIES = 50


@dataclass(frozen=True)
class Source:
    """One source of a pipeline: its rules, and the published days that have enough history to be judged."""

    spec: Pipeline
    table: str
    rules: tuple[Rule, ...]
    days: tuple[str, ...]
    # All published days with rows and without a waiver.
    clean: tuple[str, ...]

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
    path: Path


def sources(spec: Pipeline) -> list[Source]:
    """Each source with the days that can be judged.

    Raises:
        TableMissingError: no source has a day with enough history.
    """
    found = []
    for table in spec.sources:
        shown = [day for day, one in sorted(tables.published(spec.pipeline, table).items()) if one.rows]
        clean = sorted(set(shown) - set(waivers.of_partitions(spec, table, shown)))
        days = tuple(clean[max(_SHORT, min(_LONG, len(clean) // 2)) :])
        if days:
            found.append(Source(spec, table, tuple(suites.load(spec, table).rules), days, tuple(clean)))
    if not found:
        raise TableMissingError(
            f"No source of {spec.pipeline} has more than {_SHORT} published days with rows and without a waiver.",
            where=spec.pipeline,
            todo="publish more days: rules that compare with history need some before the day that they judge",
        )
    return found


def mutate(known: Sequence[Source], seed: int, number: int, folder: Path) -> Tried:
    """Draw, do and judge mutation `number` of the run with this seed; the damaged rows stay in `folder` where they were missed.

    Raises:
        NotApplicableError: names the kind of damage that could not be done to any day that was drawn.
    """
    rng = Random(f"{seed}/{number}")  # noqa: S311 - reproducible on purpose
    # Each kind once, in another order, before any comes again.
    order = Random(f"{seed}/{number // len(DAMAGES)}").sample(list(DAMAGES), len(DAMAGES))  # noqa: S311 - as above
    kind = order[number % len(DAMAGES)]
    for _ in range(_TRIES):
        source = rng.choice(known)
        day = rng.choice(source.days)
        path = folder / f"{number}.parquet"
        with TemporaryDirectory(prefix="clean-", dir=folder) as name:
            try:
                clean, did, columns, tolerances = _damaged(source, day, kind, rng, Path(name), path)
            except NotApplicableError:
                continue
            share = _changed(source, clean, path, tolerances)
            if not share:
                continue
            kept = Path(name) / "kept.parquet"
            outcome, results = judge(source, day, path, keep=kept)
            published = _changed(source, clean, kept, tolerances) if kept.exists() else share
        break
    else:
        raise NotApplicableError(kind)
    caught = outcome in ("HOLD", "ERROR") or (published < share and published < MATERIAL_SHARE)
    stage: Stage = "raw gate" if caught else "missed" if share >= MATERIAL_SHARE else "harmless"
    if stage != "missed":
        path.unlink()
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
    return Tried(case, source, tuple(columns), path)


def clean(known: Sequence[Source], seed: int, number: int, folder: Path) -> Case:
    """Judge a clean published day: anything but PASS or WARN is a false alarm."""
    rng = Random(f"{seed}/clean/{number}")  # noqa: S311 - reproducible on purpose
    source = known[number % len(known)]
    day = rng.choice(source.days)
    with TemporaryDirectory(prefix="clean-", dir=folder) as name:
        outcome, results = judge(source, day, clean_rows(source, day, Path(name)))
    return Case(
        number, source.table, day, "clean", "clean", "", "harmless", outcome, 0.0, _failed(results), False
    )


def judge(
    source: Source, day: str, path: Path, rules: Sequence[Rule] | None = None, keep: Path | None = None
) -> tuple[str, list[RuleResult]]:
    """The outcome, and what each rule says, of a day as it is in a file.

    Args:
        rules: other rules than the source's own.
        keep: where the rows go that would be published, if some would be set aside.
    """
    import pyarrow.parquet as pq

    asked, spec = source.rules if rules is None else tuple(rules), source.spec
    batch = tables.published(spec.pipeline, source.table, day, day)[day].batch_id
    manifest = batches.load(spec.pipeline, source.table, batch).model_copy(update={"partitions": (day,)})
    days = max((rule.history_days for rule in asked), default=0)
    with (
        history.files(spec, manifest, days) as earlier,
        history.reference_files(spec, manifest, source.others) as published,
        engine.opened({day: str(path)}, earlier, published, source.others) as staged,
    ):
        results = [one.result for one in staged.evaluate(asked, show_rows=False)]
        aside = [
            one.rule for one in results if one.severity == "quarantine" and not one.passed and not one.holds
        ]
        emptied = []
        if aside and keep and not any(one.holds or one.broken for one in results):
            good, _ = staged.quarantined.parted(aside)
            pq.write_table(good, keep)
            emptied = [] if good.num_rows else [day]
        rows = staged.count([day])
    return policy.decide(rows, results, emptied=emptied)[0], results


def clean_rows(source: Source, day: str, folder: Path) -> Path:
    """A published day as a file with all columns of today's contract."""
    path = folder / "day.parquet"
    with _opened(source, day, folder) as con:
        con.execute(f"copy (from day) to {literal(str(path))} (format parquet)")
    return path


def _damaged(
    source: Source, day: str, kind: str, rng: Random, folder: Path, path: Path
) -> tuple[Path, str, Sequence[str], dict[str, tuple[float, float]]]:
    """Write a day with one kind of damage to `path`: its clean rows, what was done, to which columns, and how far numbers may differ.

    Raises:
        NotApplicableError: the day has nothing that this damages, or its contract would refuse what comes out.
    """
    import duckdb

    declared = source.spec.sources[source.table]
    clean = clean_rows(source, day, folder)
    with _opened(source, day, folder) as con:
        about = Day(con, declared.contract.columns, declared.key, rng)
        did, columns, query = DAMAGES[kind](about)
        try:
            con.execute(f"copy ({query}) to {literal(str(path))} (format parquet)")
        except duckdb.Error:
            # Its text may quote values, and says nothing of the rules: what cannot be computed is no damage.
            raise NotApplicableError from None
        required = [name for name, one in declared.contract.columns.items() if not one.nullable]
        counted = ", ".join(["count(*)", *(f"count({quoted(name)})" for name in required)])
        rows, *known = con.from_parquet(str(path)).aggregate(counted).fetchall()[0]
        was, *before = con.table("day").aggregate(counted).fetchall()[0]
        if not rows or any(rows - now > was - then for now, then in zip(known, before, strict=True)):
            raise NotApplicableError  # the contract refuses such rows before any gate
        tolerances = {name: (0.0, FEATURE_TOLERANCE * about.deviation(name)) for name in about.of("number")}
    return clean, did, columns, tolerances


def _changed(source: Source, clean: Path, path: Path, tolerances: Mapping[str, tuple[float, float]]) -> float:
    """Share of a day's rows that are missing, added or changed in a file."""
    import pyarrow.parquet as pq

    found = diff.compare(
        [str(clean)],
        [str(path)],
        source.spec.sources[source.table].key,
        examples=False,
        tolerances=tolerances,
    )
    rows = pq.read_metadata(clean).num_rows
    return min(1.0, (found["added"] + found["removed"] + found["changed"]) / rows)


def _failed(results: Sequence[RuleResult]) -> tuple[str, ...]:
    failed = [one for one in results if not one.passed]
    return tuple(one.rule for one in sorted(failed, key=lambda one: not one.holds))


@contextmanager
def _opened(source: Source, day: str, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Views `day` and, where there is one, `before`: the rows of a day, and of the last clean one before it, with today's columns."""
    import duckdb

    limits: dict[str, Any] = {
        "threads": settings().threads,
        "memory_limit": engine.MEMORY,
        "temp_directory": str(folder),
    }
    earlier = [one for one in source.clean if one < day]
    types = suites.columns_of(source.spec, source.table)
    with duckdb.connect(config=limits) as con:
        con.execute("set timezone = 'UTC'")
        for name, one in (("day", day), *([("before", earlier[-1])] if earlier else [])):
            paths = tables.files(source.spec.pipeline, source.table, one, one, into=folder / name)
            history.show_table(con, name, types, paths)
        yield con
