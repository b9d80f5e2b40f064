"""What a batch looks like, column by column, beside the batch before it: a section of its gate page.

DuckDB's SUMMARIZE reads the staged files once; the batch before is not read again, because its numbers lie beside its
own page. So the cost depends on the batch alone, not on how much history there is. A profile is evidence to look at and
decides nothing: where personal data may be in the rows it shows counts, no values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sluice.core import failpoints
from sluice.core.markup import page_environment
from sluice.core.partitions import days_later
from sluice.lake import evidence

if TYPE_CHECKING:
    from jinja2 import Template

    from sluice.lake.batches import Manifest

# A batch of more rows is described by a sample: distinct values and quantiles of its rows.
ALL_ROWS, SAMPLE_ROWS = 200_000, 100_000
_ENDING = ".profile.json"
# Numbers beyond these are shown with an exponent.
_SMALL, _LARGE = 1e-3, 1e12
# Days back in which the batch before is looked for: a week, for weekly sources, and one more day.
_LOOK_BACK_DAYS = 8
_COUNTS = ("null_percentage", "approx_unique")
_VALUES = ("min", "q25", "q50", "q75", "max", "avg", "std")


def section(summary: Sequence[Mapping[str, Any]], manifest: Manifest, *, show_values: bool) -> str:
    """Keep the numbers of a batch beside its gate page, and return them as a section of that page, in HTML.

    Args:
        summary: what DuckDB's SUMMARIZE says of the batch, a row a column.
        show_values: whether values of the data may appear.
    """
    columns = {str(one["column_name"]): _numbers(one, show_values) for one in summary}
    folder = f"{manifest.pipeline}/gates/{manifest.table}"
    earlier = before(folder, manifest.partitions[0])
    record = {"partitions": list(manifest.partitions), "rows": manifest.rows, "columns": columns}
    kept = f"{folder}/{manifest.partitions[0]}/{manifest.batch_id}{_ENDING}"
    evidence.write(kept, json.dumps(record, indent=1).encode())
    failpoints.hit("audit.profile_written")
    return _template().render(
        columns=columns,
        earlier=earlier,
        changed=changes(columns, earlier),
        measures=(*_COUNTS, *_VALUES),
        sampled=SAMPLE_ROWS if manifest.rows > ALL_ROWS else None,
    )


def before(folder: str, day: str) -> dict[str, Any] | None:
    """The newest profile of the nearest earlier day, of at most eight; None where there is none."""
    for back in range(1, _LOOK_BACK_DAYS + 1):
        files = evidence.files(f"{folder}/{days_later(day, -back)}")
        found = [file.name for file in files if file.name.endswith(_ENDING)]
        if found:
            return json.loads(evidence.read(found[-1]))
    return None


def changes(columns: dict[str, dict[str, Any]], earlier: dict[str, Any] | None) -> list[str]:
    """What an eye should fall on first: columns that came, went or changed their type, and nulls that appeared."""
    if earlier is None:
        return []
    old: dict[str, dict[str, Any]] = earlier["columns"]
    found = [f"{name} is new" for name in columns if name not in old]
    found += [f"{name} is gone" for name in old if name not in columns]
    for name in columns.keys() & old.keys():
        now, was = columns[name], old[name]
        if now["type"] != was["type"]:
            found.append(f"{name} was {was['type']} and is {now['type']}")
        if float(was["null_percentage"] or 0) == 0 < float(now["null_percentage"] or 0):
            found.append(f"{name} had no nulls and has {now['null_percentage']}%")
    return sorted(found)


@lru_cache(maxsize=1)
def _template() -> Template:

    environment = page_environment("sluice.gates")
    environment.filters["short"] = _short
    return environment.get_template("profile.html.j2")


def _short(value: Any) -> str:
    """A whole number as it is, another one to four digits after its point; anything else up to 24 letters."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)[:24]
    if number.is_integer() and abs(number) < _LARGE:
        return f"{int(number):,}"
    return f"{round(number, 4):,}" if _SMALL <= abs(number) < _LARGE else f"{number:.4g}"


def _numbers(one: Mapping[str, Any], show_values: bool) -> dict[str, Any]:
    shown = (*_COUNTS, *(_VALUES if show_values else ()))
    found = {
        name: str(one[name]) if name in shown and one[name] is not None else None
        for name in (*_COUNTS, *_VALUES)
    }
    return {"type": one["column_type"], **found}
