"""Which group of a declared column a row belongs to must not decide what is done about it: rates of the groups at the operating point.

Two differences between the group with the highest rate and the one with the lowest: of the rows that came true and were acted on
(true-positive rate: equal opportunity), and of all rows that were acted on (selection rate: demographic parity); both as in Hardt,
Price and Srebro, "Equality of Opportunity in Supervised Learning", 2016. Intervals are of draws of whole days, as wide as the number of pairs
asks for that these two were picked from (Bonferroni). A group that is too small to be judged is not taken for treated equally.
Rows without a value are counted, and are no group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice_ml.checks.judged import MISSING, Finding, Judged, State
from sluice_ml.config import FairnessConfig
from sluice_ml.metrics import Estimate

if TYPE_CHECKING:
    import numpy as np


def check(judged: Judged, limits: FairnessConfig) -> Finding:
    """FAIL where a difference is surely above its limit; INSUFFICIENT where a group is too small, or there are not two."""
    import numpy as np

    missing = f"{limits.column} {MISSING}"
    groups = {name: place for name, place in judged.groups(limits.column) if name != missing}
    large = {name: place for name, place in groups.items() if judged.enough(place)}
    small = {name: int(place.sum()) for name, place in groups.items() if name not in large}
    without = len(judged.label) - sum(int(place.sum()) for place in groups.values())
    numbers = {"column": limits.column, "too_small": small, "without_value": without, "limits": vars(limits)}
    said, fails = [], False
    if len(large) > 1:
        every = np.ones(len(judged.label), dtype=bool)
        for name, among, limit in (
            ("true-positive rate", judged.label, limits.opportunity),
            ("selection rate", every, limits.selection),
        ):
            rates, apart = _apart(judged, large, among, limits.threshold)
            most, least = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
            beyond = limit is not None and apart.low > limit
            held_to = "no limit" if limit is None else f"limit {limit:g}"
            said.append(
                f"{name} {rates[most]:.3f} of {most} and {rates[least]:.3f} of {least}: {apart.value:+.3f} ({apart.low:+.3f} to {apart.high:+.3f}; {held_to})"
            )
            numbers[name.replace("-", "_").replace(" ", "_")] = {"groups": rates, "difference": vars(apart)}
            fails = fails or beyond
    if small or len(large) < 2:
        named = ", ".join(f"{name} ({rows} rows)" for name, rows in small.items()) or "fewer than two groups"
        said.append(
            f"too little to judge: {named}; merge groups, declare more `test_days`, or lower `gate.min_outcomes`"
        )
    if without:
        said.append(f"{without} rows have no {limits.column}")
    state: State = "FAIL" if fails else "INSUFFICIENT" if small or len(large) < 2 else "PASS"
    return Finding(
        "fairness",
        state,
        f"By {limits.column}, acting from a score of {limits.threshold:g} on: {'; '.join(said)}.",
        numbers,
    )


def _apart(
    judged: Judged, groups: dict[str, np.ndarray], among: np.ndarray, threshold: float
) -> tuple[dict[str, float], Estimate]:
    """The share of each group's rows of `among` that is acted on, and the difference between the highest and the lowest."""
    import numpy as np

    acts = judged.score >= threshold

    def rate(name: str, weight: np.ndarray) -> float:
        kept = weight[groups[name] & among]
        return float(kept @ acts[groups[name] & among] / kept.sum()) if kept.any() else float("nan")

    ones = np.ones(len(acts))
    rates = {name: rate(name, ones) for name in groups}
    most, least = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    pairs = len(groups) * (len(groups) - 1) / 2
    return rates, judged.interval(
        lambda weight: rate(most, weight) - rate(least, weight), 1 - (1 - judged.confidence) / pairs
    )
