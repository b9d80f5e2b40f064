"""The failing rows that a verdict shows: few, distinct, and each with all the rules that it is known to fail."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Any

from sluice.gates.engine import Evaluated
from sluice.gates.verdict import SAMPLE_ROWS, FailingRow


def choose(evaluated: Sequence[Evaluated]) -> tuple[FailingRow, ...]:
    """Choose up to 20 distinct rows: the failed rules take turns, holding ones first, each with a row of its own.

    Of a rule's rows those come first that fail the most rules.
    """
    from pydantic_core import to_jsonable_python

    failed = [one for one in evaluated if one.rows]
    failed.sort(key=lambda one: (not one.result.holds, one.result.severity))
    rows: dict[str, Any] = {}
    rules: dict[str, list[str]] = {}
    found = []
    for one in failed:
        mine = {}
        for row in one.rows:
            plain = to_jsonable_python(row, inf_nan_mode="null", fallback=str)
            mine[json.dumps(plain, sort_keys=True)] = plain
        rows |= mine
        for key in mine:
            rules.setdefault(key, []).append(one.result.rule)
        found.append(mine)
    waiting = [deque(sorted(mine, key=lambda key: -len(rules[key]))) for mine in found]
    chosen: list[str] = []
    while any(waiting) and len(chosen) < SAMPLE_ROWS:
        for keys in waiting:
            while keys and keys[0] in chosen:
                keys.popleft()
            if keys and len(chosen) < SAMPLE_ROWS:
                chosen.append(keys.popleft())
    return tuple(FailingRow(rules=tuple(rules[key]), row=rows[key]) for key in chosen)
