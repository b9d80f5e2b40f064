"""What is known of a pipeline's model: who scores, the newest candidate, and each decision with the evidence that it rests on.

The rule kept here: it is read from the ledger alone, and page, JSON and command only render it: they cannot disagree, and a
registry that is damaged takes nothing from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core import dag_ids
from sluice.core.partitions import day_of
from sluice.ledger import Entry, champion, model_records, records
from sluice.ledger.store import Filters
from sluice.models import challenger, evidence, realised, roles
from sluice.models.evidence import Check
from sluice.models.realised import Mark, Realised

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# What a decision came to, in words.
_OUTCOMES = {
    "promote": "may become champion",
    "refuse": "was refused",
    "insufficient_data": "was not decided on, for too few days or outcomes",
    "experiment": "passed, and stays an experiment",
}


@dataclass(frozen=True, kw_only=True)
class Event:
    """An entry of the ledger about the model."""

    entry: int
    at: datetime
    # The run day (YYYY-MM-DD) that it is about, and the DAG whose run recorded it; None of a command's.
    day: str | None
    dag_id: str | None
    run: str | None


@dataclass(frozen=True, kw_only=True)
class Trained(Event):
    """A version as it was trained."""

    version: int
    # The last day that it has learned; "" where an earlier version of this project trained it.
    learned_until: str
    rows: int
    algorithm: str
    recipe_sha256: str
    sha256: str
    code: str
    mlflow_run: str


@dataclass(frozen=True, kw_only=True)
class Decision(Event):
    """What was decided about a candidate."""

    version: int | None
    # The champion that it was compared with; None: the baseline.
    champion: int | None
    # promote, refuse, insufficient_data or experiment.
    outcome: str
    reasons: Sequence[str]
    checks: Sequence[Check]
    # Whether it ends a shadow; then its day is not the one that the candidate was trained for.
    in_shadow: bool = False

    @property
    def sentence(self) -> str:
        said = _OUTCOMES.get(self.outcome, self.outcome)
        there_was = (
            "there was no champion" if self.champion is None else f"version {self.champion} was champion"
        )
        return f"Version {self.version}{', in shadow,' if self.in_shadow else ''} {said}; {there_was}."


@dataclass(frozen=True, kw_only=True)
class Change(Event):
    """From when to when a version was champion, and who or what moved it."""

    # `until` is None of the present champion.
    since: datetime
    until: datetime | None
    # Whether `since` is by the pipeline's clock; of an entry of an earlier version it is when it was recorded.
    by_its_clock: bool
    # None: the baseline.
    version: int | None
    previous: int | None
    # promoted, by the gate, or rolled_back, by a person or the gate of predictions (`held` is the batch that it rests on); who answers for that (of a promotion, who approved it) and why, and of a
    # command who typed it.
    kind: str
    by: str
    why: str
    account: str
    # Of a roll-back of a critical model: who approved it.
    approved_by: str
    held: str
    # The entry of the decision that it rests on; None of a person's.
    decision: int | None
    reasons: Sequence[str]

    @property
    def began(self) -> str:
        """`since` as people read it."""
        return f"{self.since:%Y-%m-%d %H:%M %Z}{'' if self.by_its_clock else ' (recorded)'}"

    @property
    def ended(self) -> str:
        """`until` as people read it; "" of the present champion."""
        return f"{self.until:%Y-%m-%d %H:%M %Z}" if self.until else ""

    @property
    def moved_by(self) -> str:
        if self.kind == "promoted":
            return f"the gate and {self.by}, who approved it: {self.why}" if self.by else "the gate"
        if self.held:
            return self.by
        approved = f", and {self.approved_by}, who approved it" if self.approved_by else ""
        return f"a person{f', {self.by}' if self.by else ''}{approved}"


@dataclass(frozen=True, kw_only=True)
class Incident(Event):
    """A training set that was refused, another that stood in for the champion, a candidate that entered shadow or waits for a person, or a
    roll-back that a person rejected, by `kind`."""

    kind: str
    reasons: Sequence[str]


@dataclass(frozen=True)
class History:
    """Everything that was decided about a pipeline's model, the newest first."""

    pipeline: str
    model: str
    question: str
    # None where the baseline scores, and `candidate` None where nothing was ever trained.
    champion: Trained | None
    candidate: Trained | None
    decisions: Sequence[Decision]
    changes: Sequence[Change]
    incidents: Sequence[Incident]
    realised: Realised
    # How the candidate in shadow stands, in sentences; nothing where there is none.
    in_shadow: Sequence[str] = ()
    # Whether it waits for a person.
    waits: bool = False

    @property
    def candidate_decision(self) -> Decision | None:
        """The newest decision about the newest candidate."""
        version = self.candidate.version if self.candidate else None
        return next((one for one in self.decisions if one.version == version), None)

    @property
    def stand_in(self) -> Incident | None:
        """The newest time that another stood in for the present champion."""
        since = self.changes[0].entry if self.changes else 0
        return next((one for one in self.incidents if one.kind == "stood_in" and one.entry > since), None)

    @property
    def events(self) -> list[Decision | Change | Incident]:
        """Champions, the candidates that became none, and incidents."""
        acted = {change.decision for change in self.changes}
        others = [decision for decision in self.decisions if decision.entry not in acted]
        return sorted([*self.changes, *others, *self.incidents], key=lambda event: -event.entry)


