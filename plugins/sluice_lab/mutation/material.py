"""Whether damage matters: what would be published, compared with the clean rows, by key.

A key counts as changed where its row is missing, is there in another version, or was not there before; of a derived table also
where it is there twice. Two values are the same if they differ by no more than the tolerance of their column; texts are
compared as the models read them, without differences of case and blanks. docs/gate-effectiveness.md gives the reasons for
tolerances and limit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

# Share of a day's (or a register's) keys from which on damage is material: the share of random rows that moves a day's
# AUC by its standard error (Hanley and McNeil, Radiology 143, 1982: 0.02 for 900 flights, one in four late).
MATERIAL_SHARE = 0.05
# Of features, a change below this share of the column's standard deviation is none: Cohen's "small" effect.
FEATURE_TOLERANCE = 0.2

_Same = Callable[[Any, Any], bool]
_MINUTES_A_DAY = 1440


def within(width: float) -> _Same:
    return lambda a, b: abs(a - b) <= width


def _clock(a: int, b: int) -> bool:
    """Two readings HHMM within five minutes, also across midnight."""
    apart = abs((a // 100 * 60 + a % 100) - (b // 100 * 60 + b % 100)) % _MINUTES_A_DAY
    return min(apart, _MINUTES_A_DAY - apart) <= 5


def _direction(a: float, b: float) -> bool:
    return min(abs(a - b) % 360, 360 - abs(a - b) % 360) <= 10


# Minutes: half of what the rounding of a timetable to ten costs. Weather: what the sensors themselves may be wrong by,
# Automated Surface Observing System (ASOS) User's Guide, National Weather Service 1998. Others must be equal.
_TOLERANCES: Mapping[str, Mapping[str, _Same]] = {
    "schedule": {"sched_dep_time": _clock, "sched_arr_time": _clock, "distance": within(5)},
    "arrivals": {
        "dep_time": _clock,
        "arr_time": _clock,
        "dep_delay": within(5),
        "arr_delay": within(5),
        "air_time": within(5),
    },
    "weather": {
        "temp": within(2),
        "dewp": within(3),
        "humid": within(5),
        "wind_dir": _direction,
        "wind_speed": within(2.4),
        "wind_gust": within(2.4),
        "precip": within(0.02),
        "pressure": within(0.7),
        "visib": within(0.5),
    },
    "airports": {"lat": within(0.01), "lon": within(0.01), "alt": within(50)},
    "planes": {"speed": within(5)},
    "airlines": {},
}

Rows = Sequence[Mapping[str, Any]]


def changed_share(
    source: str, key: Sequence[str], columns: Sequence[str], clean: Rows, found: Rows, *, aside: Rows = ()
) -> float:
    """Share of the clean rows' keys that are changed, by the source's tolerances; may exceed 1 where rows were added.

    Args:
        columns: the columns that the contract declares.
        aside: rows that were set aside; their keys are told, not published, and are left out of both sides.
    """
    return _share(key, columns, _TOLERANCES[source], clean, found, aside)


def derived_share(key: Sequence[str], clean: Rows, found: Rows) -> float:
    """As `changed_share`, of a derived table or of predictions, of which nothing drops a row that is there twice.

    A number is changed by a fifth of its column's standard deviation.
    """
    tolerances = {}
    columns = [name for name in clean[0] if name not in ("ds", "as_of_at")]
    for name in columns:
        values = [row[name] for row in clean if isinstance(row[name], int | float)]
        if len(values) > 1 and not isinstance(values[0], bool):
            tolerances[name] = within(FEATURE_TOLERANCE * statistics.pstdev(values))
    return _share(key, columns, tolerances, clean, found, (), once=True)


def _share(
    key: Sequence[str],
    columns: Sequence[str],
    tolerances: Mapping[str, _Same],
    clean: Rows,
    found: Rows,
    aside: Rows,
    *,
    once: bool = False,
) -> float:
    """The share; with `once`, a key that is there twice counts as changed, though its rows be alike."""
    told = {_key(row, key) for row in aside}
    before = _by_key(clean, key, told)
    after = _by_key(found, key, told)
    # Raw rows that are alike in every column are kept once, and are no damage.
    changed = sum(
        name not in after
        or (once and len(after[name]) > 1)
        or any(not _alike(rows[0], row, columns, tolerances) for row in after[name])
        for name, rows in before.items()
    )
    return (changed + len(after.keys() - before.keys())) / len(clean)


def _by_key(rows: Rows, key: Sequence[str], told: Collection[Any]) -> dict[Any, list[Mapping[str, Any]]]:
    found: dict[Any, list[Mapping[str, Any]]] = {}
    for row in rows:
        name = _key(row, key)
        if name not in told:
            found.setdefault(name, []).append(row)
    return found


def _key(row: Mapping[str, Any], key: Sequence[str]) -> tuple[Any, ...]:
    return tuple(_plain(row.get(name)) for name in key)


def _alike(
    one: Mapping[str, Any], other: Mapping[str, Any], columns: Sequence[str], same: Mapping[str, _Same]
) -> bool:
    return all(_equal(one.get(name), other.get(name), same.get(name)) for name in columns)


def _equal(one: Any, other: Any, same: _Same | None) -> bool:
    one, other = _plain(one), _plain(other)
    if one == other or one is None or other is None:
        return one == other
    if isinstance(one, int | float) and isinstance(other, str):
        other = _number(other)
    try:
        return one == other or (same is not None and same(one, other))
    except TypeError:  # one of them is no number any more
        return False


def _number(text: str) -> float | str:
    """A number that is written as text is that number."""
    try:
        return float(text)
    except ValueError:
        return text


def _plain(value: Any) -> Any:
    """A text as the models read it: upper case, no blanks around, one blank for a run of them; "" is null."""
    return " ".join(value.upper().split()) or None if isinstance(value, str) else value
