"""A declaration that cannot be used: one mail from Airflow's own callbacks, one RESOLVED, whatever part is wrong."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

from sluice.core.errors import SluiceError
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.status import check

pytestmark = pytest.mark.airflow


@pytest.fixture
def declared(flights, sink, tmp_path, monkeypatch):
    """A copy of what is declared, and the connection through which Airflow's callbacks mail."""
    for variable, folder in (
        ("PIPELINES", "dags/pipelines"),
        ("EXPECTATIONS", "expectations"),
        ("DBT_PROJECT", "dbt_project"),
    ):
        ignored = shutil.ignore_patterns("target", "logs")
        shutil.copytree(ROOT / folder, tmp_path / variable, ignore=ignored)
        monkeypatch.setenv(f"SLUICE_{variable}", str(tmp_path / variable))
    smtp = sink[0]
    connection = {
        "conn_type": "smtp",
        "host": smtp.host,
        "port": smtp.port,
        "extra": {"disable_ssl": True, "disable_tls": True},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def look(dag_id: str) -> None:
    """Run the check as its task does, and what Airflow calls at the task's end."""
    from sluice.orchestration.callbacks import mail_failure, mail_success

    ti = SimpleNamespace(dag_id=dag_id, task_id="check_declaration", run_id="r", try_number=1)
    context = {"ti": ti, "dag_run": SimpleNamespace(partition_key=None), "params": {}}
    try:
        check.require_sound("flights")
    except SluiceError as error:
        mail_failure({**context, "exception": error})
    else:
        mail_success(context)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


PARTS = {
    "YAML": ("PIPELINES/flights.yml", "history_days: 28", "histroy_days: 28", "did you mean 'history_days'"),
    "suite": ("EXPECTATIONS/flights/arrivals.json", '"expectations"', '"expectation"', "arrivals.json"),
    "dbt model": (
        "DBT_PROJECT/models/flights/features/out_flights__arrival.sql",
        "stg_flights__arrivals",
        "stg_flights__arivals",
        "stg_flights__arivals",
    ),
    "model": ("PIPELINES/flights.yml", "max_depth: 3", "max_dept: 3", "no parameter max_dept"),
}


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_broken_declaration_is_one_mail_and_one_resolved(declared, sink, mails, part):
    file, old, new, said = PARTS[part]
    edit(declared / file, old, new)
    dag_id = "flights_broken" if part == "YAML" else "flights_watch"
    look(dag_id)
    look(dag_id)

    (mail,) = mails(sink[1])
    assert mail["To"] == "flights-oncall@example.com"
    assert mail["Subject"].startswith("[sluice][BROKEN] flights: ")
    text = mail.get_body(("plain",)).get_content()
    assert said in " ".join(text.split())
    assert "sluice check" in text

    edit(declared / file, new, old)
    look("flights_watch")
    look("flights_watch")
    first, over = mails(sink[1])
    assert "[RESOLVED]" in over["Subject"]
    assert over["In-Reply-To"] == first["Message-ID"]


def test_broken_yaml_that_names_nobody_is_mailed_to_the_operator(declared, sink, mails, monkeypatch):
    monkeypatch.setenv("SLUICE_MAIL_TO", "one@example.com,two@example.com")
    settings.cache_clear()
    (declared / "PIPELINES" / "flights.yml").write_text("pipeline: [flights\n")
    look("flights_broken")
    (mail,) = mails(sink[1])
    assert mail["To"] == "one@example.com, two@example.com"


def test_task_that_was_running_when_the_yaml_broke_is_the_same_fault(declared, sink, mails):
    """Any task of the pipeline fails then, and cannot know whom it concerns."""
    from sluice.orchestration.callbacks import mail_failure

    edit(declared / "PIPELINES/flights.yml", "history_days: 28", "histroy_days: 28")
    with pytest.raises(SluiceError) as caught:
        spec.load("flights")
    for task in ("arrivals.stage_arrivals", "weather.stage_weather"):
        ti = SimpleNamespace(dag_id="flights_ingest", task_id=task, run_id="r", try_number=1)
        run = SimpleNamespace(partition_key="2013-02-04")
        mail_failure({"ti": ti, "dag_run": run, "params": {}, "exception": caught.value})
    look("flights_broken")
    (mail,) = mails(sink[1])
    assert mail["Subject"].startswith("[sluice][BROKEN] flights: ")
