"""Ids of the DAGs: who may read them may read the evidence of their pipeline. tests/dags holds the bag to this list."""

from __future__ import annotations

import re

# The DAGs of every pipeline.
STAGES = (
    "ingest",
    "transform",
    "score",
    "monitor",
    "train",
    "backfill",
    "replay",
    "release",
    "rollback",
    "reconcile",
    "watch",
    "maintain",
)
# The task of a watcher that checks what the pipeline declares: its success is the end of what it found.
DECLARATION_TASK = "check_declaration"
# Those of no pipeline.
PLATFORM_DAGS = ("sluice_rehearse",)


def parts(dag_id: str) -> tuple[str, str]:
    """The pipeline and the stage that a DAG's id names."""
    pipeline, _, stage = dag_id.rpartition("_")
    return pipeline, stage


def of_pipeline(pipeline: str) -> list[str]:
    """The ids of all DAGs of a pipeline."""
    return [f"{pipeline}_{stage}" for stage in STAGES]


def of_broken(pipeline: str) -> str:
    """The id of the one DAG of a pipeline whose YAML cannot be used; a file's name may hold what an id may not."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', pipeline)}_broken"
