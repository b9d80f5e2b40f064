"""Why a prediction is what it is: who scored it, who let that model in, what moved the score, and the rows that it came from.

The rule kept here: it is told from what was recorded when the prediction was made, and from nothing that is there today: the batches
that manifests name, the registered file of the model, the ledger's decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.core.errors import BatchUnknownError, PredictionUnknownError
from sluice.declare.spec import PREDICTIONS
from sluice.gates import suites
from sluice.lake import batches, inputs, tables
from sluice.lake.columns import DAY
from sluice.models import history, roles
from sluice.models.config import registry
from sluice_ml.errors import MlError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice.models.history import Change
    from sluice_ml.model import Trained

# Features that a terminal shows, those that moved the score most; the rest is added up. `--json` has all.
_SHOWN = 8


@dataclass(frozen=True)
class Reason:
    """What a feature added to the log odds of the score; `value` is None also where values may not be quoted."""

    feature: str
    value: Any
    adds: float
    description: str


@dataclass(frozen=True)
class Origin:
    """A batch that the prediction was made from, and the deliveries of its day that were read for that batch."""

    table: str
    batch: str
    deliveries: Sequence[Mapping[str, Any]] = ()
    # The row that the features were made of; empty where none is declared (`key_from`), or values may not be quoted.
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Why:
    """All of it; `reasons` are sorted by size, and empty of a rule without a model."""

    pipeline: str
    day: str
    prediction: Mapping[str, Any]
    batch: str
    # Who scored, in words; for whom it stood in and why, "" where it was champion; and the decision that had made it champion, None
    # of a rule that nobody has decided on.
    scored_by: str
    stood_in: str
    decided: Change | None
    # Whether that decision still holds, so that a roll-back is about it.
    is_champion: bool
    # None: the model that was registered cannot be read any more, which `problem` tells.
    reasons: Sequence[Reason] | None
    # What all rows have: the sum without any feature.
    base: float | None
    problem: str
    # What others give for the same row, by who they are.
    others: Mapping[str, float]
    origins: Sequence[Origin]
    rests_on: Sequence[str]


def read(spec: Pipeline, wanted: str, day: str | None = None) -> Why:
    """Explain a published prediction.

    Args:
        wanted: its id, or its key.
        day: of its data (YYYY-MM-DD); without one the newest day that has such a prediction.

    Raises:
        PredictionUnknownError: no published prediction is called that.
        BatchUnknownError, BatchDamagedError: what it was made of was cleared away or changed.
    """
    made, day, found = _find(spec, wanted, day)
    declared, show = spec.model, spec.may_quote(PREDICTIONS)
    features_of = tables.published_to(made, declared.features_table, [day])
    features = batches.load(spec.pipeline, declared.features_table, features_of[day].batch_id)
    row = _only(batches.read(features, day), {declared.key: found[declared.key]})
    scored_by = inputs.of(made, inputs.Model)[0]
    moves = history.read(spec).changes
    decided = next(
        (one for one in moves if one.entry <= (scored_by.promoted or 0) and one.version == scored_by.version),
        None,
    )
    reasons, base, problem = _reasons(spec, scored_by.version, row, show=show)
    return Why(
        pipeline=spec.pipeline,
        day=day,
        prediction=found,
        batch=made.batch_id,
        scored_by=roles.named(scored_by.version),
        stood_in=_stood_in(scored_by),
        decided=decided,
        is_champion=decided is not None and decided is moves[0],
        reasons=reasons,
        base=base,
        problem=problem,
        others=dict(_others(spec, scored_by.version, decided, row)),
        origins=list(_origins(spec, features, day, found[declared.key], show=show)),
        rests_on=[note.sentence() for note in made.noted],
    )


def lines(why: Why) -> Iterator[str]:
    """As text for a terminal."""
    made = why.prediction
    yield f"{why.pipeline}.{PREDICTIONS} {why.day}, prediction {made['prediction_id']}"
    yield f"  score         {made['score']:.4f}, made {made['scored_at']:%Y-%m-%d %H:%M %Z}{' after its time' if made['made_late'] else ''} by run {made['run_id']}"
    yield f"  scored by     {why.scored_by} of {made['model_name']}"
    if why.stood_in:
        yield f"                  {why.stood_in}"
    if why.decided:
        yield f"  let in        by {why.decided.moved_by}, since {why.decided.since.isoformat()} (entry {why.decided.entry}), in place of {roles.named(why.decided.previous)}"
        yield from (f"                  {reason}" for reason in why.decided.reasons)
    yield from _reason_lines(why)
    for name, score in why.others.items():
        yield f"  without it    {score:.4f} by {name}"
    for origin in why.origins:
        yield f"  made of       {origin.table}, batch {origin.batch}"
        for one in origin.deliveries:
            yield f"                  {one['uri']}  sha256 {one['sha256'][:16]}"
        if origin.row:
            yield f"                  {', '.join(f'{name} {value}' for name, value in origin.row.items())}"
    yield from (f"  rests on      {sentence}" for sentence in why.rests_on)
    if why.decided and why.is_champion:
        back = "baseline" if why.decided.previous is None else why.decided.previous
        yield f"  the way back  sluice model rollback {why.pipeline} {back} --by NAME --why REASON"


def _reason_lines(why: Why) -> Iterator[str]:
    if why.problem:
        yield f"  why           {why.problem}"
    if not why.reasons or why.base is None:
        return
    total = why.base + sum(one.adds for one in why.reasons)
    yield f"  why           log odds {total:+.3f}, of which {why.base:+.3f} is every row's"
    for one in why.reasons[:_SHOWN]:
        value = "" if one.value is None else f" = {_text(one.value)}"
        means = f"  ({one.description})" if one.description else ""
        yield f"                  {one.adds:+.3f}  {one.feature}{value}{means}"
    if rest := why.reasons[_SHOWN:]:
        yield f"                  {sum(one.adds for one in rest):+.3f}  {len(rest)} others together"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _find(spec: Pipeline, wanted: str, day: str | None) -> tuple[Manifest, str, dict[str, Any]]:
    """The batch, the day and the row of a prediction."""
    key = spec.model.key
    if day is None:
        by = {
            name: tables.days_that_may_hold(spec.pipeline, PREDICTIONS, name, wanted)
            for name in (key, "prediction_id")
        }
        days = sorted({one for found in by.values() for one in found}, reverse=True)
    else:
        days = [day]
    for one in days:
        shown = tables.published(spec.pipeline, PREDICTIONS, one, one).get(one)
        made = batches.load(spec.pipeline, PREDICTIONS, shown.batch_id) if shown else None
        for name in (key, "prediction_id"):
            if made and (rows := _only(batches.read(made, one), {name: wanted})).num_rows:
                return made, one, rows.to_pylist()[0]
    raise PredictionUnknownError(
        f"No published prediction of {spec.pipeline} has the id or the {key} {wanted!r}.",
        where=f"{spec.pipeline}.{PREDICTIONS}{f', {day}' if day else ''}",
        allowed=f"a prediction_id, or a {key} of a day that is published",
        todo=f"look at what is published with `sluice status {spec.pipeline}`",
    )


def _only(rows: pa.Table, values: Mapping[str, str]) -> pa.Table:
    """The rows whose columns, as text, have some values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, value in values.items():
        rows = rows.filter(pc.equal(pc.cast(rows[name], pa.string()), value))
    return rows


