"""Why a prediction is what it is: who scored it, who let that model in, what moved the score, and the rows that it came from.

The rule kept here: it is told from what was recorded when the prediction was made: the batches that manifests name, the registered
file of the model, the ledger's decisions. Only the baseline, the descriptions of features and `key_from` are those declared today.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.core.errors import (
    BatchDamagedError,
    BatchUnknownError,
    TableMissingError,
)
from sluice.core.sql import quoted
from sluice.declare.spec import PREDICTIONS
from sluice.gates import suites
from sluice.lake import batches, inputs, tables
from sluice.lake.columns import DAY
from sluice.models import finding, history, roles
from sluice.models.config import load_version
from sluice_ml.errors import MlError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice.models.history import Change
    from sluice_ml.model import Trained

# Features that a terminal shows, those that moved the score most; the rest is added up. `--json` has all.
_SHOWN = 8
# What a score may differ by from the one that the contributions add up to: these are sums in float32.
_UNLIKE = 1e-4


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
    # Those with its key, of the table that the features come from (`key_from`); none where values may not be quoted.
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Why:
    """All of it; `reasons` are sorted by size, and empty of a rule without a model."""

    pipeline: str
    day: str
    prediction: Mapping[str, Any]
    batch: str
    # The batch of predictions that readers see in its place; "" while they see this one.
    replaced_by: str
    # Who scored, in words; for whom it stood in and why, "" where it was champion; and the decision that had made it champion, None
    # of a rule that nobody has decided on.
    scored_by: str
    stood_in: str
    decided: Change | None
    # The gate's decision that had let the version in: `decided` itself, or where that is a roll-back an earlier one; None of a rule.
    promoted: Change | None
    # What decided on the champion of now, and whether that is who scored, so that a roll-back is about it.
    now: Change | None
    is_champion: bool
    # How a person goes back to what the version was promoted over, where it is champion; "" of others.
    way_back: str
    # None: the model or the row is not there any more, which `problem` tells.
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
        wanted: its id, also where readers had it before its day was scored again; or its key.
        day: of its data (YYYY-MM-DD); without one the newest day that has such a prediction.

    Raises:
        PredictionUnknownError: no published prediction is called that.
        BatchUnknownError, BatchDamagedError: its batch was cleared away, or changed.
    """
    made, day, found = finding.find(spec, wanted, day)
    shown = tables.published(spec.pipeline, PREDICTIONS, day, day).get(day)
    scored_by = _scored_by(made, found)
    stood_in = _stood_in(scored_by)
    moves = history.read(spec).changes if scored_by.name == spec.model.name else ()
    known = (
        one for one in moves if one.entry <= (scored_by.promoted or 0) and one.version == scored_by.version
    )
    # A rule that stands in does so by what is declared, and by nobody's decision.
    decided = None if stood_in and scored_by.version is None else next(known, None)
    promoted = _promoted(moves, decided)
    is_champion = decided is not None and moves[0].version == decided.version
    reasons: Sequence[Reason] | None = None
    base, others, origins = None, {}, []
    try:
        features, row = _features(spec, made, day, found)
    except (BatchUnknownError, BatchDamagedError, TableMissingError) as error:
        problem = f"the features that it was made of are gone: {error}"
    else:
        reasons, base, problem = _reasons(spec, scored_by, row, found["score"])
        others = dict(_others(spec, scored_by, promoted, row))
        origins = list(_origins(spec, features, day, found[spec.model.key]))
    return Why(
        pipeline=spec.pipeline,
        day=day,
        prediction=found if spec.may_quote(PREDICTIONS) else _without_values(spec, found),
        batch=made.batch_id,
        replaced_by=shown.batch_id if shown and shown.batch_id != made.batch_id else "",
        scored_by=roles.named(scored_by.version),
        stood_in=stood_in,
        decided=decided,
        promoted=promoted,
        now=moves[0] if moves else None,
        is_champion=is_champion,
        way_back=roles.way_back(spec, "baseline" if promoted.previous is None else str(promoted.previous))
        if promoted and is_champion
        else "",
        reasons=reasons,
        base=base,
        problem=problem,
        others=others,
        origins=origins,
        rests_on=[note.sentence() for note in made.noted],
    )


def _promoted(moves: Sequence[Change], decided: Change | None) -> Change | None:
    """The promotion of a version that a decision rests on, itself or the last before it."""
    if decided is None or decided.version is None:
        return None
    known = (one for one in moves if one.entry <= decided.entry and one.version == decided.version)
    return next((one for one in known if one.kind == "promoted"), None)


