"""How much room a limit leaves that was measured: as much again as what was seen.

The one place of this rule, for `sluice new`, which measures a sample, and for `sluice profile`, which measures published days. It is a
convention, and no statistic: twice what a clean time has shown is rarely reached by the next day, and what `docs/thresholds.md` calls
another unit or a lost file is beyond it.
"""

from __future__ import annotations


def widened(low: float, high: float) -> tuple[float, float]:
    """Return a range with as much room again on each side, and not below zero where nothing is."""
    width = high - low or abs(high) or 1
    wide = low - width
    return (0 if low >= 0 > wide else wide), high + width
