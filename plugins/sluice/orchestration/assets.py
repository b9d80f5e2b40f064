"""The assets that chain the stages. All are partitioned by the run day (YYYY-MM-DD).

An event only wakes the next stage; what that stage then does, it decides from the tables and the ledger.
"""

from __future__ import annotations

from airflow.sdk import Asset

from sluice.declare import wakes
from sluice.declare.spec import Pipeline


def deliveries(spec: Pipeline) -> Asset:
    """A day is due, or was delivered: `<pipeline>_reconcile` says so, a person, or the source system."""
    return _asset(spec, wakes.DELIVERIES)


def raw(spec: Pipeline) -> Asset:
    """Every source that was due for a day is published."""
    return _asset(spec, wakes.RAW)


def table(spec: Pipeline, name: str) -> Asset:
    """One partition of a derived table, or of the predictions, is published."""
    return _asset(spec, name)


def training_request(spec: Pipeline) -> Asset:
    """Monitoring, or a person, asked for a new model as of a day."""
    return _asset(spec, wakes.TRAINING_REQUEST)


def champion(spec: Pipeline) -> Asset:
    """The champion changed."""
    return _asset(spec, "champion")


def approval_request(spec: Pipeline) -> Asset:
    """A challenger of a critical model waits for a person."""
    return _asset(spec, "approval_request")


def by_stage(spec: Pipeline) -> dict[str, Asset]:
    """Stage -> the asset that starts it."""
    return {
        stage: _asset(spec, name.removeprefix(wakes.asset_name(spec, "")))
        for stage, name in wakes.by_stage(spec).items()
    }


def _asset(spec: Pipeline, name: str) -> Asset:
    return Asset(
        name=wakes.asset_name(spec, name), uri=f"sluice://{spec.pipeline}/{name}", group=spec.pipeline
    )
