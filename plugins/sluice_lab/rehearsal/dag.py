"""The DAG `sluice_rehearse`: a rehearsal from the Airflow UI. It belongs to no pipeline."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from sluice.core.errors import StackError
from sluice.orchestration.failures import RETRY_POLICY, explain_failure
from sluice.orchestration.stages import HEAVY_POOL

log = logging.getLogger(__name__)

# Ninety clean days, a minute each on two cores, twice over.
_LONGEST = timedelta(hours=3)


def rehearse_dag(scenarios: Mapping[str, str], *, doc: str | None) -> DAG:
    """A DAG with a drop-down of scenarios, name -> title; its one task rehearses in an Airflow of its own."""
    with DAG(
        dag_id="sluice_rehearse",
        dag_display_name="sluice rehearse",
        schedule=None,
        catchup=False,
        doc_md=doc,
        tags=["pipeline:sluice", "stage:rehearse", "tier:1"],
        # They share one folder.
        max_active_runs=1,
        dagrun_timeout=_LONGEST,
        params={
            "scenario": Param(
                type="string",
                enum=list(scenarios),
                values_display=dict(scenarios),
                description="What shall go wrong, on a copy; the log of play_scenario tells how it ended",
            ),
            "days": Param(
                3,
                type="integer",
                minimum=1,
                maximum=90,
                description="Only for S47, which has no fixed length: how many clean days",
            ),
        },
    ) as dag:
        _play.override(
            task_id="play_scenario",
            owner="sluice",
            pool=HEAVY_POOL,
            # Whoever chose the scenario is watching: it answers in red, and mails nobody.
            on_failure_callback=None,
            retries=1,
            retry_policy=RETRY_POLICY,
            execution_timeout=_LONGEST,
        )()
    return dag


@task
@explain_failure
def _play() -> None:
    """Log the rehearsal's report as it comes, and fail where it fails."""
    params = get_current_context()["params"]
    command = [str(Path(sys.executable).parent / "sluice"), "rehearse", params["scenario"]]
    with subprocess.Popen(
        [*command, "--days", str(params["days"])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as rehearsal:
        for line in rehearsal.stdout or ():
            log.info("%s", line.rstrip())
    if rehearsal.returncode:
        raise StackError(
            f"The rehearsal {params['scenario']} did not pass.",
            where="the log of this task",
            todo="read there what was expected and what was seen",
        )
