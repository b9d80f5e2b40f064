"""What a task gets of its run, without a running Airflow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest


@pytest.fixture(scope="session")
def context_of():
    """Build a task's context of a run with this partition key and these params."""
    from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType

    def build(partition_key=None, **params):
        instant = datetime(2013, 4, 2, tzinfo=UTC)
        nothing = ("logical_date", "data_interval_start", "data_interval_end", "start_date", "end_date")
        run = DagRun(
            dag_id="flights_ingest",
            run_id="run-1",
            run_after=instant,
            run_type=DagRunType.MANUAL,
            state=DagRunState.RUNNING,
            consumed_asset_events=[],
            partition_key=partition_key,
            **dict.fromkeys(nothing),
        )
        return {"dag_run": run, "params": params}

    return build
