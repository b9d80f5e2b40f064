"""Rows that would let a model see its own test, or the future. Each is a reason not to train at all.

A copy of a training row among the test rows, or a row that was known only after it happened, makes a model look better
than it is; nobody notices before it is used. The ids of the rows are named, because the fault is where they were made.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sluice_ml.coincidence import (
    SIGNIFICANCE,
    matches_of_other_days,
    matches_within_days,
    usual_share_within_days,
)
from sluice_ml.config import ModelConfig
from sluice_ml.errors import RowsLeakError
from sluice_ml.model import encode, require

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Ids that an error names, and days.
_NAMED, _NAMED_DAYS = 50, 5


def require_apart(learned: pa.Table, test: pa.Table, config: ModelConfig) -> None:
    """Refuse test rows that are copies of rows that the model learned from: by key, however spelled, or by features.

    A row with the very key of a learned row is a copy. Rows that are equal in another spelling of the key, or in all
    features whatever their labels, may be so by chance: they are copies where all test days together, or one of them,
    have more of them than chance explains (`sluice_ml.coincidence`), at what is usual among the learned days.

    Args:
        learned: train and valid rows, of two days or more; test: held-out rows; both with the key, `ds`, all features.

    Raises:
        RowsLeakError: there are copies; names their ids and days, and how many chance explains.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    both = pa.concat_tables([part.select([config.key, "ds", *config.features]) for part in (learned, test)])
    same_key = pc.is_in(test[config.key], value_set=learned[config.key].combine_chunks()).to_numpy()
    if same_key.any():
        raise _copies(test, same_key, f"with the {config.key} of", "", config)
    for alike, how in (
        (_spelled(both, config.key), f"with another spelling of the {config.key} of"),
        (_contents(both, config), "with all features of"),
    ):
        _require_chance(alike, how, learned, test, config)


def _require_chance(
    alike: np.ndarray, how: str, learned: pa.Table, test: pa.Table, config: ModelConfig
) -> None:
    """Refuse test rows of which more are like a learned row than chance explains; `alike` is a number a row of both.

    Chance explains as many as learned days share with each other, and as many as the test rows share with rows of their
    own day beyond what is usual: of two holidays whose rows are all alike, the only one that was learned shares nothing.
    """
    import numpy as np

    mine, theirs = alike[: learned.num_rows], alike[learned.num_rows :]
    matches, day = np.isin(theirs, mine), _days(test)
    across = matches_of_other_days(mine, _days(learned))
    usual = usual_share_within_days(mine, _days(learned))

    def chance(place: np.ndarray) -> tuple[float, float]:
        """The probability of what was found, and how many were expected."""
        within = matches_within_days(theirs[place], day[place], usual=usual)
        found, rows = int(matches[place].sum()), int(place.sum())
        probability = max(known.probability(found, rows) for known in (across, within))
        return probability, max(known.share for known in (across, within)) * rows

    # Each of the test days, and all: each is looked at with its part of the significance (Bonferroni).
    places = [*(day == one for one in np.unique(day)), np.ones(len(day), dtype=bool)]
    chances = [(*chance(place), place) for place in places]
    beyond = [one for one in chances if one[0] < SIGNIFICANCE / len(places)]
    # Where single days say it, the others' matches may be chance.
    beyond = beyond[:-1] if len(beyond) > 1 and beyond[-1] is chances[-1] else beyond
    if beyond:
        probability, expected, place = min(beyond, key=lambda one: one[0])
        raise _copies(
            test,
            matches & np.logical_or.reduce([one[2] for one in beyond]),
            how,
            f"; of {place.sum()} rows {matches[place].sum()} are so, {expected:.2g} are expected by chance, and the "
            f"probability of so many is {probability * len(places):.1g}",
            config,
        )


def _copies(test: pa.Table, found: np.ndarray, how: str, expected: str, config: ModelConfig) -> RowsLeakError:
    import numpy as np

    days, counts = np.unique(test["ds"].to_numpy()[found], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_NAMED_DAYS]
    named = ", ".join(f"{days[place]} ({counts[place]} rows)" for place in most)
    return RowsLeakError(
        f"{found.sum()} of {test.num_rows} test rows are copies: rows {how} rows that the model learns from"
        f"{expected}. Their {config.key}: {_named(test, found, config.key)}.",
        where=f"{config.key}; test days begin on {test['ds'][0]}; most copies are of {named}",
        todo="remove the copies where they were made; a row belongs to one day",
    )


def require_before(rows: pa.Table, cutoff: datetime, config: ModelConfig) -> None:
    """Refuse rows whose features were known too late, or that happen at or after the cutoff.

    Raises:
        RowsLeakError: there are such rows; names their ids.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if config.known_at is None or config.happens_at is None:
        return
    require(rows, [config.key, config.known_at, config.happens_at])
    known, happens = rows[config.known_at], rows[config.happens_at]
    late = pc.or_kleene(
        pc.greater_equal(known, happens), pc.greater_equal(happens, pa.scalar(cutoff, happens.type))
    )
    # An instant that is missing proves nothing.
    found = pc.fill_null(late, True).to_numpy()
    if found.any():
        raise RowsLeakError(
            f"{found.sum()} of {rows.num_rows} rows were known only after they happened, or happen after the cutoff: "
            f"{_named(rows, found, config.key)}.",
            where=f"{config.known_at} must be before {config.happens_at}, and that before {cutoff.isoformat()}",
            todo="find the feature that is computed from what came later",
        )


def _spelled(rows: pa.Table, key: str) -> np.ndarray:
    """A number a row, equal for keys that differ in case and blanks only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.replace_substring_regex(pc.utf8_upper(pc.cast(rows[key], pa.string())), r"\s+", "")
    return text.combine_chunks().dictionary_encode().indices.to_numpy()


def _days(rows: pa.Table) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.cast(rows["ds"], "int32").to_numpy()


def _contents(rows: pa.Table, config: ModelConfig) -> np.ndarray:
    """A number a row, equal for rows with the same features, and for no others but by rare chance."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [*encode(rows, config.numeric, (), {}).T]
    for name in config.categorical:
        text = pc.utf8_trim_whitespace(pc.utf8_upper(pc.fill_null(pc.cast(rows[name], pa.string()), "")))
        columns.append(text.combine_chunks().dictionary_encode().indices.to_numpy())
    found = np.zeros(rows.num_rows, dtype="uint64")
    for column in columns:
        # One NaN and one zero: equal values have equal bits.
        bits = np.where(np.isnan(column.astype("float64")), np.nan, column.astype("float64") + 0.0).view(
            "uint64"
        )
        found = (found ^ bits) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


def _named(rows: pa.Table, found: np.ndarray, key: str) -> str:
    import pyarrow as pa

    ids = rows[key].filter(pa.array(found)).to_pylist()
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(str, ids[:_NAMED])) + more
