"""Which asset wakes which stage of a pipeline: an event of it with a run day as its partition key starts that day."""

from __future__ import annotations

from sluice.declare.spec import PREDICTIONS, Pipeline

DELIVERIES, RAW, TRAINING_REQUEST = "deliveries", "raw", "training_request"


def asset_name(spec: Pipeline, name: str) -> str:
    """The name of an asset as Airflow knows it."""
    return f"{spec.pipeline}.{name}"


def by_stage(spec: Pipeline) -> dict[str, str]:
    """Stage -> name of the asset that starts it, in the order in which a day goes through them."""
    wakes = {"ingest": DELIVERIES}
    if spec.derived:
        wakes["transform"] = RAW
    if spec.features_table:
        wakes |= {"score": spec.features_table, "monitor": PREDICTIONS, "train": TRAINING_REQUEST}
    return {stage: asset_name(spec, name) for stage, name in wakes.items()}
