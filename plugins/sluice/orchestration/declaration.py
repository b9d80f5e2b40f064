"""The check of what a pipeline declares: a task of its watcher, and all that is left of a pipeline whose YAML is broken.

Both tasks have one name. So their failures are one fault, with one mail, and the first watcher that finds the
declaration sound again sends its RESOLVED.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, task

from sluice.core import dag_ids
from sluice.core.dag_ids import DECLARATION_TASK
from sluice.declare.spec import BrokenPipeline
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.stages import stage_dag


def broken_dag(broken: BrokenPipeline) -> DAG:
    """The DAG that stands for a pipeline whose YAML cannot be used: it says why, turns red and mails once.

    It runs also where new DAGs are paused: otherwise nobody would hear of it.
    """
    with stage_dag(
        broken,
        "broken",
        schedule=CronTriggerTimetable("*/30 * * * *", timezone="UTC"),
        doc=_doc(broken),
        dag_id=dag_ids.of_broken(broken.pipeline),
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=30),
        is_paused_upon_creation=False,
    ) as dag:
        check_declaration(broken.pipeline)
    return dag


def check_declaration(pipeline_name: str):
    """Check the YAML, the suites, the dbt models and the model of one pipeline; fails where something is wrong."""
    return _check_declaration.override(task_id=DECLARATION_TASK)(pipeline_name)


def _doc(broken: BrokenPipeline) -> str:
    error = broken.error
    return "\n\n".join(
        [
            f"### {broken.pipeline} is broken: its YAML cannot be used",
            f"`{error.where}`",
            # A fence longer than any in the text keeps a message from becoming markup.
            f"````````text\n{error.what}\n````````",
            "Its other DAGs are not there until the file is corrected; their runs and all that was published stay. Other "
            "pipelines are not concerned. `sluice check` says the same on the command line.",
        ]
    )


@task
@explain_failure
def _check_declaration(pipeline_name: str) -> None:
    from sluice.status.check import require_sound

    require_sound(pipeline_name)
