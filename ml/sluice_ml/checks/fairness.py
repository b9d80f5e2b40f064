"""Which group of a declared column a row belongs to must not decide what is done about it: rates of the groups at the operating point.

Two differences between the group with the highest rate and the one with the lowest: of the rows that came true and were acted on
(true-positive rate: equal opportunity), and of all rows that were acted on (selection rate: demographic parity); both as in Hardt,
Price and Srebro, "Equality of Opportunity in Supervised Learning", 2016. Intervals are the jackknife's over whole days (Tukey 1958) by
Student's t, as wide as the number of pairs asks for that these two were picked from (Bonferroni): draws of days are too sure of few days,
and have no quantile that far out. A group is judged that has enough rows of both outcomes, and rows that came true on enough days; one
that is too small is not taken for treated equally. Rows without a value are counted, and are no group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice_ml.checks.judged import MISSING, Finding, Judged, State
from sluice_ml.config import FairnessConfig
from sluice_ml.metrics import Estimate

if TYPE_CHECKING:
    import numpy as np

# Each is compared with each: a column with more values names rows rather than groups (and each takes as many bytes as there are rows).
_GROUPS = 100


def check(judged: Judged, limits: FairnessConfig) -> Finding:
    """FAIL where a difference is surely above its limit; INSUFFICIENT where a group is too small, or there are not two; ERROR where there are too many."""
    import numpy as np

    values = len(judged.rows[limits.column].drop_null().unique())
    if values > _GROUPS:
        return Finding(
            "fairness",
            "ERROR",
            f"{limits.column} has {values:,} values, and at most {_GROUPS} groups are compared: declare a column of groups "
            "(a band of ages, not an age), or make one in the feature table.",
            {"column": limits.column, "values": values, "limits": vars(limits)},
        )
    missing = f"{limits.column} {MISSING}"
    groups = {name: place for name, place in judged.groups(limits.column) if name != missing}
    large = {
        name: place
        for name, place in groups.items()
        if judged.enough(place) and judged.enough_days(place & judged.label)
    }
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
            f"too little to judge: {named}; a group needs {judged.min_outcomes} rows of each outcome, and rows that came true on "
            f"{judged.needed_days} days: merge groups, declare more `test_days`, or lower `gate.min_outcomes`"
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
    """The share of each group's rows of `among` that is acted on, and the difference between the highest and the lowest.

    Every group has rows of `among` on two days or more: without any one of them there is a rate.
    """
    import numpy as np
    from scipy.special import stdtrit

    acts = judged.score >= threshold
    days, day = np.unique(judged.day, return_inverse=True)
    # Of each day, (days,): a group's rows, and those that are acted on.
    rows = {name: np.bincount(day[place & among], minlength=len(days)) for name, place in groups.items()}
    acted = {
        name: np.bincount(day[place & among & acts], minlength=len(days)) for name, place in groups.items()
    }
    rates = {name: float(acted[name].sum() / rows[name].sum()) for name in groups}
    most, least = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    value = rates[most] - rates[least]
    without = {
        name: (acted[name].sum() - acted[name]) / (rows[name].sum() - rows[name]) for name in (most, least)
    }
    squares = np.sum((without[most] - without[least] - value) ** 2)
    pairs = len(groups) * (len(groups) - 1) / 2
    # The group that was seen on fewer days decides how well its own spread is known.
    freedom = min(np.count_nonzero(rows[name]) for name in (most, least)) - 1
    tail = (1 - judged.confidence) / pairs / 2
    reach = float(stdtrit(freedom, 1 - tail) * np.sqrt(squares * (len(days) - 1) / len(days)))
    return rates, Estimate(value, value - reach, value + reach)
