"""The lines of a backtest's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sluice_ml.backtest import Day

# Its size, and the days of which each point is the mean (one day's AUC moves by 0.05 by itself).
_WIDTH, _HEIGHT, _SMOOTHED = 1000, 260, 14


def of(days: Sequence[Day]) -> dict[str, Any]:
    """Lines of the AUC of each scorer, as the mean of the last _SMOOTHED days, in a box of _WIDTH by _HEIGHT."""
    step = _WIDTH / max(1, len(days) - 1)
    low, high = 0.5, 0.8

    def height(value: float) -> float:
        return round(_HEIGHT * (1 - (min(max(value, low), high) - low) / (high - low)), 1)

    def line(name: str) -> str:
        points = []
        for place in range(len(days)):
            last = days[max(0, place - _SMOOTHED + 1) : place + 1]
            known = [value for day in last if (value := getattr(day, name).auc) is not None]
            if known:
                points.append(f"{place * step:.1f},{height(sum(known) / len(known))}")
        return " ".join(points)

    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "smoothed": _SMOOTHED,
        "ticks": [(value, height(value)) for value in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)],
        "lines": {name: line(name) for name in ("champion", "baseline", "never")},
        "moves": [
            (round(place * step, 1), day.trained.outcome) for place, day in enumerate(days) if day.trained
        ],
    }
