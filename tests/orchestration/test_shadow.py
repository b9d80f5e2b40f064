"""The tasks about a challenger: one that cannot score is mailed once, and neither that nor a challenger that waits turns a run red."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pyarrow.compute as pc
import pytest

from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.models import challenger, roles
from sluice.models.config import registry
from sluice.models.scoring import stage_predictions
from tests.models.conftest import RUN, audited, candidate, flights, flights_rows, publish, trained

__all__ = ["audited", "candidate", "flights", "trained"]

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

TODAY = "2013-03-30"


@pytest.fixture
def shadowed(flights, trained, audited, tmp_path, monkeypatch) -> spec.Pipeline:
    """Version 1 is champion, version 2 in shadow, and TODAY is predicted."""
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    (tmp_path / "flights.yml").write_text(text.replace("\nmodel:\n", "\nmodel:\n  shadow_days: 14\n"))
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path))
    settings.cache_clear()
    pipeline = spec.load("flights")
    roles.promote(pipeline, audited(trained(), None), RUN)
    challenger.begin(pipeline, audited(trained(), 1), RUN)
    rows = flights_rows(pipeline)
    of_day = rows.filter(pc.equal(pc.cast(rows["ds"], "string"), TODAY))
    publish(pipeline, "features", of_day.drop_columns(["is_late"]))
    tables.publish(stage_predictions(pipeline, [TODAY], RUN), verdict_id="v")
    return pipeline


@pytest.fixture
def run_task(context_of, sink, monkeypatch):
    """Function: do what a task of this module does in a run of TODAY, with a mail server."""
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration import shadow

    server = {"host": sink[0].host, "port": sink[0].port, "extra": {"disable_ssl": True, "disable_tls": True}}
    name = f"AIRFLOW_CONN_{settings().smtp_connection.upper()}"
    monkeypatch.setenv(name, json.dumps({"conn_type": "smtp", **server}))

    def run(task: str) -> object:
        ti = SimpleNamespace(dag_id="flights_score", task_id="score_challenger", run_id="run-1", try_number=1)
        with set_current_context({**context_of(TODAY), "ti": ti}):
            return getattr(shadow, task).function("flights")

    return run


def test_challenger_that_cannot_score_is_mailed_once_and_its_task_succeeds(
    shadowed, run_task, home, sink, mails
):
    run_id = registry()._version(shadowed.model.name, 2).run_id
    (home / "models" / shadowed.model.name / run_id / "artifacts/model/model.ubj").unlink()
    for _ in range(2):
        run_task("_score_challenger")
    (mail,) = mails(sink[1])
    assert mail["Subject"] == (
        f"[sluice][REFUSED] flights flights_late_arrival {TODAY}: the candidate did not become champion"
    )
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert f"Candidate version 2 was refused. Version 2 could not score {TODAY} in shadow" in text
    assert roles.current(shadowed).champion == 1


def test_challenger_whose_days_are_not_in_is_waited_for_without_a_mail(shadowed, run_task, sink, mails):
    from airflow.sdk.exceptions import AirflowSkipException

    run_task("_score_challenger")
    with pytest.raises(AirflowSkipException):
        run_task("_judge_challenger")
    assert mails(sink[1]) == []
    assert challenger.standing(shadowed, challenger.current(shadowed))[0].endswith("0 of 14 days are in.")