def _reasons(
    spec: Pipeline, version: int | None, row: pa.Table, *, show: bool
) -> tuple[list[Reason] | None, float | None, str]:
    """What moved the score, largest first; what every row has; and why neither is known, "" where they are."""
    declared = spec.model
    if version is None:
        value = f", which is {_text(row[declared.baseline][0].as_py())}" if show else ""
        return (
            [],
            None,
            f"there was no model: the score is {declared.baseline}{value} ({declared.baseline_default} where it is null)",
        )
    try:
        model = _model(spec, version)
    except (MlError, ConnectionError) as error:
        return None, None, f"version {version} cannot be read: {error}"
    *added, base = model.contributions(row)[0].tolist()
    described = suites.descriptions_of(spec, declared.features_table)
    names = (*model.meta.numeric, *model.meta.categorical)
    reasons = [
        Reason(name, row[name][0].as_py() if show else None, adds, described.get(name, ""))
        for name, adds in zip(names, added, strict=True)
    ]
    return sorted(reasons, key=lambda one: -abs(one.adds)), base, ""


def _stood_in(scored_by: inputs.Model) -> str:
    """For whom a model stood in, and why; "" where it was champion."""
    recorded = scored_by.model_extra or {}
    if not (problems := recorded.get("problems")):
        return ""
    return f"in place of {roles.named(recorded.get('stands_in_for'))}: {' '.join(problems)}"


def _others(
    spec: Pipeline, version: int | None, decided: Change | None, row: pa.Table
) -> Iterator[tuple[str, float]]:
    """What the rule without a model, and the champion in whose place the model was put, give for the row."""
    from sluice_ml.model import BaselineModel

    if version is not None:
        baseline = BaselineModel(spec.model.baseline, spec.model.baseline_default)
        yield f"the baseline, {spec.model.baseline}", float(baseline.score(row)[0])
    if decided and decided.previous is not None:
        try:
            yield roles.named(decided.previous), float(_model(spec, decided.previous).score(row)[0])
        except (MlError, ConnectionError):
            return  # nobody scores with it: it is told of where it is used


def _model(spec: Pipeline, version: int) -> Trained:
    from sluice_ml.model import load

    meta, content = registry().content(spec.model.name, version)
    return load(content, meta, threads=1)


def _origins(spec: Pipeline, features: Manifest, day: str, key: str, *, show: bool) -> Iterator[Origin]:
    """The features, and what they were made of: of their own table of origin the row, of all the batches of the day."""
    yield Origin(features.table, features.batch_id)
    declared = spec.derived[features.table]
    for read in inputs.of(features, inputs.Snapshot):
        named = read.batches or {}
        # What looks back has many days: the newest that was read says how far it went.
        newest = day if day in named else max(named, default=None)
        if not newest or not named[newest]:
            continue
        try:
            made = batches.load(spec.pipeline, read.table, named[newest])
        except BatchUnknownError:
            yield Origin(f"{read.table} {newest}", f"{named[newest]}, which was cleared away")
            continue
        deliveries = [one for one in made.inputs if one["kind"] == "delivery" and one["day"] == newest]
        own = show and declared.key_from and read.table == declared.rows_from
        row = _origin_row(batches.read(made, newest), declared.key_from or (), key) if own else None
        yield Origin(f"{read.table} {newest}", made.batch_id, deliveries, row)


def _origin_row(rows: pa.Table, key_from: Sequence[str], key: str) -> dict[str, Any]:
    """The row that has a key by SQL over it; empty where none has, or where the SQL is about columns that these rows do not have."""
    import duckdb

    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.register("rows", rows)
        query = f"select * from rows where cast({key_from[0]} as varchar) = $key"  # noqa: S608 - declared
        try:
            read = con.sql(query, params={"key": key}).to_arrow_table().to_pylist()
        except duckdb.BinderException:
            return {}
    return {name: value for name, value in read[0].items() if name != DAY} if read else {}
