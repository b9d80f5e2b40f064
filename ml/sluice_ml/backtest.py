"""What the loop would have done: training, promotion, scoring, monitoring's decision and retraining, day by day, over history.

Pure, and of the functions that the DAGs call: `training.fit`, `promotion.decide`, `monitoring.decide`. On each day it knows what
was known on that morning: outcomes of days that had come in, and the champion of the day before. What needs the world
beside the rows is not replayed: held and released days, late predictions, and drift, which never asks for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig, MonitoringConfig
from sluice_ml.errors import MlError
from sluice_ml.measuring import QUALITY, quality
from sluice_ml.metrics import Ranked
from sluice_ml.model import BaselineModel, Scorer, load
from sluice_ml.monitored_day import BASELINE_SCORE, DayNumbers
from sluice_ml.monitoring import MonitorDecision
from sluice_ml.monitoring import decide as monitor
from sluice_ml.promotion import Champion, Decision, Outcome, decide
from sluice_ml.retraining import Event, EventKind
from sluice_ml.scoring import BASELINE
from sluice_ml.training import Candidate

if TYPE_CHECKING:
    import pyarrow as pa

# Days that a decision looks back on, as `sluice.models.monitoring` gives them.
HISTORY_DAYS = 100
_DAY = timedelta(days=1)
# How the training of a request ends, by the decision about its candidate.
_ENDS: dict[Outcome, EventKind] = {
    "promote": "promoted",
    "refuse": "refused",
    "insufficient_data": "undecided",
}

Fit = Callable[["pa.Table", ModelConfig], Candidate]


@dataclass(frozen=True)
class Measured:
    """How well one scorer did on one day; None where the day has outcomes of one class only, or none, or no rows."""

    auc: float | None
    brier: float | None


@dataclass(frozen=True)
class Trained:
    """A candidate, and what became of it; `refused` says why there was none."""

    version: int
    algorithm: str
    rounds: int | None
    decision: Decision | None
    refused: str = ""

    @property
    def outcome(self) -> str:
        return self.decision.outcome if self.decision else "not_trained"

    @property
    def reasons(self) -> tuple[str, ...]:
        return self.decision.reasons if self.decision else (self.refused,)


@dataclass(frozen=True)
class Day:
    """A replayed day: who scored it and how well, what monitoring decided that morning, and what was trained then.

    `never` is the first champion of the range, never replaced. `requested` tells a request of monitoring from the first training of
    a range, which nobody has asked for.
    """

    ds: date
    rows: int
    label_rate: float | None
    score_mean: float | None
    version: int | None
    champion: Measured
    baseline: Measured
    never: Measured
    decision: MonitorDecision
    requested: bool
    trained: Trained | None


def replay(
    rows: pa.Table,
    first: date,
    last: date,
    *,
    model: ModelConfig,
    monitoring: MonitoringConfig,
    lag_days: int,
    train: Fit,
) -> Iterator[Day]:
    """Replay each day from `first` to `last`; on `first` a model is trained, as a person would do it.

    Args:
        rows: features and label of all days of history, as training takes them, also of days before `first`.
        lag_days: days after which the outcomes of a day are known.
        train: `sluice_ml.training.fit`, or what remembers its results.
    """
    loop = _Loop(rows, model, monitoring, lag_days, train)
    for count in range((last - first).days + 1):
        yield loop.day(first + count * _DAY, first=count == 0)


class _Loop:
    """What is known on a morning."""

    def __init__(
        self, rows: pa.Table, model: ModelConfig, monitoring: MonitoringConfig, lag_days: int, train: Fit
    ) -> None:
        self._rows, self._model, self._monitoring = rows, model, monitoring
        self._lag, self._fit = lag_days, train
        self._days = rows["ds"].to_numpy()
        self._baseline = BaselineModel(model.baseline, model.baseline_default)
        self._champion: tuple[int, Candidate, Scorer, date] | None = None
        self._never: Scorer | None = None
        self._versions = 0
        self._numbers: dict[date, DayNumbers] = {}
        self._past: list[Event] = []

    def day(self, day: date, *, first: bool) -> Day:
        """Score, decide and perhaps train, in the order of the DAGs."""
        version, scorer = self._scorer()
        rows = self._between(day, day)
        if rows.num_rows:
            self._numbers[day] = self._measure(day, rows, version, scorer)
        numbers = self._numbers.get(day)
        measured = Measured(numbers.auc, numbers.brier) if numbers else Measured(None, None)
        never = self._never or scorer
        decision = self._decide(day)
        asks = decision.action == "retrain"
        self._past.append(Event(day, "alarm", decision.wanted))
        if asks:
            self._past.append(Event(day, "asked", decision.wanted))
        trained = self._train(day) if asks or first else None
        return Day(
            ds=day,
            rows=rows.num_rows,
            label_rate=numbers.label_rate if numbers else None,
            score_mean=numbers.score_mean if numbers else None,
            version=version,
            champion=measured,
            baseline=self._measured(rows, self._baseline),
            never=measured if never is scorer else self._measured(rows, never),
            decision=decision,
            requested=asks,
            trained=trained,
        )

    def _scorer(self) -> tuple[int | None, Scorer]:
        return (self._champion[0], self._champion[2]) if self._champion else (None, self._baseline)

    def _between(self, first: date, last: date) -> pa.Table:
        import numpy as np
        import pyarrow as pa

        place = (self._days >= np.datetime64(first)) & (self._days <= np.datetime64(last))
        return self._rows.filter(pa.array(place))

    def _known_until(self, day: date) -> date:
        return day - self._lag * _DAY

    def _measure(self, day: date, rows: pa.Table, version: int | None, scorer: Scorer) -> DayNumbers:
        """The day's numbers as they will be when its outcomes are known."""
        scores = scorer.score(rows)
        scored = rows.append_column("score", [scores]).append_column(
            BASELINE_SCORE, [self._baseline.score(rows)]
        )
        found = quality(scored, self._model)
        labelled = rows.num_rows - rows[self._model.label].null_count
        return DayNumbers(
            ds=day.isoformat(),
            model_version=BASELINE if version is None else str(version),
            rows=rows.num_rows,
            labelled=labelled,
            coverage=labelled / rows.num_rows,
            score_mean=float(scores.mean()),
            compared=0,
            drift_share=0.0,
            drifted=(),
            left_out={},
            sampled_rows=0,
            reference_rows=0,
            has_outcomes=True,
            **found,
        )

    def _measured(self, rows: pa.Table, scorer: Scorer) -> Measured:
        import pyarrow.compute as pc

        known = rows.filter(pc.is_valid(rows[self._model.label]))
        label = known[self._model.label].to_numpy()
        if not len(label) or label.all() or not label.any():
            return Measured(None, None)
        auc, _, _, brier = Ranked(label, scorer.score(known)).measure()
        return Measured(auc, brier)

    def _decide(self, day: date) -> MonitorDecision:
        unknown: dict[str, Any] = {"labelled": 0, "coverage": 0.0, "has_outcomes": False} | dict.fromkeys(
            QUALITY
        )
        until = self._known_until(day)
        history = [
            each if on <= until else replace(each, **unknown)
            for on, each in self._numbers.items()
            if on > day - HISTORY_DAYS * _DAY
        ]
        if not history:
            return MonitorDecision("nothing", ("There was nothing to predict yet.",), {})
        champion = self._champion
        return monitor(
            history,
            self._monitoring,
            champion_lead=champion[1].meta.lead if champion else None,
            champion_days=champion[1].meta.splits["test"]["days"] if champion else 0,
            model_age_days=(day - champion[3]).days if champion else None,
            past=self._past,
        )

    def _train(self, day: date) -> Trained:
        known = self._between(
            self._known_until(day) - (self._model.training_days - 1) * _DAY, self._known_until(day)
        )
        self._versions += 1
        try:
            candidate = self._fit(known, self._model)
        except MlError as error:
            # As a training that fails: no candidate, and no answer to the request but the next one.
            return Trained(self._versions, "", None, None, error.what)
        champion = self._champion
        rival = (
            Champion.of(load(champion[1].content, champion[1].meta, threads=self._model.threads))
            if champion
            else None
        )
        decision = decide(candidate, rival, self._model)
        self._past.append(Event(day, _ENDS[decision.outcome]))
        if decision.promote:
            scorer = load(candidate.content, candidate.meta, threads=self._model.threads)
            self._champion = (self._versions, candidate, scorer, day)
            self._never = self._never or scorer
        return Trained(self._versions, candidate.meta.algorithm, candidate.meta.rounds, decision)
