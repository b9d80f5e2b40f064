"""Units that are taken for each other."""

from __future__ import annotations

from math import pi

# What a value is multiplied by, and then moved by, in another unit, and what to ask then.
UNITS = (
    (60, 0, "seconds instead of minutes, or minutes instead of hours?"),
    (1 / 60, 0, "hours instead of minutes, or minutes instead of seconds?"),
    (1 / 6, 0, "tenths of hours instead of minutes?"),
    (1.609344, 0, "kilometres instead of miles?"),
    (1 / 1.609344, 0, "miles instead of kilometres?"),
    (1 / 1.150779, 0, "nautical instead of statute miles?"),
    (1.150779, 0, "statute instead of nautical miles?"),
    (0.44704, 0, "metres per second instead of miles per hour?"),
    (1 / 0.44704, 0, "miles per hour instead of metres per second?"),
    (0.3048, 0, "metres instead of feet?"),
    (1 / 0.3048, 0, "feet instead of metres?"),
    (25.4, 0, "millimetres instead of inches?"),
    (1 / 25.4, 0, "inches instead of millimetres?"),
    (0.02953, 0, "inches of mercury instead of millibar?"),
    (1 / 0.02953, 0, "millibar instead of inches of mercury?"),
    (pi / 180, 0, "radians instead of degrees?"),
    (180 / pi, 0, "degrees instead of radians?"),
    (1 / 1.8, -32 / 1.8, "degrees Celsius instead of Fahrenheit?"),
    (1.8, 32, "degrees Fahrenheit instead of Celsius?"),
    (1 / 1.8, 273.15 - 32 / 1.8, "kelvin instead of degrees Fahrenheit?"),
    (1, 273.15, "kelvin instead of degrees Celsius?"),
    (0.45359237, 0, "kilograms instead of pounds?"),
    (1 / 0.45359237, 0, "pounds instead of kilograms?"),
    *((factor, 0, "another unit, or a slipped digit?") for factor in (10, 100, 1000, 0.1, 0.01, 0.001)),
)

# What values are rounded to.
STEPS = (50, 20, 10)


def times(factor: float, offset: float) -> str:
    """How large values are that are in another unit."""
    if offset:
        return "in another unit as expected"
    large = f"{factor:.4g} times" if factor >= 1 else f"1/{1 / factor:.4g}"
    return f"about {large} as large as expected"
