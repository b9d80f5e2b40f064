"""The most probable cause of a held batch: what its rows say beside those of earlier days.

Thirteen failed rules are often one fault. Each known corruption is a detector: a function that gives findings with a score
and a sentence of measured numbers. The best one that is clearly ahead of those of other kinds is the cause; else it is not clear.
How often that is right is measured by `sluice mutate` (docs/gate-effectiveness.md). It is asked only of batches that are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sluice.gates.causes import rows, texts
from sluice.gates.causes.evidence import Evidence
from sluice.gates.causes.finding import Finding
from sluice.gates.verdict import NOT_CLEAR, Cause

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.contracts import Column

# A finding of less says too little to be named, and one less far ahead of another kind's is not the cause. Both chosen on the
# mutations of seeds 31 and 32, so that what is named is seldom wrong (docs/gate-effectiveness.md).
LEAST, AHEAD = 0.7, 0.02
# Rows of the batch and of its history, together, beyond which nothing is asked: the verdict does not wait for it.
MOST_ROWS = 1_000_000


def most_probable(con: duckdb.DuckDBPyConnection, columns: Mapping[str, Column], key: Sequence[str]) -> Cause:
    """The most probable cause of what is wrong with the view `batch`, beside the view `history`.

    Args:
        columns: those of the contract; others are not looked at.
        key: the columns that name a row.
    """
    earlier, rows_now = con.execute(
        "select (select count(*) from history), (select count(*) from batch)"
    ).fetchall()[0]
    if not earlier:
        why = "Not clear: no earlier day was read that it could be compared with."
        return Cause(kind=NOT_CLEAR, sentence=why)
    if earlier + rows_now > MOST_ROWS:
        why = f"Not clear: of more than {MOST_ROWS:,} rows, with those of earlier days, it is not looked for."
        return Cause(kind=NOT_CLEAR, sentence=why)
    try:
        found = findings(Evidence(con, columns, key))
    except Exception as error:  # noqa: BLE001 - whatever a detector does not expect
        # A cause is a help and no judgement: without it the batch is held all the same. A message may quote values.
        why = f"Not clear: the comparison with earlier days failed with {type(error).__name__}."
        return Cause(kind=NOT_CLEAR, sentence=why)
    others = [one.score for one in found if one.kind != found[0].kind]
    if not found or (others and found[0].score - max(others) < AHEAD):
        return Cause(
            kind=NOT_CLEAR,
            sentence="Not clear: no known corruption explains it better than all others.",
            evidence=tuple(one.sentence for one in found),
        )
    same = [one for one in found if one.kind == found[0].kind]
    # Of a column the best is enough: what else would explain it, less well, contradicts it.
    best = {one.columns: one.sentence for one in reversed(same) if one.columns != found[0].columns}
    return Cause(kind=found[0].kind, sentence=found[0].sentence, evidence=tuple(reversed(best.values())))


def findings(seen: Evidence) -> list[Finding]:
    """What detectors find, the best first; what is said and asked of several columns alike is one finding."""
    from sluice.gates.causes import shapes, values

    detectors = (
        rows.another_day,
        rows.days_off,
        rows.repeated_keys,
        rows.missing_rows,
        rows.unknown_rows,
        texts.new_codes,
        texts.other_codes,
        values.nulls,
        values.nulls_of_a_group,
        values.numbers,
        shapes.columns,
    )
    merged: dict[tuple[str, str, str], Finding] = {}
    found = _of_declared_units((one for detector in detectors for one in detector(seen)), seen.units)
    for one in sorted(found, key=lambda one: -one.score):
        if one.score < LEAST:
            continue
        alike = one.kind, one.said, one.asked
        best = merged.setdefault(alike, one)
        if not set(one.columns) & set(best.columns):
            merged[alike] = replace(best, columns=(*best.columns, *one.columns))
    return list(merged.values())


def _of_declared_units(found: Iterable[Finding], units: Mapping[str, str]) -> list[Finding]:
    """Of a column that seems to be in another unit, only what asks about the unit that its contract declares, where anything does.

    60 and 57.3 times explain minutes alike, and nobody has minutes in radians. It scores as the best of the column did: how
    probable another unit is, beside another kind of corruption, does not change.
    """
    kept: list[Finding] = []
    in_unit: dict[str, list[Finding]] = {}
    for one in found:
        if one.kind == "another unit" and len(one.columns) == 1:
            in_unit.setdefault(one.columns[0], []).append(one)
        else:
            kept.append(one)
    for name, alike in in_unit.items():
        asked = [one for one in alike if units[name] and units[name] in one.asked]
        best = max(one.score for one in alike)
        first = max(asked, key=lambda one: one.score, default=None)
        kept += [replace(first, score=best)] if first else alike
    return kept
