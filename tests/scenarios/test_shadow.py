"""A challenger in shadow, in a running Airflow: it is scored after the day is published, and waited for by monitoring."""

from __future__ import annotations

import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice.ledger import model_records
from sluice.models import challenger, shadow
from sluice.models.config import registry
from sluice_ml.training import fit
from tests.models.conftest import DAY, flights_rows, small_config

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]

RUN = Run(dag_id="flights_train", run_id="scenario")


@pytest.fixture
def shadowed(live):
    """flights with days in shadow, and a model that was really fitted beside the baseline."""
    path = live.pipelines / "flights.yml"
    text = path.read_text()
    path.write_text(text.replace("\nmodel:\n", "\nmodel:\n  shadow_days: 14\n"))
    try:
        live.api.until(lambda: _has_task(live, "score_challenger") or None, "the task score_challenger", 300)
        flights = spec.load("flights")
        with registry().training(flights.model.name, {"as_of": DAY}) as run_id:
            version = registry().log(run_id, fit(flights_rows(flights), small_config(flights)))
        about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
        ledger.append(model_records.Trained(version=version), **about)
        decision = ledger.append(model_records.Audited(version=version, promote=True), **about)
        challenger.begin(flights, decision, RUN)
        yield flights
    finally:
        path.write_text(text)
        live.api.until(
            lambda: True if not _has_task(live, "score_challenger") else None, "flights_score", 300
        )


def _has_task(live, task_id: str) -> bool:
    found = live.api.request("GET", "/dags/flights_score/tasks").json()["tasks"]
    return task_id in {task["task_id"] for task in found}


def test_day_is_published_by_the_baseline_and_scored_by_the_challenger_where_no_reader_looks(live, shadowed):
    day = "2013-05-06"
    live.deliver(shadowed, "2013-05-03", day)
    before = set(live.mails())
    live.succeed("flights_backfill", conf={"first_day": "2013-05-03", "last_day": "2013-05-05"})
    run = live.succeed("flights_ingest", partition=day)
    states = {}
    for stage in ("transform", "score", "monitor"):
        of_stage = live.api.wait_for_partition(f"flights_{stage}", day, since=run["run_after"], seconds=300)
        states |= live.states(of_stage)

    assert (states["score_challenger"], states["judge_challenger"]) == ("success", "skipped")
    predictions = tables.scan("flights", "predictions", day, day)
    assert set(predictions["model_version"].to_pylist()) == {"baseline"}
    (scored,) = ledger.entries(model_records.ScoredInShadow, partition=day)
    rows = batches.read(batches.load("flights", shadow.SCORES, scored.record.batch_id), day)
    assert sorted(rows["flight_id"].to_pylist()) == sorted(predictions["flight_id"].to_pylist())
    (said,) = challenger.standing(shadowed, challenger.current(shadowed))
    assert said.endswith("is in shadow beside the baseline: 0 of 14 days are in.")
    assert set(live.mails()) == before
