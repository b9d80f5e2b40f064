"""A challenger in shadow: scored on each day after the champion's predictions are published, seen by no reader, and decided on once.

The rule kept here: the champion's day never waits for it, and never fails with it. What it scores are the very rows that the
published predictions were made from, so that the two can be paired; its scores are staged (`SCORES`) and never published. A
challenger that cannot score is refused, with what it could not do; a day whose numbers it cannot hold only does not count. When as many days that count as were declared when it entered
(`model.shadow_days`) have outcomes, it is compared with what was published (`sluice_ml.shadow`), and becomes champion or is refused, with that
evidence in the ledger. Whoever is killed after a decision repeats what follows from it, and decides nothing anew.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import BatchDamagedError, BatchUnknownError
from sluice.core.partitions import days_from
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.ledger import Entry, model_records, records
from sluice.ledger.model_records import EnteredShadow
from sluice.models import approval, challenger, due, roles, scorer, training
from sluice.models.config import model_config
from sluice.models.due import DueDay
from sluice_ml.errors import MlError, RowsUnusableError, ScoresInvalidError
from sluice_ml.scoring import BASELINE

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice.ledger.store import Filters
    from sluice_ml.model import Trained
    from sluice_ml.promotion import Comparison

# Where the scores are staged: as batches of a table that is never published. No declared table can be called so.
SCORES = f"{PREDICTIONS}.challenger"
# A shadow ends without a decision after so many times its days, and the days that outcomes are waited for: meanwhile no model is asked for.
_AT_MOST = 2


def score(spec: Pipeline, day: str, run: Run) -> Entry | None:
    """Score a day with the challenger, if there is one, once for each batch of published predictions.

    Nothing is scored of a day that was predicted late, or that the challenger has learned from.

    Returns: the entry with which the challenger was refused, because it cannot score; None otherwise.
    """
    from sluice.lake import tables

    if done := _decided(spec, by=(run.run_id, "score")):
        return _follow(spec, done, run)
    beside = challenger.current(spec)
    shown = tables.published(spec.pipeline, PREDICTIONS, day, day).get(day)
    if beside is None or shown is None or not shown.rows or day in due.made_late(spec, day):
        return None
    if (day, shown.batch_id) in _scored(spec, beside):
        return None
    features = due.features(spec, DueDay(day, shown.batch_id, None))
    try:
        model = scorer.usable(spec, beside.record.version, features.column_names).model
    except MlError as error:
        return _refuse(spec, beside, day, run, error)
    if day <= model.meta.learned_until:
        return None
    try:
        staged: dict[str, Any] = {"batch_id": _stage(spec, model, day, features, run).batch_id}
    except RowsUnusableError as error:
        # The columns are there: it is the day's numbers, which are not the challenger's fault.
        staged = {"reasons": [f"{day} does not count: {error.what}"]}
    except ScoresInvalidError as error:
        return _refuse(spec, beside, day, run, error)
    ledger.append(
        model_records.ScoredInShadow(
            version=beside.record.version, predictions=shown.batch_id, entered_shadow=beside.seq, **staged
        ),
        **_about(spec, day, run),
    )
    return None


def judge(spec: Pipeline, run_day: str, run: Run) -> Entry | None:
    """Decide on the challenger when its days are in, and let it become champion if it earned that; until then record how it stands.

    A challenger of a critical model waits for a person then (`sluice.models.approval`).

    Returns: the decision, of kind `audited` or `refused`; None where nothing was to be decided.
    """
    from sluice_ml import shadow

    if done := _decided(spec, by=(run.run_id, "monitor")):
        return _follow(spec, done, run)
    beside = challenger.current(spec)
    if beside is None:
        return None
    if spec.is_critical and (asked := challenger.waiting(spec)):
        return approval.give_up(spec, asked, run)
    if done := _decided(spec, beside=beside):
        return _follow(spec, done, run)
    rows, unreadable = _paired(spec, beside)
    days = beside.record.days or spec.model.shadow_days
    found = shadow.compare(
        rows,
        model_config(spec),
        days=days,
        must=challenger.must(spec, beside),
        against="baseline" if beside.record.champion is None else "champion",
    )
    late = days_from(str(beside.partition), run_day) > _AT_MOST * days + spec.monitoring.outcome_wait_days
    if found.outcome == "insufficient_data" and not late:
        ledger.append(
            model_records.ShadowStanding(
                version=beside.record.version,
                comparison=asdict(found),
                reasons=[_standing(beside, found), *unreadable],
                entered_shadow=beside.seq,
            ),
            **_about(spec, run_day, run),
        )
        return None
    now = challenger.current(spec)
    if now is None or now.seq != beside.seq:
        return None  # another one came, or the champion moved, while this was compared
    problem = training.no_longer_sound(spec, beside.record.version) if found.passed else ""
    said = (
        f"Version {beside.record.version} scored in shadow on {found.days} days that count, {found.first} to {found.last}, on the rows of "
        "the published predictions."
        if found.days
        else f"Version {beside.record.version} was in shadow since the run of {beside.partition}, and no day counts."
    )
    return _decide(
        spec,
        beside,
        run_day,
        run,
        stage="monitor",
        passed=found.passed and not problem,
        reasons=[said, found.sentence, *([problem] if problem else []), *unreadable],
        comparisons=[asdict(found)],
    )


def _stage(spec: Pipeline, model: Trained, day: str, features: pa.Table, run: Run) -> Manifest:
    """Stage the challenger's scores of a day.

    Raises:
        RowsUnusableError: rows have numbers that it cannot hold.
        ScoresInvalidError: scores came out that are no numbers.
    """
    import numpy as np
    import pyarrow as pa

    from sluice.lake import batches
    from sluice_ml.shadow import SCORE

    key = spec.model.key
    parts = features.to_batches(max_chunksize=spec.model.score_batch_rows)
    scores = np.concatenate([model.score(part) for part in parts])
    if wrong := int((~np.isfinite(scores)).sum()):
        raise ScoresInvalidError(
            f"{wrong} rows have a score that is no number.",
            where=f"{spec.pipeline} {day}",
            todo="train another model",
        )
    return batches.stage(
        spec.pipeline,
        SCORES,
        features.select([key, "ds"]).append_column(SCORE, pa.array(scores)),
        partitions=[day],
        received=features.num_rows,
        dropped={},
        inputs=[],
        run=run,
        sort_by=[key],
    )


def _scored(
    spec: Pipeline, beside: Entry[EnteredShadow]
) -> dict[tuple[str | None, str], model_records.ScoredInShadow]:
    """Day and batch of the published predictions -> the challenger's scores of the same rows, or why there are none."""
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": beside.seq}
    found = ledger.entries(model_records.ScoredInShadow, **about)
    mine = [one for one in found if one.record.entered_shadow == beside.seq]
    return {(one.partition, one.record.predictions): one.record for one in mine}


