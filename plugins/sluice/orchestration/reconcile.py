"""Tasks of `<pipeline>_reconcile`: find what is due, possible and not done, start it, and tell of what is started in vain.

A start is an asset event with the partition key of the day, as the stage before sends it. So it does not matter who woke a stage,
and a stage that is paused is not woken.
"""

from __future__ import annotations

from airflow.sdk import get_current_context, task

from sluice import status
from sluice.declare import spec
from sluice.orchestration import assets
from sluice.orchestration.callbacks import mail_done, mail_event, task_url
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import result_of, run_info
from sluice.status import reconcile


def reconcile_tasks(pipeline: spec.Pipeline) -> None:
    """Look once, then wake each stage that has something to do."""
    name = pipeline.pipeline
    found = _find_due.override(task_id="find_due")(name)
    found >> [
        _start_runs.override(task_id=f"start_{stage}", outlets=[asset])(name, stage)
        for stage, asset in assets.by_stage(pipeline).items()
    ]


@task.branch
@explain_failure
def _find_due(pipeline_name: str) -> list[str]:
    """Returns the tasks that start something; what they start is their XCom."""
    from sluice.notify import stuck

    context = get_current_context()
    ti, pipeline = context["ti"], spec.load(pipeline_name)
    active, waits = {}, False
    # Of a stage that the pipeline does not have, there is no DAG to ask.
    stages = list(assets.by_stage(pipeline))
    for stage in stages:
        dag_id = f"{pipeline.pipeline}_{stage}"
        if not ti.get_dag(dag_id).is_paused:
            active[stage] = ti.get_dr_count(dag_id=dag_id, states=["queued", "running"])
            if stage == "ingest":
                # A run that waits for a late delivery is not at work, and others need not wait for it.
                waits = ti.get_ti_count(dag_id=dag_id, states=["deferred"]) > 0
                active[stage] -= waits
    found = status.of(pipeline)
    starts = reconcile.plan(pipeline, active, found, waits=waits)
    for start in starts:
        reconcile.record(pipeline, start, run_info(context))
    for event in stuck.events(pipeline, starts, task_url=task_url(ti)):
        mail_event(pipeline, event)
    mail_done(pipeline, found)
    by_stage = {stage: [one.run_day for one in starts if one.stage == stage] for stage in stages}
    ti.xcom_push(key="starts", value=by_stage)
    return [f"start_{stage}" for stage, days in by_stage.items() if days]


@task
@explain_failure
def _start_runs(pipeline_name: str, stage: str) -> list[str]:
    """Returns the days that were started."""
    context = get_current_context()
    starts = result_of("find_due", context["ti"].xcom_pull(task_ids="find_due", key="starts"))
    days: list[str] = starts[stage]
    asset = assets.by_stage(spec.load(pipeline_name))[stage]
    context["outlet_events"][asset].add_partitions(days)
    return days
