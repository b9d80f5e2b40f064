"""Columns that nothing looks at: a fault in one of them would be published with PASS."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline


def check(spec: Pipeline) -> None:
    """Refuse a column of a source that no rule names, and one of a derived table that is neither computed again nor compared with its past.

    Of a derived table nobody else judges the values: where no rule that looks back can be right of a column, `all_columns_but` says
    why. Keys are judged as keys, and predictions by what the platform asks of them.

    Raises:
        SpecInvalidError: names the columns of each table.
    """
    problems = [f"{table}: {', '.join(found)}" for table in spec.tables if (found := unjudged(spec, table))]
    if problems:
        raise SpecInvalidError(
            f"No rule looks at these columns. {'; '.join(problems)}.",
            where=str(settings().expectations / spec.pipeline),
            allowed="a rule that names it; of a derived table `values_from`, or a rule that compares with earlier days",
            todo='name it in a rule of the suite, or write why not: `"all_columns_but": [{"columns": [...], "why": "..."}]`',
        )


def unjudged(spec: Pipeline, table: str) -> list[str]:
    """The columns of a table that nothing looks at, in its order."""
    from sluice.declare.contracts import PLATFORM_COLUMNS
    from sluice.gates import all_columns, suite_text, suites
    from sluice.lake.columns import PLATFORM

    if table in spec.sources:
        rules = suites.load(spec, table).rules
        said = json.dumps([rule.arguments for rule in rules], default=str)
        seen = set(re.findall(r"\w+", said)).union(*(rule.columns for rule in rules))
    elif table in spec.derived:
        rules = suites.load(spec, table).rules
        seen = {
            *spec.derived[table].values_from,
            *(one for rule in rules if rule.history_days for one in rule.columns),
        }
        for entry in suite_text.entries(suites.path_of(spec, table).read_text(encoding="utf-8")):
            groups = entry["kwargs"].get(all_columns.ARGUMENT, ())
            seen |= {name for group in groups for name in group["columns"]}
    else:
        return []
    seen |= {*spec.key_of(table), *PLATFORM_COLUMNS, *PLATFORM}
    return [name for name in suites.columns_of(spec, table) if name not in seen]