def _paired(spec: Pipeline, beside: Entry[EnteredShadow]) -> tuple[pa.Table, list[str]]:
    """The rows of the days that count, as monitoring has measured them last, and why some cannot be read, a sentence each.

    A day counts as on the page of the model (`sluice.models.realised`), where what was published of it is of the champion that the
    challenger entered beside, or of the baseline where there was none.
    """
    import pyarrow as pa

    from sluice.lake import batches
    from sluice_ml.findings import says_something
    from sluice_ml.monitored_day import DayNumbers
    from sluice_ml.shadow import SCORE, pair

    config, scored, outcomes = model_config(spec), _scored(spec, beside), spec.model.outcomes_table
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": beside.seq}
    newest: dict[str, model_records.Monitored] = {}
    for entry in ledger.entries(model_records.Monitored, **about):
        newest.setdefault(entry.record.ds, entry.record)
    parts: list[pa.Table] = []
    unreadable: list[str] = []
    for ds, record in sorted(newest.items()):
        numbers, measured = DayNumbers.from_dict(record.stored()), record.measured
        if measured is None or measured.predictions is None or measured.outcomes is None:
            continue
        in_shadow = scored.get((ds, measured.predictions))
        enough = numbers.auc is not None and numbers.labelled >= spec.monitoring.min_rows
        champion = BASELINE if beside.record.champion is None else str(beside.record.champion)
        if (
            in_shadow is None
            or not enough
            or not says_something(numbers)
            or numbers.model_version != champion
        ):
            continue
        if in_shadow.batch_id is None:
            unreadable += in_shadow.reasons
            continue
        batch_ids = {
            PREDICTIONS: measured.predictions,
            SCORES: in_shadow.batch_id,
            outcomes: measured.outcomes,
        }
        try:
            read = {
                table: batches.read(batches.load(spec.pipeline, table, one), ds)
                for table, one in batch_ids.items()
            }
            parts.append(pair(read[PREDICTIONS], read[SCORES], read[outcomes], config))
        except (BatchUnknownError, BatchDamagedError, MlError) as error:
            unreadable.append(f"{ds} does not count: {error.what}")
    empty = {"ds": pa.date32(), "score": pa.float64(), SCORE: pa.float64(), config.label: pa.bool_()}
    return pa.concat_tables([pa.schema(empty).empty_table(), *parts]), unreadable


