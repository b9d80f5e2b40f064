"""A run is stored as it always was: the texts of what is known of it, in one order."""

import json
from datetime import UTC, datetime

import pydantic
import pytest

from sluice.core.runs import Run
from sluice.lake.batches import Manifest

STORED = {
    "dag_id": "flights_ingest",
    "run_id": "manual__1",
    "task_id": "stage_arrivals",
    "try_number": "2",
    "code": "0.9+abc",
}


@pytest.mark.parametrize("known", [STORED, {"run_id": "sluice release"}])
def test_stored_run_is_read_and_stored_again_with_the_same_bytes(known):
    manifest = {
        "batch_id": "b",
        "pipeline": "flights",
        "table": "arrivals",
        "partitions": [],
        "rows": 0,
        "rows_by_partition": {},
        "received": 0,
        "dropped": {},
        "files": {},
        "columns": {},
        "inputs": [],
        "content_hash": "",
        "run": known,
        "created_at": datetime(2013, 4, 1, tzinfo=UTC).isoformat(),
    }
    read = Manifest.model_validate_json(json.dumps(manifest))
    assert f'"run":{json.dumps(known, separators=(",", ":"))}' in read.model_dump_json()
    assert read.run.stored() == known


def test_run_of_a_task_says_which_code_ran():
    run = Run.of_task("flights_ingest", "manual__1", "stage_arrivals", 2)
    assert run.code
    assert run.stored() == {**STORED, "code": run.code}


def test_run_without_an_id_is_refused():
    with pytest.raises(pydantic.ValidationError, match="run_id"):
        Run.model_validate({"dag_id": "flights_ingest"})
