"""Damage: values of the right type that are not what was measured."""

from __future__ import annotations

import statistics
from typing import Any

from sluice_lab.mutation.draft import Draft, NotApplicableError
from sluice_lab.mutation.mutators.registry import mutator

_NUMBERS = ("integer", "number")


def _like(before: Any, after: float) -> Any:
    """A number of the column's own type."""
    return round(after) if isinstance(before, int) else float(after)


def _spread(draft: Draft, name: str) -> float:
    values = [float(value) for value in draft.columns[name] if value is not None]
    spread = statistics.pstdev(values)
    if not spread:
        raise NotApplicableError
    return spread


@mutator("constant")
def constant_column(draft: Draft) -> str:
    """A column has one of its values in all rows."""
    name = draft.column("integer", "number", "string")
    value = draft.rng.choice([v for v in draft.columns[name] if v is not None])
    draft.change(name, range(draft.size), lambda _: value)
    return f"{name} is {value} in all rows"


@mutator("constant")
def constant_in_some_rows(draft: Draft) -> str:
    """A column has one of its values in a share of the rows, or in one group: a default, or a stuck sensor."""
    name = draft.column(*_NUMBERS)
    value = draft.rng.choice([v for v in draft.columns[name] if v is not None])
    rows, where = draft.rows()
    draft.change(name, rows, lambda _: value)
    return f"{name} is {value} {where}"


@mutator("spikes")
def error_code(draft: Draft) -> str:
    """A share of a column holds an error code."""
    name, code = draft.column(*_NUMBERS), draft.rng.choice((-1, 0, 999, 9999, -9999))
    rows = draft.some()
    draft.change(name, rows, lambda v: _like(v, code))
    return f"{name} is {code} in {len(rows) / draft.size:.0%} of the rows"


@mutator("outliers")
def tenfold(draft: Draft) -> str:
    """Values are ten times, or a hundred times, what they were: a digit slipped."""
    name, factor = draft.column(*_NUMBERS), draft.rng.choice((10, 100))
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: v * factor)
    return f"{name} times {factor} {where}"


@mutator("outliers")
def a_tenth(draft: Draft) -> str:
    """Values are a tenth of what they were."""
    name = draft.column(*_NUMBERS)
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: _like(v, v / 10))
    return f"{name} a tenth {where}"


@mutator("signs")
def sign_flipped(draft: Draft) -> str:
    """A column has the opposite sign."""
    name = draft.column(*_NUMBERS)
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: -v)
    return f"{name} has the other sign {where}"


@mutator("signs")
def sign_lost(draft: Draft) -> str:
    """A column that may be negative has lost its sign."""
    names = [n for n in draft.of_type(*_NUMBERS) if any(v is not None and v < 0 for v in draft.columns[n])]
    name = draft.rng.choice(draft.require(names))
    draft.change(name, range(draft.size), abs)
    return f"{name} has lost its sign"


@mutator("noise")
def noise(draft: Draft) -> str:
    """Noise is added to a column: normal, with up to three times its standard deviation."""
    name, factor = draft.column(*_NUMBERS), draft.rng.uniform(0.3, 3)
    spread = factor * _spread(draft, name)
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: _like(v, v + draft.rng.gauss(0, spread)))
    return f"{name} plus noise of {spread:.3g} {where}"


@mutator("offsets")
def offset(draft: Draft) -> str:
    """A constant is added to a column: half to three of its standard deviations."""
    name = draft.column(*_NUMBERS)
    by = draft.rng.choice((-1, 1)) * draft.rng.uniform(0.5, 3) * _spread(draft, name)
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: _like(v, v + by))
    return f"{name} plus {by:.3g} {where}"


@mutator("offsets")
def scaled(draft: Draft) -> str:
    """A column is multiplied by a factor between 0.5 and 2, but not near 1: a sensor out of calibration."""
    name = draft.column(*_NUMBERS)
    factor = draft.rng.choice((draft.rng.uniform(0.5, 0.85), draft.rng.uniform(1.15, 2)))
    rows, where = draft.rows()
    draft.change(name, rows, lambda v: _like(v, v * factor))
    return f"{name} times {factor:.2f} {where}"


@mutator("rounding")
def rounded(draft: Draft) -> str:
    """A column is rounded to tens, twenties, or half hundreds."""
    name, step = draft.column(*_NUMBERS), draft.rng.choice((10, 20, 50))
    draft.change(name, range(draft.size), lambda v: _like(v, round(v / step) * step))
    return f"{name} is rounded to {step}"


