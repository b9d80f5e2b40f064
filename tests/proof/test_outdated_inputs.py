"""What is built on a day that is corrected meanwhile: the slower one, and the one that was released before, undo nothing."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from sluice.core.settings import ROOT
from tests.proof.processes import DAYS, Lake

# Real dbt and real models: minutes.
pytestmark = pytest.mark.long

DAY = DAYS[-1]
SOURCE = "schedule"


def _look(lake: Lake, table: str) -> dict[str, Any]:
    seen = lake.do("observe", table=table, day=DAY).require()
    return {name: seen[name] for name in ("shown", "commits", "held", "quarantine")}


def _correct(lake: Lake) -> None:
    lake.do("deliver", source=SOURCE, day=DAY, number=2, without=3).require()
    lake.do("cross", table=SOURCE, days=[DAY]).require()


@pytest.mark.parametrize("tables", [["features"], ["features", "predictions"]])
def test_stage_that_is_slower_than_a_correction_of_its_input_publishes_nothing(
    lake, predictable, tmp_path, tables, proofs
):
    lake.restore(predictable)
    table, gate = tables[-1], tmp_path / "gate"
    job = {"job": "step", "name": "stage", "table": table, "day": DAY}
    pids = lake.start({**job, "failpoint": f"stage.inputs_read=wait:{gate}"})
    lake.until_waiting(gate)
    _correct(lake)
    for each in tables:
        newer = lake.do("cross", table=each, days=[DAY]).require()
    before = _look(lake, table)

    gate.touch()
    staged = lake.wait(*pids)[0].require()
    ended = lake.do("finish", table=table, day=DAY, batch_id=staged)

    same = _look(lake, table) == before
    proofs("zombie", f"stage of {table} asleep while its input is corrected", violations=int(not same))
    assert staged > newer, "its id is the later one"
    assert ended.raised == "BatchSupersededError", ended
    assert same


@pytest.fixture
def stricter(tmp_path) -> dict[str, str]:
    """Environment of a process whose gate holds every batch of features."""
    shutil.copytree(ROOT / "expectations", tmp_path / "suites")
    path = tmp_path / "suites" / "flights" / "features.json"
    suite = json.loads(path.read_text())
    rule = {"rule": "one_origin", "severity": "hold", "owner": "flights-ml", "why": "A test."}
    suite["expectations"].append(
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "origin", "value_set": ["EWR"]},
            "meta": rule,
        }
    )
    path.write_text(json.dumps(suite))
    return {"SLUICE_EXPECTATIONS": str(tmp_path / "suites")}


def test_released_batch_does_not_cross_in_the_place_of_the_corrected_rows(
    lake, predictable, stricter, proofs
):
    lake.restore(predictable)
    job = {"table": "features", "day": DAY}
    released = lake.do("step", name="stage", **job).require()
    assert lake.do("step", name="audit", **job, batch_id=released, env=stricter).raised == "BatchHeldError"
    lake.do("grant", **job).require()
    assert lake.do("step", name="stage", **job).require() == released, "as it was, it is what crosses next"
    before = _look(lake, "features")
    _correct(lake)

    crossed = lake.do("cross", table="features", days=[DAY], env=stricter)
    by_hand = lake.do("finish", **job, batch_id=released, env=stricter)

    seen = _look(lake, "features")
    kept = seen["shown"] == before["shown"] and seen["commits"] == before["commits"]
    proofs("race", "a release and a correction of its inputs", violations=int(not kept), end=crossed.raised)
    assert crossed.raised == "BatchHeldError", "the corrected rows are judged by themselves"
    assert by_hand.raised == "BatchSupersededError", by_hand
    assert kept
    assert lake.do("cross", table="features", days=[DAY]).require() > released
    assert _look(lake, "features")["shown"]["features"][DAY] != before["shown"]["features"][DAY]
