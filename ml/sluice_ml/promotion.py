"""A candidate becomes champion only if it earned it, on days that neither model learned from.

One number decides throughout: the mean of the AUCs within each day, because the question is asked within a day. Models are
compared by the paired differences of each day, with Student's t interval over the days; Brier scores and calibration stand
beside it. What the candidate must do depends on what it is:

- a change of recipe (features, parameters, code) must beat the champion by more than the noise;
- a refresh (the same recipe, newer days) must not be worse by more than a declared margin, and whatever follows a champion that is
  lost must not be either, by the scores that this one had published;
- either must beat the baseline by more than the noise;
- and no check of the gate (`sluice_ml.checks`) may object: an order that is right is not all that is asked of a model.

The days of the comparison are the candidate's held-out days that the champion did not learn from; they chose no rounds
either. Where they are too few, nobody is promoted, and the decision says so instead of guessing. The model that
serves was fitted anew up to the last day: it has learned the held-out days, and must fit them at least as well as the one
that was judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from sluice_ml import checks
from sluice_ml.config import ModelConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.metrics import Estimate, daily, mean_of_days
from sluice_ml.model import ALGORITHMS, Scorer, Trained
from sluice_ml.training import Candidate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from sluice_ml.usage import Usage

Outcome = Literal["promote", "refuse", "insufficient_data"]
Must = Literal["beat", "keep_up"]
# Share of a day's rows that recorded scores need to stand for it: the majority.
_MIN_SHARE = 0.5


@dataclass(frozen=True)
class Champion:
    """What the candidate is compared with: how it scores, the last day that it learned from, and its recipe."""

    scorer: Scorer
    learned_until: str
    recipe_sha256: str
    # Columns that it scores by.
    features: tuple[str, ...] = ()
    # Why it cannot score any more, so that `scorer` is its `RecordedScores`; "" where it can.
    recorded: str = ""

    @classmethod
    def of(cls, model: Trained) -> Champion:
        meta = model.meta
        return cls(model, meta.learned_until, meta.recipe_sha256, (*meta.numeric, *meta.categorical))


@dataclass(frozen=True)
class RecordedScores:
    """How a champion scored while it could: `scores` has `key` (as text), `ds` and `score`, one row each.

    What it did not score is NaN, and so is the whole of a day of which it scored less than `_MIN_SHARE`: the order of a few rows is not that of the day.
    """

    key: str
    scores: pa.Table

    def score(self, rows: pa.RecordBatch | pa.Table) -> np.ndarray:
        import numpy as np
        import pyarrow as pa

        asked = {self.key: rows[self.key].cast(pa.string()), "ds": rows["ds"], "_place": range(rows.num_rows)}
        found = pa.table(asked).join(self.scores, keys=[self.key, "ds"], join_type="left outer")
        # A copy: what Arrow hands out may be read-only.
        score = np.array(found.sort_by("_place")["score"].to_numpy(), dtype=float)
        _, place = np.unique(rows["ds"].to_numpy(), return_inverse=True)
        share = np.bincount(place, ~np.isnan(score)) / np.bincount(place)
        score[share[place] < _MIN_SHARE] = np.nan
        return score


@dataclass(frozen=True)
class Comparison:
    """The candidate's mean daily AUC minus another's, over the days that both may be judged on.

    `auc` and `brier` are the other's; `brier_difference` is the candidate's minus that: below zero is better. `difference`
    is None where fewer than two days have both outcomes. `margin` is how far behind the candidate may be.
    """

    against: str
    must: Must
    days: int
    first: str
    last: str
    auc: float | None
    difference: Estimate | None
    brier: float | None
    brier_difference: float | None
    margin: float
    outcome: Literal["passed", "failed", "insufficient_data"]
    needed: int

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"

    @property
    def sentence(self) -> str:
        if self.difference is None or self.outcome == "insufficient_data":
            return (
                f"Insufficient data to compare with the {self.against}: {self.days} of the held-out days are days that it did not "
                f"learn from and that have both outcomes; {self.needed} are needed. The champion stays; train again when "
                f"{self.needed - self.days} more days have outcomes."
            )
        said = {
            ("passed", "beat"): f"beats the {self.against} by more than the noise",
            ("failed", "beat"): f"does not beat the {self.against} by more than the noise",
            ("passed", "keep_up"): f"is not worse than the {self.against} by more than {self.margin}",
            ("failed", "keep_up"): f"may be worse than the {self.against} by more than {self.margin}",
        }[self.outcome, self.must]
        low, high = f"{self.difference.low:+.4f}", f"{self.difference.high:+.4f}"
        return (
            f"The candidate {said}: mean daily AUC {self.difference.value:+.4f}, interval {low} to {high}, Brier score "
            f"{self.brier_difference:+.4f}, over {self.days} days."
        )


@dataclass(frozen=True)
class Decision:
    """Whether to promote, why in plain sentences, and the numbers (JSON-safe) for the record."""

    outcome: Outcome
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    numbers: dict[str, Any]

    @property
    def promote(self) -> bool:
        return self.outcome == "promote"


def decide(
    candidate: Candidate,
    champion: Champion | None,
    config: ModelConfig,
    *,
    not_compared: str = "",
    replayed: checks.Finding | None = None,
    served: checks.Finding | None = None,
    usage: Callable[[], Usage] | None = None,
) -> Decision:
    """Compare the candidate with the baseline and the champion on its held-out rows. Pure, but for `usage`.

    A champion that needs a column which the held-out rows do not have cannot be compared: the decision says so, and rests
    on the other comparisons. So does one of which too few recorded scores are there. One that is judged by its recorded scores
    asks only to be kept up with, whatever has changed, and is no rival where these are too few for a check of the gate.
    A candidate with a held-out score that is no number in [0, 1] is refused for that alone: nothing is compared or checked.

    Args:
        config: what is declared today: confidence, margins and limits.
        not_compared: why there is no `champion` to compare with although one scores; "" where that is not so.
        replayed: what `sluice_ml.checks.replay` found in the tables that the candidate learned from; None where nobody looked.
        served: what `sluice_ml.checks.parity` found of its held-out rows, scored as they are served; None where nobody looked.
        usage: measures what serving the candidate takes (`sluice_ml.usage`); None where that is not asked.
    """
    test, meta = candidate.test, candidate.meta
    days = Days(test, str(meta.config["label"]), config)
    mine = test["score_candidate"].to_numpy()
    change = champion is None or not meta.recipe_sha256 or champion.recipe_sha256 != meta.recipe_sha256
    wrong = checks.no_probabilities(mine)
    rival: Rival | None = None
    if champion is not None and not wrong:
        rival, not_compared = _rival(candidate, champion, days, is_change=change)
    comparisons, findings = [], [wrong] if wrong else []
    if not wrong:
        comparisons = [
            days.compare("baseline", mine, test["score_baseline"].to_numpy(), "beat"),
            *([rival.comparison] if rival else []),
        ]
        findings = checks.run(days.judged(candidate, rival, usage), config.gate)
    looked = {"replay": replayed, "parity": served}
    findings += [finding for finding in looked.values() if finding]
    not_checked = [
        *(checks.CHECKS if wrong else checks.undeclared(config.gate)),
        *(name for name, finding in looked.items() if not finding),
    ]
    refitted = refit_holds(meta.refit_loss_change)
    states = {*(comparison.outcome for comparison in comparisons), *(finding.state for finding in findings)}
    outcome: Outcome = "promote"
    if states & {"insufficient_data", "INSUFFICIENT"}:
        outcome = "insufficient_data"
    if not refitted or states & {"failed", "FAIL", "ERROR"}:
        outcome = "refuse"
    held = meta.splits["test"]
    by_recorded = bool(champion and champion.recorded and not not_compared and not wrong)
    return Decision(
        outcome=outcome,
        reasons=(
            *(comparison.sentence for comparison in comparisons),
            *([f"The champion could not be compared: {not_compared}"] if not_compared else []),
            *(
                [f"The champion was compared by the scores that it had published: {champion.recorded}"]
                if champion and by_recorded
                else []
            ),
            *([] if refitted else [_fits_worse(meta.refit_loss_change)]),
            *checks.sentences(findings, not_checked),
        ),
        comparisons=tuple(comparisons),
        numbers={
            "outcome": outcome,
            "is_recipe_change": change,
            "algorithm": meta.algorithm,
            "agreement": meta.agreement,
            "refit_loss_change": _recordable(meta.refit_loss_change),
            "daily_auc": None if wrong else days.mean(mine),
            "calibration": None if wrong else days.calibration(mine),
            "first": held["first"],
            "last": held["last"],
            "days": held["days"],
            "rows": held["rows"],
            "confidence": config.confidence,
            "comparisons": [asdict(comparison) for comparison in comparisons],
            "not_compared": not_compared,
            "by_recorded_scores": by_recorded,
            "gate": [asdict(finding) for finding in findings],
            "not_checked": not_checked,
        },
    )


@dataclass(frozen=True)
class Rival:
    """The champion, where it can be compared with: how it scored the held-out rows, after which day they count, and what that came to."""

    scores: np.ndarray
    learned_until: str
    comparison: Comparison


def _rival(
    candidate: Candidate, champion: Champion, days: Days, *, is_change: bool
) -> tuple[Rival | None, str]:
    """With whom the candidate is compared beside the baseline, or why with nobody; asked before any check is made."""
    test, recorded = candidate.test, champion.recorded
    try:
        theirs = champion.scorer.score(test)
    except RowsUnusableError as error:
        return None, error.what
    must: Must = "beat" if is_change and not recorded else "keep_up"
    mine = test["score_candidate"].to_numpy()
    found = days.compare("champion", mine, theirs, must, after=champion.learned_until)
    rival = Rival(theirs, champion.learned_until, found)
    if recorded and found.outcome == "insufficient_data":
        return (
            None,
            f"{recorded} It had scored {found.days} of the days that count here, and {found.needed} are needed.",
        )
    judged = days.judged(candidate, rival)
    if recorded and (too_few := checks.without_enough_of_the_rival(judged, days.gate)):
        return None, f"{recorded} It had scored too few rows for {', '.join(too_few)}."
    return rival, ""


class Days:
    """The held-out rows, on which models are compared day by day."""

    def __init__(self, test: pa.Table, label: str, config: ModelConfig) -> None:
        self._label, self._day = test[label].to_numpy(), test["ds"].to_numpy()
        self._config, self.gate = config, config.gate

    def compare(
        self, against: str, mine: np.ndarray, theirs: np.ndarray, must: Must, *, after: str = ""
    ) -> Comparison:
        """Rows that the other has not scored (NaN) count for neither.

        Args:
            after: the last day (YYYY-MM-DD) that counts not, because the other learned from it.
        """
        import numpy as np

        place = self._after(after) & ~np.isnan(theirs)
        label, day = self._label[place], self._day[place]
        mine, theirs = mine[place], theirs[place]
        each, other = daily(label, mine, day), daily(label, theirs, day)
        counted = int((~np.isnan(each)).sum())
        difference = mean_of_days(each - other, self._config.confidence)
        needed = max(2, self._config.comparison_days)
        margin = self._config.refresh_margin if must == "keep_up" else 0.0
        enough = counted >= needed and difference is not None
        passed = difference is not None and difference.low > -margin
        named = np.unique(day)
        brier = float(np.mean((theirs - label) ** 2)) if counted else None
        return Comparison(
            against=against,
            must=must,
            days=counted,
            first=str(named[0]) if len(named) else "",
            last=str(named[-1]) if len(named) else "",
            auc=float(np.nanmean(other)) if counted else None,
            difference=difference,
            brier=brier,
            brier_difference=None if brier is None else float(np.mean((mine - label) ** 2)) - brier,
            margin=margin,
            outcome="insufficient_data" if not enough else "passed" if passed else "failed",
            needed=needed,
        )

    def judged(
        self, candidate: Candidate, rival: Rival | None, usage: Callable[[], Usage] | None = None
    ) -> checks.Judged:
        """What the checks are given; `rival` is None where there is no champion that can be compared with."""
        import numpy as np

        config, test = self._config, candidate.test
        theirs, learned = (rival.scores, rival.learned_until) if rival else (None, "")
        kind = next(kind for kind in ALGORITHMS if kind != candidate.meta.algorithm)
        other = test[f"score_{kind}"].to_numpy() if f"score_{kind}" in test.column_names else None
        return checks.Judged(
            rows=test,
            label=self._label,
            day=self._day,
            score=test["score_candidate"].to_numpy(),
            rival="champion" if rival else "baseline",
            rival_score=theirs if theirs is not None else test["score_baseline"].to_numpy(),
            may_compare=self._after(learned) & (~np.isnan(theirs) if theirs is not None else True),
            peer="the champion" if rival else f"the {kind} model",
            peer_score=theirs if theirs is not None else other,
            learned_daily_auc=candidate.meta.learned_daily_auc,
            shows_values=config.gate.shows_values,
            usage=usage,
            needed_days=max(2, config.comparison_days),
            min_outcomes=config.gate.min_outcomes,
            confidence=config.confidence,
            resamples=config.resamples,
            seed=config.seed,
        )

    def _after(self, learned_until: str) -> np.ndarray:
        """Which rows are of days after a day (YYYY-MM-DD); all, where it is empty."""
        import numpy as np

        learned = date.fromisoformat(learned_until) if learned_until else date.min
        return self._day > np.datetime64(learned)

    def mean(self, scores: np.ndarray) -> dict[str, float] | None:
        found = mean_of_days(daily(self._label, scores, self._day), self._config.confidence)
        return asdict(found) if found else None

    def calibration(self, scores: np.ndarray) -> Mapping[str, float]:
        return {"mean_score": float(scores.mean()), "label_rate": float(self._label.mean())}


def refit_holds(loss_change: float | None) -> bool:
    """Whether the model that serves fits the days that it has learned at least as well as the judged one; None: it is that one."""
    return loss_change is None or loss_change <= 0


def _recordable(number: float | None) -> float | None:
    """The number, or None where JSON has none for it: the reasons say what it is."""
    return number if number is not None and isfinite(number) else None


def _fits_worse(loss_change: float | None) -> str:
    return (
        f"The model that would serve, fitted again up to the last day, fits the held-out days worse than the one that was "
        f"judged, although it has learned them: log loss {loss_change:+.4f}."
    )
