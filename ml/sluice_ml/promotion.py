"""A candidate becomes champion only if it earned it on days that neither model learned from.

All models score the same held-out rows, the champion anew, and are compared by AUC on the same bootstrap draws of whole
days (see `sluice_ml.metrics`: rows of one day are not independent, and the question is whether the candidate would win on other
days, not on other rows of these days). The candidate must beat the baseline and the champion by more than the noise: the
interval of the difference lies above zero. A linear model it must not lose to by more than the noise: on few features the
two are often equal, but a boosted model that a straight line beats has learned something that is not there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sluice_ml.errors import RowsUnusableError
from sluice_ml.metrics import METRICS, Estimate, compare, interval
from sluice_ml.model import Scorer
from sluice_ml.training import Candidate

_AUC = METRICS.index("auc")
_TITLES = {"baseline": "baseline", "linear": "linear model", "champion": "champion"}


@dataclass(frozen=True)
class Comparison:
    """The candidate's AUC minus another's on the same rows and resamples; `must` is "beat" or "not_lose"."""

    against: str
    must: str
    auc: float
    difference: Estimate
    passed: bool

    @property
    def sentence(self) -> str:
        low, high = f"{self.difference.low:+.4f}", f"{self.difference.high:+.4f}"
        outcome = {
            (True, "beat"): "beats",
            (False, "beat"): "does not beat",
            (True, "not_lose"): "does not lose to",
            (False, "not_lose"): "loses to",
        }[self.passed, self.must]
        return (
            f"The candidate {outcome} the {_TITLES[self.against]} by more than the noise: "
            f"AUC {self.difference.value:+.4f}, interval {low} to {high}."
        )


@dataclass(frozen=True)
class Decision:
    """Whether to promote, why in plain sentences, and the numbers (JSON-safe) for the record."""

    promote: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    numbers: dict[str, Any]


def decide(candidate: Candidate, champion: Scorer | None, *, not_compared: str = "") -> Decision:
    """Compare the candidate with the baseline, the linear model and the champion on its held-out rows. Pure.

    The label, resamples, confidence and seed are those that the candidate was trained with. A champion that needs a column
    which the held-out rows do not have cannot be compared: the decision says so, and rests on the other comparisons.

    Args:
        not_compared: why there is no `champion` to compare with although one scores; "" where that is not so.
    """
    import pyarrow.compute as pc

    test, config = candidate.test, candidate.meta.config
    scores = {name: test[f"score_{name}"].to_numpy() for name in ("candidate", "baseline", "linear")}
    if champion is not None:
        try:
            scores["champion"] = champion.score(test)
        except RowsUnusableError as error:
            not_compared = error.what
    measured = compare(
        test[config["label"]].to_numpy(),
        scores,
        pc.cast(test["ds"], "int32").to_numpy(),
        resamples=config["resamples"],
        seed=config["seed"],
    )
    auc = {name: (values[_AUC], samples[:, _AUC]) for name, (values, samples) in measured.items()}
    comparisons = []
    for name in scores.keys() - {"candidate"}:
        value, samples = (mine - theirs for mine, theirs in zip(auc["candidate"], auc[name], strict=True))
        difference = interval(value, samples, config["confidence"])
        must = "not_lose" if name == "linear" else "beat"
        passed = difference.high >= 0 if must == "not_lose" else difference.low > 0
        comparisons.append(Comparison(name, must, float(auc[name][0]), difference, bool(passed)))
    comparisons.sort(key=lambda comparison: comparison.against)
    days = candidate.meta.splits["test"]
    numbers = {
        "auc": float(auc["candidate"][0]),
        "first": days["first"],
        "last": days["last"],
        "days": days["days"],
        "rows": days["rows"],
        "resamples": config["resamples"],
        "confidence": config["confidence"],
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "not_compared": not_compared,
    }
    return Decision(
        promote=all(comparison.passed for comparison in comparisons),
        reasons=(
            *(comparison.sentence for comparison in comparisons),
            *([f"The champion could not be compared: {not_compared}"] if not_compared else []),
        ),
        comparisons=tuple(comparisons),
        numbers=numbers,
    )
