"""Days lived in this process, by the functions that the tasks of the DAGs call: for scenarios that take more of them than an Airflow can be waited for.

What a task does besides is not done here: nothing is mailed, nothing wakes the next stage, and nothing is tried again. A scenario
lets its last step, the one that must be seen, run in Airflow.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice import crossing, ledger
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ledger import model_records


def ingest(flights: spec.Pipeline, days: Sequence[str], run: Run) -> None:
    """Publish what was delivered for run days (YYYY-MM-DD), as one batch a source.

    Raises:
        SluiceError: a gate holds a source, or a delivery is missing.
    """
    from sluice.ingest.completion import complete, due_sources

    for source in due_sources(flights, days):
        cross(flights, source, days, run)
    complete(flights, days, run)


def transform(flights: spec.Pipeline, days: Sequence[str], run: Run) -> None:
    """Publish the derived tables of run days, as one batch a table.

    Raises:
        SluiceError: a gate holds one.
    """
    for table in flights.derived:
        cross(flights, table, days, run)


def score(flights: spec.Pipeline, days: Sequence[str], run: Run) -> None:
    """Publish the predictions of run days.

    Raises:
        SluiceError: their gate holds them.
    """
    cross(flights, spec.PREDICTIONS, days, run)


def monitor(flights: spec.Pipeline, day: str, run: Run) -> model_records.Decided:
    """Measure what is due and decide, as of a run day; returns the decision.

    A model that it asks for is trained and, where the gate lets it in, becomes champion.
    """
    from sluice.models import monitoring

    monitoring.report_days(flights, day, run)
    if monitoring.decide(flights, day, run)["action"] == "retrain":
        monitoring.record_request(flights, day, run)
        train(flights, day, run)
    found = ledger.entries(
        model_records.Decided, pipeline=flights.pipeline, subject=flights.model.name, partition=day, limit=1
    )
    return found[0].record


def train(flights: spec.Pipeline, day: str, run: Run) -> model_records.Choice:
    """Train as of a run day, judge the candidate and, where it passes, let it become champion; returns the decision."""
    from sluice.models import training

    version = training.stage_candidate(flights, day, run)
    decision = training.audit_candidate(flights, version, day, run)
    if decision.promote:
        training.promote_candidate(flights, version, day, run)
    return decision


def cross(flights: spec.Pipeline, table: str, days: Sequence[str], run: Run) -> None:
    """Let a table cross into readers' sight.

    Raises:
        SluiceError: its gate holds it.
    """
    staged = crossing.stage(flights, table, list(days), run)
    verdict = crossing.audit(flights, table, staged.batch_id, run)
    crossing.require_publishable(verdict)
    batch_id = getattr(verdict, "publish_batch_id", None) or staged.batch_id
    crossing.publish(flights, table, batch_id, run)
