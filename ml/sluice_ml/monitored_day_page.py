"""The page of a monitored day: what was decided and why, before anyone has to read a chart.

It is one file beside Evidently's reports. Opened from the folder it opens them in new windows; in a frame, as inside the
Airflow UI, it asks the page around it to open them, because it is sandboxed and has no login there. It says so plainly
when the outcomes of the day are not there yet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sluice_ml import snapshots
from sluice_ml.config import ModelConfig
from sluice_ml.estimation import error
from sluice_ml.files import write
from sluice_ml.findings import says_something
from sluice_ml.monitored_day import DayNumbers
from sluice_ml.monitoring import MonitorDecision
from sluice_ml.shifts import since, smallest_seen

INDEX = "index.html"
_DAYS_SHOWN = 14


def page(
    numbers: DayNumbers,
    decision: MonitorDecision,
    *,
    history: Sequence[DayNumbers],
    model: ModelConfig,
    question: str,
    champion_lead: float | None,
    folder: Path,
) -> Path:
    """Write the day's own page beside Evidently's, with the decision and links to them; returns its path.

    `history` are the days that the decision looked back on; `champion_lead` is what it compared with.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    days = {day.ds: day for day in (*history, numbers)}
    html = environment.get_template("monitored_day.html.j2").render(
        numbers=numbers,
        decision=decision,
        model=model,
        question=question,
        champion_lead=champion_lead,
        smallest_seen=smallest_seen(numbers),
        since=since(numbers),
        estimate_off=error([day for day in days.values() if says_something(day)]),
        history=[days[ds] for ds in sorted(days, reverse=True)[:_DAYS_SHOWN]],
        pages=snapshots.kept(path.name for path in folder.iterdir()),
    )
    record = {"numbers": numbers.as_dict(), "action": decision.action, "reasons": list(decision.reasons)}
    write(folder / "numbers.json", json.dumps(record, indent=1).encode())
    write(folder / INDEX, html.encode())
    return folder / INDEX
