"""The evidence of a delivery that was refused before any gate could judge its rows: a page, and the same as JSON beside it.

It lies where the pages of the table's gate lie, so that the index lists it under the day that it is about.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from secrets import token_hex

from jinja2 import Template

from sluice.core import clock
from sluice.core.errors import SluiceError
from sluice.core.markup import page_environment
from sluice.core.runs import Run
from sluice.lake import evidence

OUTCOME = "REFUSED"


def write(
    pipeline: str,
    table: str,
    partitions: Sequence[str],
    error: SluiceError,
    *,
    files: Sequence[str],
    run: Run,
) -> str:
    """Write the page and its JSON, each in one atomic step; returns the page's path under the evidence.

    Args:
        partitions: days of the data that was refused.
        files: names of what was delivered for them, as far as the landing zone tells.

    Raises:
        OSError: there is no space left for it, or no right to write it.
    """
    at = clock.utc_now()
    # Begins with the time, as the names of the gate's pages do: the newest comes first.
    path = f"{pipeline}/gates/{table}/{partitions[0]}/{at:%Y%m%dT%H%M%S%f}-{token_hex(3)}.html"
    about = {
        "outcome": OUTCOME,
        "pipeline": pipeline,
        "table": table,
        "partitions": list(partitions),
        "error": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "allowed": error.allowed,
        "todo": error.todo,
        "files": list(files),
        "run": run.stored(),
        "refused_at": at.isoformat(timespec="seconds"),
    }
    evidence.write(path, _template().render(about).encode())
    evidence.write(evidence.data_of(path), json.dumps(about, indent=2).encode())
    return path


@lru_cache(maxsize=1)
def _template() -> Template:
    return page_environment("sluice.gates").get_template("refusal.html.j2")
