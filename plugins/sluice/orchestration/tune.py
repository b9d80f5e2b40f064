"""Tasks of `<pipeline>_tune`: a search for other parameters, which changes nothing."""

from __future__ import annotations

import logging
from datetime import timedelta

from airflow.sdk import get_current_context, task

from sluice.core.partitions import day_of
from sluice.declare import pipeline_clock, spec
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import run_info
from sluice.orchestration.stages import HEAVY_POOL

log = logging.getLogger(__name__)

# The budget is of the processor: a machine with other work to do takes longer, and reading the rows comes on top.
_PATIENCE, _BESIDE = 4, timedelta(minutes=30)
# Behind everything else that waits for the pool: tasks have 1 and more.
_LAST = 0


def time_for(pipeline: spec.Pipeline) -> timedelta:
    """How long a search may take by the clock on the wall."""
    tuning = pipeline.model.tuning
    assert tuning is not None, "only a pipeline that declares it has this DAG"
    return _PATIENCE * timedelta(minutes=tuning.cpu_minutes) + _BESIDE


def search(pipeline: spec.Pipeline) -> None:
    """Search within the declared budget, and record what is proposed."""
    _propose_parameters.override(
        task_id="propose_parameters",
        pool=HEAVY_POOL,
        priority_weight=_LAST,
        # Another try would have a budget of its own: who asked is mailed, and asks again.
        retries=0,
        execution_timeout=time_for(pipeline),
    )(pipeline.pipeline)


@task
@explain_failure
def _propose_parameters(pipeline_name: str) -> str:
    """Returns what was found, in sentences."""
    from sluice.models import tuning

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    asked_by = context["dag_run"].triggering_user_name or ""
    day = day_of(pipeline_clock.today(pipeline))
    entry = tuning.tune(pipeline, day, run_info(context), log.info, asked_by=asked_by)
    return " ".join(entry.record.reasons)