def _scored_by(made: Manifest, found: Mapping[str, Any]) -> inputs.Model:
    """What scored, as the batch recorded it; of a batch of an earlier version, which did not, as the row says."""
    version = None if found["is_baseline"] else int(found["model_version"])
    said = inputs.Model(name=found["model_name"], version=version)
    return next(iter(inputs.of(made, inputs.Model)), said)


def _features(
    spec: Pipeline, made: Manifest, day: str, found: Mapping[str, Any]
) -> tuple[Manifest, pa.Table]:
    """The batch of features that was scored, and the row of it."""
    table, key = spec.model.features_table, spec.model.key
    read = tables.published_to(made, table, [day])
    if day not in read:
        raise TableMissingError(f"No batch of {table} is named for {day}.", where=made.batch_id)
    features = batches.load(spec.pipeline, table, read[day].batch_id)
    return features, finding.only(batches.read(features, day), {key: found[key]})


def _without_values(spec: Pipeline, found: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction without what is, or quotes, a value of the sources."""
    return {name: value for name, value in found.items() if name not in (spec.model.key, "unseen_categories")}


def lines(why: Why) -> Iterator[str]:
    """As text for a terminal."""
    yield from _made_lines(why)
    yield from _reason_lines(why)
    for name, score in why.others.items():
        yield f"  without it    {score:.4f} by {name}"
    yield from _origin_lines(why)
    if why.way_back:
        yield f"  the way back  {why.way_back}"


def traced(why: Why) -> Iterator[str]:
    """What it was made by and of, without what moved the score."""
    yield from _made_lines(why)
    yield from _origin_lines(why)
    if not why.origins:
        yield f"  made of       unknown: {why.problem}"
    key = why.prediction["prediction_id"]
    yield f"  what moved the score: sluice why {why.pipeline} {key}"


def _made_lines(why: Why) -> Iterator[str]:
    made = why.prediction
    yield f"{why.pipeline}.{PREDICTIONS} {why.day}, prediction {made['prediction_id']}"
    yield f"  score         {made['score']:.4f}, made {made['scored_at']:%Y-%m-%d %H:%M %Z}{' after its time' if made.get('made_late') else ''} by run {made['run_id']}"
    yield f"  scored by     {why.scored_by} of {made['model_name']}"
    if why.stood_in:
        yield f"                  {why.stood_in}"
    if why.decided:
        yield from _decision_lines("let in        " + "earlier, " * bool(why.stood_in), why.decided)
    if why.promoted and why.promoted != why.decided:
        yield from _decision_lines("first let in  ", why.promoted)
    if why.decided and why.now and why.now != why.decided:
        again = " again" if why.is_champion else ""
        yield f"  champion now  {roles.named(why.now.version)}{again}, since {why.now.began} (entry {why.now.entry})"


def _decision_lines(label: str, one: Change) -> Iterator[str]:
    yield f"  {label}by {one.moved_by}, since {one.began} (entry {one.entry}), in place of {roles.named(one.previous)}"
    yield from (f"                  {reason}" for reason in one.reasons)


def _origin_lines(why: Why) -> Iterator[str]:
    yield f"  published in  {PREDICTIONS} {why.day}, batch {why.batch}"
    if why.replaced_by:
        yield f"                  replaced since: its day was scored again, and readers see batch {why.replaced_by}"
    for origin in why.origins:
        yield f"  made of       {origin.table}, batch {origin.batch}"
        for one in origin.deliveries:
            yield f"                  {one['uri']}  sha256 {one['sha256'][:16]}"
        for row in origin.rows:
            yield f"                  {', '.join(f'{name} {value}' for name, value in row.items())}"
    yield from (f"  rests on      {sentence}" for sentence in why.rests_on)


def _reason_lines(why: Why) -> Iterator[str]:
    if why.problem:
        yield f"  why           {why.problem}"
    if not why.reasons or why.base is None:
        return
    total = why.base + sum(one.adds for one in why.reasons)
    yield f"  why           log odds {total:+.3f}: {why.base:+.3f} that every row has, and of the features"
    for one in why.reasons[:_SHOWN]:
        value = "" if one.value is None else f" = {_text(one.value)}"
        means = f"  ({one.description})" if one.description else ""
        yield f"                  {one.adds:+.3f}  {one.feature}{value}{means}"
    if rest := why.reasons[_SHOWN:]:
        yield f"                  {sum(one.adds for one in rest):+.3f}  {len(rest)} others together"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _reasons(
    spec: Pipeline, scored_by: inputs.Model, row: pa.Table, score: float
) -> tuple[list[Reason] | None, float | None, str]:
    """What moved the score, largest first; what every row has; and what is wrong with them, "" where nothing is."""
    declared, show = spec.model, spec.may_quote(PREDICTIONS)
    if scored_by.version is None:
        there = declared.baseline in row.column_names and row.num_rows
        value = f", which is {_text(row[declared.baseline][0].as_py())}" if show and there else ""
        said = f"there was no model: the score is {declared.baseline}{value}"
        return [], None, f"{said} ({declared.baseline_default} where it is null), as declared today"
    try:
        model = _model(scored_by)
        *added, base = model.contributions(row)[0].tolist()
    except (MlError, ConnectionError, ValueError, KeyError, IndexError) as error:
        return None, None, f"version {scored_by.version} cannot be asked again: {error}"
    described = suites.descriptions_of(spec, declared.features_table)
    names = (*model.meta.numeric, *model.meta.categorical)
    reasons = [
        Reason(name, row[name][0].as_py() if show else None, adds, described.get(name, ""))
        for name, adds in zip(names, added, strict=True)
    ]
    given = 1 / (1 + math.exp(-(base + sum(added))))
    problem = f"the model gives {given:.4f} for the same row" if abs(given - score) > _UNLIKE else ""
    return sorted(reasons, key=lambda one: -abs(one.adds)), base, problem


def _stood_in(scored_by: inputs.Model) -> str:
    """For whom a model stood in, and why; "" where it was champion."""
    recorded = scored_by.model_extra or {}
    if not (problems := recorded.get("problems")):
        return ""
    return f"in place of {roles.named(recorded.get('stands_in_for'))}: {' '.join(problems)}"


def _others(
    spec: Pipeline, scored_by: inputs.Model, promoted: Change | None, row: pa.Table
) -> Iterator[tuple[str, float]]:
    """What the rule without a model, and the champion in whose place a model was promoted, give for the row."""
    from sluice_ml.model import BaselineModel

    baseline = spec.model.baseline
    # Its score is a value of the features.
    if scored_by.version is not None and baseline in row.column_names and spec.may_quote(PREDICTIONS):
        yield (
            f"the baseline, {baseline}",
            float(BaselineModel(baseline, spec.model.baseline_default).score(row)[0]),
        )
    # Not who was rolled back: that was for a reason.
    if promoted and promoted.previous is not None:
        try:
            before = _model(scored_by.model_copy(update={"version": promoted.previous}))
            yield roles.named(promoted.previous), float(before.score(row)[0])
        except (MlError, ConnectionError, ValueError, KeyError):
            return  # nobody scores with it: it is told of where it is used


def _model(scored_by: inputs.Model) -> Trained:
    return load_version(scored_by.name, scored_by.version or 0).model


def _origins(spec: Pipeline, features: Manifest, day: str, key: str) -> Iterator[Origin]:
    """The features, and what they were made of: the rows of the table that they come from, and of all tables the newest batch."""
    yield Origin(features.table, features.batch_id)
    for read in inputs.of(features, inputs.Snapshot):
        named = read.batches or {}
        # What looks back has many days: the newest that was read says how far it went.
        newest = day if day in named else max(named, default=None)
        if newest is None:
            yield Origin(read.table, "of no day")
            continue
        try:
            made = batches.load(spec.pipeline, read.table, named[newest])
            own = spec.derived[features.table].rows_from == read.table and spec.may_quote(PREDICTIONS)
            rows = _rows(spec, features.table, batches.read(made, newest), key) if own else ()
        except (BatchUnknownError, BatchDamagedError) as error:
            which = named[newest] or "of another writer"
            yield Origin(f"{read.table} {newest}", f"{which}, which is gone: {error}")
            continue
        deliveries = [one for one in made.inputs if one["kind"] == "delivery" and one["day"] == newest]
        yield Origin(f"{read.table} {newest}", made.batch_id, deliveries, rows)


def _rows(spec: Pipeline, table: str, rows: pa.Table, key: str) -> list[dict[str, Any]]:
    """The rows with a key, by `key_from`; none where that is not declared, or is about columns that these rows do not have."""
    import duckdb

    declared, name = spec.derived[table], spec.model.key
    if not declared.key_from or name not in declared.key:
        return []
    kind = suites.columns_of(spec, table)[name]
    asked = declared.key_from[declared.key.index(name)]
    origin = quoted(str(declared.rows_from))
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.register(str(declared.rows_from), rows)
        query = f"select * from {origin} where try_cast(({asked}) as {kind}) = try_cast($key as {kind})"  # noqa: S608 - declared
        try:
            found = con.sql(query, params={"key": key}).to_arrow_table().to_pylist()
        except duckdb.Error:
            return []
    return [{column: value for column, value in row.items() if column != DAY} for row in found]