def read(spec: Pipeline) -> History:
    """Read the history of a pipeline that has a model."""
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name}
    trained: dict[int, Entry[model_records.Trained]] = {}
    for entry in ledger.entries(model_records.Trained, **about):
        # The same rows give the same version again: the newest training is shown.
        trained.setdefault(entry.record.version, entry)
    decided = sorted(
        (
            entry
            for kind in (model_records.Audited, records.Refused)
            for entry in ledger.entries(kind, **about)
        ),
        key=lambda entry: -entry.seq,
    )
    decisions = [_decision(entry) for entry in decided]
    moves = champion.decisions(spec.pipeline, spec.model.name)
    untils = [None, *(champion.since(move) for move in moves)]
    changes = [_change(move, until, decisions) for move, until in zip(moves, untils, strict=False)]
    scores = trained.get(moves[0].record.version) if moves else None
    return History(
        pipeline=spec.pipeline,
        model=spec.model.name,
        question=spec.model.question,
        champion=_trained(scores) if scores else None,
        candidate=_trained(trained[max(trained)]) if trained else None,
        decisions=decisions,
        changes=changes,
        incidents=[
            Incident(
                **_event(entry, stage), kind=entry.kind, reasons=entry.record.reasons or (entry.record.what,)
            )
            for kind, stage in (
                ("training_refused", "train"),
                ("stood_in", "score"),
                ("entered_shadow", "train"),
                ("approval_requested", "monitor"),
                ("rollback_rejected", "rollback"),
            )
            for entry in ledger.entries(kind, **about)
        ],
        realised=realised.read(spec, _marks(changes, decisions)),
        in_shadow=challenger.standing(spec, beside) if (beside := challenger.current(spec)) else (),
        waits=challenger.waiting(spec) is not None,
    )


def lines(history: History) -> Iterator[str]:
    """As text for a terminal: since when which version scored, who or what moved it and why, and what did not become champion."""
    if not history.changes:
        yield f"{history.model}: no version has ever been champion; the baseline scores"
    yield from history.in_shadow
    for event in history.events:
        recorded = f"(entry {event.entry}, run {event.run})"
        if isinstance(event, Change):
            until = f" until {event.ended}" if event.until else ""
            yield f"since {event.began}{until}: {roles.named(event.version)}, in place of {roles.named(event.previous)}, by {event.moved_by} {recorded}"
        elif isinstance(event, Decision):
            yield f"{event.day}: {event.sentence} {recorded}"
        else:
            yield f"{event.day or f'{event.at:%Y-%m-%d}'}: {event.kind.replace('_', ' ')} {recorded}"
        yield from (f"    {reason}" for reason in event.reasons)


def _event(entry: Entry, stage: str) -> dict[str, Any]:
    """What all that is shown has in common; `stage` is that of the DAG whose run recorded it, "" of a command's."""
    (dag_id,) = dag_ids.of_pipeline(entry.pipeline, [stage]) if stage else (None,)
    return {"entry": entry.seq, "at": entry.at, "day": entry.partition, "dag_id": dag_id, "run": entry.run}


def _trained(entry: Entry[model_records.Trained]) -> Trained:
    record = entry.record
    return Trained(
        **_event(entry, "train"),
        version=record.version,
        learned_until=record.learned_until,
        rows=record.rows,
        algorithm=record.algorithm,
        recipe_sha256=record.recipe_sha256,
        sha256=record.sha256,
        code=record.code,
        mlflow_run=record.mlflow_run,
    )


def _decision(entry: Entry[Any]) -> Decision:
    record = entry.record
    return Decision(
        **_event(entry, record.numbers.get("stage", "train")),
        version=record.version,
        champion=record.champion,
        outcome=record.outcome or ("promote" if entry.kind == "audited" else "refuse"),
        reasons=record.reasons,
        checks=evidence.checks(record.numbers),
        in_shadow="entered_shadow" in record.numbers,
    )


def _change(entry: Entry[Any], until: datetime | None, decisions: Sequence[Decision]) -> Change:
    record = entry.record
    person = isinstance(record, model_records.RolledBack)
    # Promotions of an earlier version do not name their decision.
    before = (one.entry for one in decisions if one.version == record.version and one.entry < entry.seq)
    # A command records its user's account, and has no run in Airflow.
    if person:
        stage = "" if record.account else "score" if record.held else "rollback"
    else:
        stage = "promote" if record.by else record.numbers.get("stage", "train")
    return Change(
        **_event(entry, stage),
        since=champion.since(entry),
        until=until,
        by_its_clock=bool(record.decided_at),
        version=record.version,
        previous=roles.previous_of(entry),
        kind=entry.kind,
        by=record.by,
        why=record.why,
        account=record.account if person else "",
        approved_by=record.approved_by if person else "",
        held=record.held if person else "",
        decision=None if person else record.decision or next(before, None),
        reasons=record.reasons,
    )


def _marks(changes: Sequence[Change], decisions: Sequence[Decision]) -> Iterator[tuple[str, Mark]]:
    """What happened to the model, by the day on which it did."""
    for change in changes:
        yield day_of(change.since.date()), Mark(change.kind, roles.named(change.version))
    for decision in decisions:
        if decision.outcome != "promote" and decision.day:
            yield decision.day, Mark(decision.outcome, f"version {decision.version}")
