"""The rule that no suite has to write: the numbers that a model uses can be held by it.

It is derived from what is declared, the `number` columns of a source's contract and the numeric features of the model, and
judges before anything is built or trained from them: a finite float64 beyond float32 becomes infinite there, and one such
row stops every training whose window has its day. A suite that has a rule of the same name judges in its own way instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sluice.core.sql import quoted

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.suites import Suite

RULE = "numbers_fit_float32"
# Share of a day's rows of a source that is set aside; of features no row is, because each is a prediction that is awaited.
_LIMIT = 0.05
_WHY = "A model sees float32: a larger number, an infinite one or none would stop each training that reads its day."


def add(spec: Pipeline, table: str, suite: Suite, columns: Mapping[str, str]) -> Suite:
    """The suite with the derived rule, if the table has columns that it is about.

    Args:
        columns: DuckDB types of the columns of the rows that are judged, by name.
    """
    from dataclasses import replace

    from sluice.gates import suites

    names = [name for name in _used(spec, table) if columns.get(name) in ("DOUBLE", "FLOAT")]
    if not names or any(rule.meta.rule == RULE for rule in suite.rules):
        return suite
    raw = table in spec.sources
    rule = suites.derived_rule(
        RULE,
        "expect_rows_to_satisfy_condition",
        {"condition": " and ".join(map(_fits, names))},
        severity="quarantine" if raw else "hold",
        limit=_LIMIT if raw else None,
        owner=spec.owner_of(table),
        why=_WHY,
    )
    return replace(suite, rules=(*suite.rules, rule))


def _used(spec: Pipeline, table: str) -> list[str]:
    if table in spec.sources:
        columns = spec.sources[table].contract.columns
        return [name for name, column in columns.items() if column.type == "number"]
    if table == spec.features_table:
        return list(dict.fromkeys([*spec.model.features.numeric, spec.model.baseline]))
    return []


def _fits(name: str) -> str:
    """A SQL condition: finite as float32, unknown for a null. In DuckDB NaN is larger than every number."""
    from sluice_ml.numbers import LARGEST

    return f"abs({quoted(name)}) <= {LARGEST!r}"
