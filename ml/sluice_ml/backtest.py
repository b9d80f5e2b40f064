"""What the loop would have done: training, promotion, scoring, monitoring's decision and retraining, day by day, over history.

Pure, and of the functions that the DAGs call: `training.fit`, `promotion.decide`, `monitoring.decide`. On each day it knows what
was known on that morning: outcomes of days that had come in, and the champion of the day before. What needs the world
beside the rows is not replayed: held and released days, late predictions, and drift, which never asks for a model, but would have a loss called
an input shift with loss where inputs have shifted. A broken pipe is replayed, because it leaves a day out of the judgement.

Faults are done to forks of the replay: each begins with what was known when its fault does, goes on beside the replay with the fault in it, and
ends when monitoring has named it; nothing is trained in it. So no fault changes what is known of another, or of the policy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig, MonitoringConfig
from sluice_ml.drift import find_broken, values_by_day
from sluice_ml.errors import MlError
from sluice_ml.faults import Fault, Found
from sluice_ml.findings import Finding
from sluice_ml.measuring import QUALITY, quality
from sluice_ml.metrics import Ranked
from sluice_ml.model import BaselineModel, Scorer, load
from sluice_ml.monitored_day import BASELINE_SCORE, REFERENCE_SCORE, DayNumbers
from sluice_ml.monitoring import HISTORY_DAYS, MonitorDecision
from sluice_ml.monitoring import decide as monitor
from sluice_ml.promotion import Champion, Decision, Outcome, decide
from sluice_ml.retraining import Event, EventKind
from sluice_ml.scoring import BASELINE
from sluice_ml.training import Candidate

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = timedelta(days=1)
# What monitoring may say of a day that a fault could be behind.
ALARMS = frozenset({"broken pipe", "concept change", "worse than reference", "label shift"})
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
    def ended(self) -> str:
        """The outcome, in the word that the ledger and the pages have for it."""
        return _ENDS[self.decision.outcome] if self.decision else "not trained"

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
    # Faults that were named on this day, or that were over, or that the replay ended with.
    injected: tuple[Found, ...] = ()

    @property
    def alarms(self) -> list[Finding]:
        """What monitoring said that morning and a fault could be behind."""
        return [one for one in self.decision.findings if one.name in ALARMS]


def replay(
    rows: pa.Table,
    first: date,
    last: date,
    *,
    model: ModelConfig,
    monitoring: MonitoringConfig,
    lag_days: int,
    train: Fit,
    faults: Sequence[Fault] = (),
) -> Iterator[Day]:
    """Replay each day from `first` to `last`; on `first` a model is trained, as a person would do it.

    Args:
        rows: features and label of all days of history, as training takes them, also of days before `first`.
        lag_days: days after which the outcomes of a day are known.
        train: `sluice_ml.training.fit`, or what remembers its results.
        faults: what is done, each to a fork of its own; those that begin outside the range are passed over.
    """
    loop = _Loop(rows, model, monitoring, lag_days, train)
    forks: list[_Fork] = []
    for count in range((last - first).days + 1):
        day = first + count * _DAY
        over_days = monitoring.retraining.drop_over_days
        forks += [_Fork(loop, fault, over_days) for fault in faults if fault.first == day]
        made = loop.day(day, first=count == 0)
        settled = [
            found for fork in forks if (found := fork.day(made, first=count == 0, is_last=day == last))
        ]
        forks = [fork for fork in forks if fork.fault not in {found.fault for found in settled}]
        yield replace(made, injected=tuple(settled))


class _Loop:
    """What is known on a morning."""

    def __init__(
        self, rows: pa.Table, model: ModelConfig, monitoring: MonitoringConfig, lag_days: int, train: Fit
    ) -> None:
        self._rows, self._model, self._monitoring = rows, model, monitoring
        self.lag_days, self._fit = lag_days, train
        self._days = rows["ds"].to_numpy()
        self._baseline = BaselineModel(model.baseline, model.baseline_default)
        self._champion: tuple[int, Candidate, Scorer, date] | None = None
        self._never: tuple[int, Scorer] | None = None
        self._versions = 0
        self._numbers: dict[date, DayNumbers] = {}
        self._past: list[Event] = []
        self._fault: Fault | None = None
        # Version of a champion, and the values of the days that it has learned.
        self._usual: tuple[int, dict[str, Any]] | None = None

    def fork(self, fault: Fault) -> _Loop:
        """The same morning, with a fault in what comes."""
        other = copy.copy(self)
        other._numbers, other._past, other._fault = dict(self._numbers), list(self._past), fault
        other._damage(fault)
        return other

    def _damage(self, fault: Fault) -> None:
        import numpy as np
        import pyarrow as pa

        days = [fault.first + count * _DAY for count in range((fault.last - fault.first).days + 1)]
        days = [day for day in days if fault.is_on(day)]
        others = ~np.isin(self._days, np.array(days, dtype="datetime64[D]"))
        damaged = [
            fault.of_rows(rows, self._model.label, self._monitoring.pipes)
            for day in days
            if (rows := self._between(day, day)).num_rows
        ]
        self._rows = pa.concat_tables([self._rows.filter(pa.array(others)), *damaged])
        self._days = self._rows["ds"].to_numpy()

    def day(self, day: date, *, first: bool) -> Day:
        """Score, decide and perhaps train, in the order of the DAGs."""
        version, scorer = self._scorer()
        rows = self._between(day, day)
        if rows.num_rows:
            self._numbers[day] = self._measure(day, rows, version, scorer)
        numbers = self._numbers.get(day)
        measured = Measured(numbers.auc, numbers.brier) if numbers else Measured(None, None)
        never = self._never[1] if self._never else scorer
        decision = self._decide(day)
        asks = decision.action == "retrain"
        self._past.append(Event(day, "alarm", decision.wanted))
        if asks:
            self._past.append(Event(day, "asked", decision.wanted))
        # With a fault it is asked what is said of it: that a model is trained comes after.
        trained = self._train(day) if first or (asks and self._fault is None) else None
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

    def known_until(self, day: date) -> date:
        return day - self.lag_days * _DAY

    def _measure(self, day: date, rows: pa.Table, version: int | None, scorer: Scorer) -> DayNumbers:
        """The day's numbers as they will be when its outcomes are known."""
        scores = scorer.score(rows)
        if self._fault and self._fault.is_on(day):
            scores = self._fault.of_scores(scores, self._measured(rows, scorer).auc, day)
        scored = rows.append_column("score", [scores]).append_column(
            BASELINE_SCORE, [self._baseline.score(rows)]
        )
        reference = ""
        if self._never and self._never[0] != version:
            reference = str(self._never[0])
            scored = scored.append_column(REFERENCE_SCORE, [self._never[1].score(rows)])
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
            broken=self._broken(rows),
            reference_version=reference,
            **found,
        )

    def _broken(self, rows: pa.Table) -> dict[str, tuple[str, ...]]:
        """Source to its features without values, beside the days that the champion has learned."""
        if not self._champion:
            return {}
        version, candidate, _, _ = self._champion
        if self._usual is None or self._usual[0] != version:
            learned = candidate.meta.fitted_on
            reference = self._between(
                date.fromisoformat(learned["first"]), date.fromisoformat(learned["last"])
            )
            self._usual = (version, values_by_day(reference, self._model))
        margin, pipes = self._monitoring.broken_margin, self._monitoring.pipes
        return find_broken(rows, self._usual[1], self._model, margin=margin, pipes=pipes)

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
        until = self.known_until(day)
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
            self.known_until(day) - (self._model.training_days - 1) * _DAY, self.known_until(day)
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
            self._never = self._never or (self._versions, scorer)
        return Trained(self._versions, candidate.meta.algorithm, candidate.meta.rounds, decision)