def _standing(beside: Entry[EnteredShadow], found: Comparison) -> str:
    said = f"Version {beside.record.version} is in shadow beside {roles.named(beside.record.champion)}: {found.days} of {found.needed} days are in"
    if found.difference is None:
        return f"{said}."
    value, low, high = (
        f"{number:+.4f}" for number in (found.difference.value, found.difference.low, found.difference.high)
    )
    return f"{said}, mean daily AUC {value} ({low} to {high}). It is decided on when all of them are."


def _decide(
    spec: Pipeline,
    beside: Entry[EnteredShadow],
    day: str,
    run: Run,
    *,
    stage: str,
    passed: bool,
    reasons: list[str],
    comparisons: list[dict[str, Any]] | None = None,
) -> Entry:
    """Record the decision about a challenger, once, and do what follows from it; returns the entry that does."""
    experiment = passed and spec.model.criticality == "experiment"
    outcome = "experiment" if experiment else "promote" if passed else "refuse"
    kind = model_records.Audited if outcome == "promote" else records.Refused
    entry: Entry = ledger.append(
        kind(
            version=beside.record.version,
            champion=beside.record.champion,
            promote=outcome == "promote",
            reasons=[*reasons, challenger.EXPERIMENT] if experiment else reasons,
            # Whose DAG has decided, and on which shadow.
            numbers={
                "outcome": outcome,
                "stage": stage,
                "entered_shadow": beside.seq,
                "comparisons": comparisons or [],
            },
            outcome=outcome,
        ),
        **_about(spec, day, run),
        once=f"shadow_decided:{spec.pipeline}:{spec.model.name}:{beside.seq}",
    )
    # Somebody else's decision, which came first, is followed by whoever looks for it.
    return _follow(spec, entry, run) if entry.kind == kind.entry_kind else entry


def _refuse(spec: Pipeline, beside: Entry[EnteredShadow], day: str, run: Run, error: MlError) -> Entry:
    """Refuse a challenger that cannot score, also one that has passed, and waits for a person."""
    reason = f"Version {beside.record.version} could not score {day} in shadow: {error}"
    if passed := _decided(spec, beside=beside):
        return approval.refuse(spec, passed, reason, run)
    return _decide(spec, beside, day, run, stage="score", passed=False, reasons=[reason])


def _decided(
    spec: Pipeline, *, by: tuple[str, str] | None = None, beside: Entry[EnteredShadow] | None = None
) -> Entry | None:
    """The newest decision about a challenger, or about that which a run of a stage has decided on; None where there is none."""
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name}
    found: list[Entry] = [
        *ledger.entries(model_records.Audited, **about),
        *ledger.entries(records.Refused, **about),
    ]
    shadows = [
        (one.record.numbers["entered_shadow"], one)
        for one in sorted(found, key=lambda one: -one.seq)
        if "entered_shadow" in one.record.numbers
    ]
    # A person may have answered since a run decided.
    of_run = (entered for entered, one in shadows if (one.run, one.record.numbers["stage"]) == by)
    wanted = beside.seq if beside else next(of_run, None)
    return next((one for entered, one in shadows if entered == wanted), None)


def _follow(spec: Pipeline, decided: Entry, run: Run) -> Entry:
    """Do what follows from a decision, as the model is declared now; repeating it changes nothing.

    Returns: the decision, or what it has come to: a person's answer, or a refusal.
    """
    if decided.kind == "audited":
        version, asked = decided.record.version, approval.request(spec, decided)
        if asked and (done := approval.answer(spec, asked)):
            return done
        if spec.model.criticality == "experiment" and roles.current(spec).champion != version:
            return approval.refuse(spec, decided, challenger.EXPERIMENT, run, outcome="experiment")
        if spec.is_critical:
            approval.ask(spec, decided, run)
        elif asked and (problem := training.no_longer_sound(spec, version)):
            return approval.refuse(spec, decided, problem, run)
        else:
            roles.promote(spec, decided, run)
    roles.show_decision(spec, decided)
    return decided


def _about(spec: Pipeline, day: str, run: Run) -> dict[str, Any]:
    return {"pipeline": spec.pipeline, "subject": spec.model.name, "partition": day, "run": run.run_id}