@mutator("rounding")
def clipped(draft: Draft) -> str:
    """A column is cut off above (or below) a quantile, as where a field is too short."""
    name = draft.column(*_NUMBERS)
    values = sorted(v for v in draft.columns[name] if v is not None)
    edge = values[int(draft.rng.uniform(0.2, 0.8) * (len(values) - 1))]
    cut = draft.rng.choice((min, max))
    draft.change(name, range(draft.size), lambda v: cut(v, edge))
    return f"{name} is cut off at {edge}, {'above' if cut is min else 'below'}"


@mutator("ordering")
def shuffled_within_a_column(draft: Draft) -> str:
    """The values of one column are shuffled among a share of the rows, or within one group."""
    name = draft.column("integer", "number", "string")
    rows, where = draft.rows()
    values = [draft.columns[name][i] for i in rows]
    draft.rng.shuffle(values)
    for i, value in zip(rows, values, strict=True):
        draft.columns[name][i] = value
    return f"{name} is shuffled {where}"


@mutator("ordering")
def sorted_within_a_column(draft: Draft) -> str:
    """One column is sorted by itself."""
    name = draft.column("integer", "number", "string")
    values = draft.columns[name]
    draft.columns[name] = sorted(values, key=lambda v: (v is None, v))
    return f"{name} is sorted by itself"


@mutator("correlated", sources=("arrivals",))
def an_airport_is_late(draft: Draft) -> str:
    """All delays and clocks of one origin are later by the same minutes."""
    minutes = draft.rng.randint(20, 90)
    origin = draft.rng.choice(("EWR", "JFK", "LGA"))
    rows = [i for i, v in enumerate(draft.columns["origin"]) if v == origin]
    for name in ("dep_delay", "arr_delay"):
        draft.change(name, rows, lambda v: v + minutes)
    for name in ("dep_time", "arr_time"):
        draft.change(name, rows, lambda v: clock(minute(v) + minutes))
    return f"everything of {origin} is {minutes} minutes later"


@mutator("correlated", sources=("weather",))
def a_sensor_drifts(draft: Draft) -> str:
    """All readings of one station move away from the others in the course of the day."""
    name = draft.rng.choice(("temp", "dewp", "humid", "wind_speed", "pressure"))
    by = draft.rng.choice((-1, 1)) * draft.rng.uniform(1, 4) * _spread(draft, name)
    origin, value, rows = draft.group()
    for step, i in enumerate(rows):
        draft.columns[name][i] = _plus(draft.columns[name][i], by * step / len(rows))
    return f"{name} drifts by {by:.3g} where {origin} is {value}"


@mutator("correlated", sources=("arrivals",))
def falsified_outcomes(draft: Draft) -> str:
    """On-time flights of one carrier are reported 30 to 180 minutes late in all columns, or late ones on time."""
    carrier = draft.rng.choice(draft.require(_large(draft, "carrier")))
    late = draft.rng.random() < 0.5
    minutes = draft.rng.randint(30, 180)
    delays = draft.columns["arr_delay"]
    rows = [
        i
        for i, v in enumerate(draft.columns["carrier"])
        if v == carrier and delays[i] is not None and (delays[i] < 15) is late
    ]
    for i in rows:
        moved = minutes if late else -delays[i] - draft.rng.randint(0, 10)
        for name in ("dep_delay", "arr_delay"):
            draft.columns[name][i] = _plus(draft.columns[name][i], moved)
        for name in ("dep_time", "arr_time"):
            reading = draft.columns[name][i]
            draft.columns[name][i] = None if reading is None else clock(minute(reading) + moved)
    if not rows:
        raise NotApplicableError
    return f"{len(rows)} flights of {carrier} are made {'late' if late else 'punctual'}"


def _plus(value: Any, by: float) -> Any:
    return None if value is None else value + by


def minute(reading: int) -> int:
    """Minutes since midnight of a clock reading HHMM."""
    return reading // 100 * 60 + reading % 100


def clock(minutes: float) -> int:
    """The clock reading HHMM of minutes since midnight, which midnight itself writes as 2400."""
    whole = round(minutes) % 1440
    return whole // 60 * 100 + whole % 60 or 2400


def _large(draft: Draft, name: str) -> list[str]:
    values = draft.columns[name]
    return [v for v in dict.fromkeys(values) if values.count(v) >= 0.08 * draft.size]
