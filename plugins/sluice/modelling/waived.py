"""Training and waivers: what a model learns from on somebody's word is said with the model, and no word outlives its end."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sluice import waivers
from sluice.errors import WaiverExpiredError
from sluice.spec import PREDICTIONS, Pipeline

# Partitions that an error names one by one.
_NAMED = 5


def require_valid(spec: Pipeline, days: int, *, until: str) -> list[dict[str, Any]]:
    """The waivers that the `days` days to `until` of all tables that a model is made from rest on, as JSON.

    Raises:
        WaiverExpiredError: one of them is over; names the partitions.
    """
    last = date.fromisoformat(until)
    wanted = [(last - timedelta(days=back)).isoformat() for back in range(days)]
    found = {
        (table, day): waiver
        for table in spec.tables
        if table != PREDICTIONS
        for day, waiver in waivers.of_partitions(spec, table, wanted).items()
    }
    over = [
        f"{table} {day} (by {waiver.data['by']} until {waiver.data['until']})"
        for (table, day), waiver in sorted(found.items())
        if waivers.expired(spec, waiver)
    ]
    if over:
        more = f" and {len(over) - _NAMED} more" if len(over) > _NAMED else ""
        raise WaiverExpiredError(
            f"{len(over)} partition(s) rest on a waiver that is over: {', '.join(over[:_NAMED])}{more}.",
            where=f"{spec.pipeline}, the {days} days to {until}",
            allowed="partitions that passed their gate, or that somebody's word still covers",
            todo="correct the data or the rule and replay them, or release them again with a new end",
        )
    return [
        {
            "table": table,
            "day": day,
            "waiver": waiver.seq,
            "by": waiver.data["by"],
            "until": waiver.data["until"],
        }
        for (table, day), waiver in sorted(found.items())
    ]
