"""The page of a pipeline's decisions: searched by kind, table and day; and the check that nobody has edited the record."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response

from sluice import ledger
from sluice.core.errors import DayInvalidError, SluiceError
from sluice.core.links import COMPUTED
from sluice.core.partitions import Partition, day_of, is_day, read_day
from sluice.declare import spec
from sluice.holds import show
from sluice.ledger.kinds import KINDS
from sluice.web.rendering import MayRead, own

# Entries that are shown; a search finds the others.
SHOWN = 100


def add_routes(app: FastAPI, readable: Any) -> None:
    """Add the page; `readable` is a dependency that gives a `MayRead`."""

    @app.get(f"/{COMPUTED}/ledger/{{pipeline}}")
    def entries(
        request: Request,
        pipeline: str,
        kind: str = "",
        table: str = "",
        day: str = "",
        verify: bool = False,
        may_read: MayRead = readable,
    ) -> Response:
        if not may_read(pipeline):  # one that is no longer declared has its decisions, too
            raise HTTPException(404)
        problem, days, found = "", None, []
        try:
            days = Partition.of([day_of(read_day(day))]) if day else None
        except DayInvalidError as error:
            problem = str(error)
        else:
            found = ledger.entries(
                kind or None, pipeline=pipeline, subject=table or None, days=days, limit=SHOWN
            )
        verified, chain = _verified() if verify else (False, "")
        tables, model = _declared(pipeline)
        return own(
            request,
            "ledger.html.j2",
            status=400 if problem else 200,
            may_send=True,
            pipeline=pipeline,
            asked={"kind": kind, "table": table, "day": day},
            kinds=sorted(KINDS),
            tables=tables,
            model=model,
            lines=[(entry, *_line(entry)) for entry in found],
            shown=SHOWN,
            problem=problem,
            verified=verified,
            chain=chain,
        )


def _line(entry: ledger.Entry) -> tuple[str, str]:
    """What an entry says, and the day that the page of its partition has; "" where it is about none."""
    try:
        said = show.summary(entry) or " ".join(entry.record.reasons)
    except SluiceError as error:  # another version's, or damaged: the others are shown all the same
        said = str(error)
    first = (entry.partition or "").split("..")[0]
    return said, first if is_day(first) else ""


def _verified() -> tuple[bool, str]:
    """Whether the chain of all pipelines' entries is whole, in a sentence that says nothing of what they are about."""
    try:
        return True, f"All {ledger.verify():,} entries of the ledger are as they were written."
    except SluiceError as error:
        return False, error.what


def _declared(pipeline: str) -> tuple[tuple[str, ...], str]:
    """The tables that can be asked for, and the model, "" where there is none; of a pipeline that cannot be read its entries are there all the same."""
    try:
        declared = spec.load(pipeline)
    except SluiceError:
        return (), ""
    return tuple(declared.tables), declared.model.name if declared.has_model else ""