class _Fork:
    """A replay with a fault, beside the one without."""

    def __init__(self, loop: _Loop, fault: Fault, over_days: int) -> None:
        """over_days: an alarm that the replay without the fault raises, too, within these days is not the fault's."""
        self.fault = fault
        self._loop, self._over_days = loop.fork(fault), over_days
        self._seen: list[date] = []
        self._wrong: dict[str, None] = {}
        self._named: tuple[date, Finding] | None = None

    def day(self, without: Day, *, first: bool, is_last: bool) -> Found | None:
        """Replay a day; what is known of the fault once nothing more can be learned of it.

        Args:
            without: the same day without the fault: what is said of it too, does not count.
        """
        today = without.ds
        if self._named:
            on, finding = self._named
            came = _key(finding) in {_key(one) for one in without.alarms}
            waited = (today - on).days >= self._over_days
            return self._found(today if came else None) if came or waited or is_last else None
        made = self._loop.day(today, first=first)
        if made.version != without.version:
            return self._unknown(f"the champion was replaced, and scored without it from {today} on")
        if self.fault.is_on(today) and made.rows and made.version is not None:
            self._seen.append(today)
        usual = {_key(one) for one in without.alarms}
        said = [one for one in made.alarms if _key(one) not in usual]
        right = [one for one in said if self.fault.is_named_by(one)]
        if right:
            self._named = (today, right[0])
            return self._found(None) if is_last else None
        self._wrong |= dict.fromkeys(one.name for one in said)
        # The outcomes of the last faulty day come after it.
        if not is_last and today < self.fault.last + self._loop.lag_days * _DAY:
            return None
        known = today if self.fault.kind == "missing" else self._loop.known_until(today)
        if not any(day <= known for day in self._seen):
            return self._unknown("no champion scored rows of it whose outcomes were known")
        return Found(self.fault, wrong=tuple(self._wrong))

    def _found(self, without: date | None) -> Found:
        assert self._named is not None
        on, finding = self._named
        delay = (on - self.fault.first).days
        return Found(self.fault, on, finding.name, delay, finding.sentence, tuple(self._wrong), without)

    def _unknown(self, why: str) -> Found:
        return Found(self.fault, wrong=tuple(self._wrong), unknown=why)


def _key(finding: Finding) -> tuple[str, str]:
    return finding.name, finding.about
