"""What the ledger records of models: from the snapshots of a training to what monitoring asks for; a class a kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from sluice.ledger.record import Record


class Choice(Record):
    """A decision about a candidate."""

    # The candidate, and the champion that it was compared with; None: the baseline.
    version: int | None = None
    champion: int | None = None
    promote: bool = False
    numbers: dict[str, Any] = {}
    # promote, refuse, insufficient_data: too few days to compare on, so that nothing was decided about the model, or experiment: it
    # passed, and `model.criticality` lets none become champion.
    outcome: str = ""


class Pinned(Record, kind="pinned"):
    """A training fixed the snapshots that it reads."""

    tag: str


class Trained(Record, kind="trained"):
    """A candidate was trained."""

    version: int
    # Of the model's file, and of its description.
    sha256: str = ""
    meta_sha256: str = ""
    # The kind of model, and the digest of its recipe: two versions with the same one differ in their days only.
    algorithm: str = ""
    recipe_sha256: str = ""
    snapshots: dict[str, int] = {}
    rows: int = 0
    splits: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    findings: tuple[dict[str, Any], ...] = ()
    waivers: tuple[dict[str, Any], ...] = ()
    unmatched: dict[str, int] = {}
    left_out: dict[str, int] = {}
    unsupported: tuple[str, ...] = ()
    capped: dict[str, dict[str, int]] = {}
    mlflow_run: str = ""
    code: str = ""
    # Who triggered the training; "" where monitoring asked for it.
    asked_by: str = ""

    @property
    def learned_until(self) -> str:
        """The last day (YYYY-MM-DD) that the serving model learned from; "" where an earlier version trained it."""
        learned = self.splits.get("refit") or self.splits.get("valid") or {}
        return str(learned.get("last", ""))


class Tuned(Record, kind="tuned"):
    """Other parameters were searched for, and some proposed, or none; nothing was changed."""

    # Parameters, rounds, mean daily AUC and CPU seconds of the declared ones, and of each trial in its order.
    present: dict[str, Any]
    trials: tuple[dict[str, Any], ...]
    # The place of the best among the trials, and its AUC minus that of the present ones.
    best: int | None
    gain: dict[str, float] | None
    # That of the gain's interval, made stricter by the number of trials; and the linear model's mean daily AUC over the same days.
    confidence: float | None = None
    linear: float | None = None
    # All parameters as they should stand; none where nothing is proposed.
    proposed: dict[str, Any]
    # The days that chose.
    first: str
    last: str
    days: int
    cpu_seconds: float
    # What ended the search: budget or trials.
    ended: str
    seed: int
    recipe_sha256: str
    snapshots: dict[str, int]
    libraries: dict[str, str]
    code: str
    asked_by: str
    # Its page, relative to the folder of evidence.
    report: str


class TrainingRefused(Record, kind="training_refused"):
    """A training set was refused."""

    error: str = ""
    what: str
    where: str = ""
    todo: str = ""


class TrainingSkipped(Record, kind="training_skipped"):
    """Nothing was trained, because learning is paused."""

    reason: str


class Audited(Choice, kind="audited"):
    """A candidate may become champion."""


class Promoted(Choice, kind="promoted"):
    """A candidate became champion."""

    # The entry of the decision, and the champion until then; entries of earlier versions are the decision's, word for word.
    decision: int | None = None
    previous: int | None = None
    decided_at: str = ""
    # Of a critical model: who approved, and why.
    by: str = ""
    why: str = ""


class RolledBack(Record, kind="rolled_back"):
    """An earlier version scores again, or no model, because a person says so, or the gate of predictions."""

    version: int | None
    previous: int | None = None
    # Of an earlier version.
    champion: int | None = None
    by: str = ""
    account: str = ""
    why: str = ""
    # Of a critical model: who approved what `by` asked for.
    approved_by: str = ""
    # Of a roll-back by the gate: the batch of predictions that it held.
    held: str = ""
    decided_at: str = ""


# How long an answer to a roll-back of a critical model is waited for, as for that to a release: it is about the predictions of a day.
ROLLBACK_ANSWER_WITHIN = timedelta(hours=20)


class RollbackRejected(Record, kind="rollback_rejected"):
    """A person was asked for a roll-back of a critical model, and rejected it, or nobody answered (`by` is ""): nothing moved."""

    # What was asked for, and the champion that it was about.
    version: int | None
    champion: int | None
    by: str
    # The reason of the rejection, if one was given.
    why: str = ""
    requested_by: str
    requested_why: str


class StoodIn(Record, kind="stood_in"):
    """The champion could not score, and another did in its place."""

    version: int | None
    champion: int | None
    problems: tuple[str, ...]


class Measured(BaseModel):
    """The batches that a day was measured from."""

    model_config = ConfigDict(frozen=True)

    predictions: str | None
    outcomes: str | None


class Monitored(Record, kind="monitored"):
    """The predictions of a day were measured; the numbers are those of `sluice_ml.monitoring.DayNumbers`."""

    model_config = ConfigDict(extra="allow")

    ds: str = ""
    labelled: int = 0
    auc: float | None = None
    measured: Measured | None = None


class NotMeasured(Record, kind="not_measured"):
    """What a day's predictions were made from is gone."""

    measured: Measured


class Decided(Record, kind="decided"):
    """What monitoring asks for: nothing, attention, or a new model."""

    action: str
    numbers: dict[str, Any] = {}
    # What called for a new model (`sluice_ml.retraining.CAUSES`), whether one was asked for or not.
    wanted: tuple[str, ...] = ()
    # Why a person is needed, and the first day of the series that he is asked about.
    person: str = ""
    person_since: str = ""


class RetrainRequested(Record, kind="retrain_requested"):
    """Monitoring asked for a new model."""

    # What called for it; entries of earlier versions have none.
    causes: tuple[str, ...] = ()


class EnteredShadow(Record, kind="entered_shadow"):
    """A candidate that passed the gate scores beside the champion before it may take its place."""

    version: int
    # The champion (None: the baseline), and the entry that decided on it; 0 before the first.
    champion: int | None
    since: int
    # The entry that let it in.
    decision: int
    # Days that count after which it is decided on; the first entries have none.
    days: int = 0


class ScoredInShadow(Record, kind="scored_in_shadow"):
    """A challenger has scored the features that a day's published predictions were made from: `batch_id`, never published; None where the
    day's numbers gave no scores."""

    version: int
    # The batch of these predictions.
    predictions: str
    # The entry with which its shadow began; the first entries have none.
    entered_shadow: int = 0


# How long a person's answer is waited for: whatever day it was asked on, working days are among them.
ANSWER_WITHIN = timedelta(days=7)


class ApprovalShown(Record, kind="approval_shown"):
    """A run of Airflow asks a person about a challenger; another does where that has ended without an answer."""

    # Entry of the request.
    request: int


class ApprovalRequested(Record, kind="approval_requested"):
    """A challenger of a critical model passed its shadow, and waits for a person."""

    version: int
    # The entry of the decision that it passed, and that with which its shadow began.
    decision: int
    entered_shadow: int


class Approved(Record, kind="approved"):
    """A person approved a challenger, before anybody else answered: it becomes champion by the entry `promoted` that follows."""

    version: int
    decision: int
    by: str
    why: str


class ShadowStanding(Record, kind="shadow_standing"):
    """How a challenger stands, while too few days have outcomes to decide; `comparison` is that of `sluice_ml.promotion`."""

    version: int
    comparison: dict[str, Any]
    entered_shadow: int = 0
