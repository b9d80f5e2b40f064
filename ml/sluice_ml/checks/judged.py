"""What every check of the model gate is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sluice_ml.metrics import Estimate, daily, draws, interval

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from sluice_ml.usage import Usage

    Numbers = TypeVar("Numbers", float, np.ndarray)

State = Literal["PASS", "FAIL", "INSUFFICIENT", "NOT_APPLICABLE", "ERROR"]
# A score can be 0 or 1: its log-odds are kept finite.
_MARGIN = 1e-9
# Name of the rows that have no value of a column.
MISSING = "(missing)"


@dataclass(frozen=True)
class Finding:
    """What one check says, in a sentence with its numbers; `numbers` are JSON-safe and hold the limits, too."""

    check: str
    state: State
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate's held-out rows, whose outcomes are known, and the scores on them.

    `label` is bool, `day` datetime64[D], `score` float64 in [0, 1], each (rows,). `rival` is who scores if the candidate does
    not: "champion", or "baseline" where there is no champion that can be compared with; `may_compare` marks the rows of days that it did
    not learn from. `peer` is the champion or, where there is none to compare with, the other kind of model that was trained on the same
    days; `peer_score` is None where that was not kept. `learned_daily_auc` is the judged model's mean daily AUC on the days that it learned.
    `shows_values` says whether a finding may name values of the rows. `usage` measures what the model that would serve takes; None where that is not asked.
    """

    rows: pa.Table
    label: np.ndarray
    day: np.ndarray
    score: np.ndarray
    rival: Literal["champion", "baseline"]
    rival_score: np.ndarray
    may_compare: np.ndarray
    peer: str
    peer_score: np.ndarray | None
    learned_daily_auc: float | None
    shows_values: bool
    usage: Callable[[], Usage] | None = None
    needed_days: int
    min_outcomes: int
    confidence: float
    resamples: int
    seed: int

    def groups(self, column: str) -> Iterator[tuple[str, np.ndarray]]:
        """Each value of a column by its name and which rows have it; MISSING last, for those without one.

        Where values may not be shown, groups are numbered in the order of their values.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        held = pc.cast(self.rows[column], pa.string())
        values = pc.fill_null(held, "").to_numpy(zero_copy_only=False).astype(str)
        absent = pc.is_null(held).to_numpy(zero_copy_only=False)
        for number, value in enumerate(np.unique(values[~absent]), start=1):
            # A value that reads like the name of those without one is quoted.
            shown = f"'{value}'" if value == MISSING else value
            yield f"{column} {shown if self.shows_values else f'group {number}'}", (values == value) & ~absent
        if absent.any():
            yield f"{column} {MISSING}", absent

    def interval(self, measure: Callable[[np.ndarray], float]) -> Estimate:
        """A number of weighted rows, measured on all of them and in draws of whole days."""
        import numpy as np

        drawn = [measure(weight) for weight in draws(self.day, resamples=self.resamples, seed=self.seed)]
        return interval(measure(np.ones(len(self.day))), np.array(drawn), self.confidence)

    def enough(self, place: np.ndarray) -> bool:
        """Whether the rows at `place` are of enough days, and have enough of both outcomes, to say anything."""
        rarer = min(self.label[place].sum(), (~self.label[place]).sum())
        return self.enough_days(place) and bool(rarer >= self.min_outcomes)

    def enough_days(self, place: np.ndarray) -> bool:
        """Whether the rows at `place` are of as many days as a comparison needs."""
        import numpy as np

        return len(np.unique(self.day[place])) >= self.needed_days


def insufficient(judged: Judged, check: str, place: np.ndarray | None = None) -> Finding | None:
    """That there are too few days with both outcomes, or rows with one of them, to say anything; None where there are enough.

    Args:
        place: the rows that count, (rows,) bool; all, if not given.
    """
    import numpy as np

    place = np.ones(len(judged.label), dtype=bool) if place is None else place
    label = judged.label[place]
    days = int((~np.isnan(daily(label, judged.score[place], judged.day[place]))).sum())
    rarer = int(min(label.sum(), (~label).sum()))
    if days >= judged.needed_days and rarer >= judged.min_outcomes:
        return None
    return Finding(
        check,
        "INSUFFICIENT",
        f"{days} of the days that count have both outcomes, and {rarer} rows the rarer one; {judged.needed_days} days and "
        f"{judged.min_outcomes} rows are needed (`promotion.comparison_days`, `gate.min_outcomes`). Wait for more outcomes, or declare more `test_days`.",
        {"days": days, "rarer_outcomes": rarer},
    )


def log_odds(probability: Numbers) -> Numbers:
    """The log-odds of a probability."""
    import numpy as np

    kept = np.clip(probability, _MARGIN, 1 - _MARGIN)
    return np.log(kept / (1 - kept))


def level(label: np.ndarray, score: np.ndarray, weight: np.ndarray) -> float:
    """Log-odds of the mean score minus those of the realised rate of weighted rows; NaN of none."""
    total = weight.sum()
    if not total:
        return float("nan")
    return float(log_odds(weight @ score / total) - log_odds(weight @ label / total))
