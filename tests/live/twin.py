"""The same days without Airflow and without a fault: what a live pipeline has to come to.

The functions that the tasks call are called here one after the other, each day at the time at which it is due.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluice import crossing
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ingest.completion import complete, due_sources
from sluice.models import monitoring, training, trainset
from sluice_lab import feed
from tests.live import outcome
from tests.live.outcome import Outcome

_RUN = Run(dag_id="twin", run_id="twin", try_number=1)


def build(pipeline: Pipeline, run_days: Sequence[str], at: Callable[[str], None]) -> Outcome:
    """Let the days pass in this process's home.

    Args:
        at: sets the clock to a local time.
    """
    for day in run_days:
        at(f"{day} 03:45")
        feed.deliver(pipeline, day)
        at(f"{day} 04:00")
        for source in due_sources(pipeline, [day]):
            _cross(pipeline, source.split(".")[0], day)
        complete(pipeline, [day], _RUN)
        for table in (*pipeline.derived, PREDICTIONS):
            _cross(pipeline, table, day)
        monitoring.report_days(pipeline, day, _RUN)
        if monitoring.decide(pipeline, day, _RUN)["action"] == "retrain":
            monitoring.record_request(pipeline, day, _RUN)
            _train(pipeline, day)
    return outcome.observe(pipeline, list(run_days))


def _cross(pipeline: Pipeline, table: str, day: str) -> None:
    staged = crossing.stage(pipeline, table, [day], _RUN)
    verdict = crossing.audit(pipeline, table, staged.batch_id, _RUN)
    crossing.require_publishable(verdict)
    crossing.publish(pipeline, table, getattr(verdict, "publish_batch_id", None) or staged.batch_id, _RUN)


def _train(pipeline: Pipeline, day: str) -> None:
    if trainset.skip_reason(pipeline, day, _RUN):
        return
    version = training.stage_candidate(pipeline, day, _RUN)
    if training.audit_candidate(pipeline, version, day, _RUN).promote:
        training.promote_candidate(pipeline, version, day, _RUN)
