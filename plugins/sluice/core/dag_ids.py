"""Ids of the DAGs: who may read them may read the evidence of their pipeline. tests/dags holds the bag to this list."""

from __future__ import annotations

import re
from collections.abc import Sequence

# The DAGs of a pipeline with derived tables and a critical model whose parameters are searched for.
STAGES = (
    "ingest",
    "transform",
    "score",
    "monitor",
    "train",
    "tune",
    "promote",
    "backfill",
    "replay",
    "release",
    "rollback",
    "reconcile",
    "watch",
    "maintain",
)
# Those of them that only a pipeline with derived tables has, only one with a model, only one with a critical model, and only one that
# declares a search for its parameters.
OF_DERIVED = ("transform",)
OF_MODEL = ("score", "monitor", "train", "rollback")
OF_CRITICAL_MODEL = ("promote",)
OF_TUNED_MODEL = ("tune",)
# The task of a watcher that checks what the pipeline declares: its success is the end of what it found.
DECLARATION_TASK = "check_declaration"
# Those of no pipeline.
PLATFORM_DAGS = ("sluice_rehearse",)


def parts(dag_id: str) -> tuple[str, str]:
    """The pipeline and the stage that a DAG's id names."""
    pipeline, _, stage = dag_id.rpartition("_")
    return pipeline, stage


def of_pipeline(pipeline: str, stages: Sequence[str] = STAGES) -> list[str]:
    """The ids of the DAGs of a pipeline, in the order of its stages."""
    return [f"{pipeline}_{stage}" for stage in stages]


def of_broken(pipeline: str) -> str:
    """The id of the one DAG of a pipeline whose YAML cannot be used; a file's name may hold what an id may not."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', pipeline)}_broken"
