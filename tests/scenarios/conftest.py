"""One real Airflow for all scenarios: scheduler, DAG processor, triggerer, API server and mail sink on free ports.

It has two pipelines: `flights`, and `flights_s3`, the same with its landing zone in a bucket.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from sluice import ledger, notify
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.local import stack as local_stack
from sluice.local.api import AirflowApi
from sluice_lab import feed
from sluice_lab.rehearsal.bench import free_ports
from tests import feed_clock
from tests.web.conftest import page

__all__ = ["page"]

BUCKET = "landing"


@dataclass(frozen=True)
class Live:
    """A running Sluice, as an operator sees it."""

    api: AirflowApi
    environment: dict[str, str]
    home: Path
    pipelines: Path
    expectations: Path

    def run(self, dag_id: str, **trigger) -> dict:
        """Trigger a DAG, wait for its end, and return the run with its final `state`."""
        run = self.api.trigger(dag_id, **trigger)
        run["state"] = self.api.wait_for_run(dag_id, run["dag_run_id"], seconds=300)
        return run

    def succeed(self, dag_id: str, **trigger) -> dict:
        """As `run`, of a DAG that must succeed; shows the end of the failed tasks' logs where it does not."""
        run = self.run(dag_id, **trigger)
        assert run["state"] == "success", self.api.failures(dag_id, run["dag_run_id"])
        return run

    def deliver(self, pipeline: spec.Pipeline, first: str, last: str) -> None:
        """Deliver days that can be built on their own: by itself the feed sends registers on Mondays only."""
        feed.deliver(pipeline, first, sources=list(pipeline.sources))
        feed.deliver_range(pipeline, first, last)

    def wait_until_idle(self) -> None:
        """Wait for the end of every run, and of those that they wake."""
        while active := self.api.active_runs():
            for dag_id, _, run_id in (run.partition(" ") for run in active):
                self.api.wait_for_run(dag_id, run_id, seconds=300)

    def states(self, run: dict) -> dict[str, str]:
        """Task id to state."""
        return {task["task_id"]: task["state"] for task in self.api.tasks(run["dag_id"], run["dag_run_id"])}

    def mails(self) -> dict[str, EmailMessage]:
        """All mails that were caught, by file name."""
        return {
            path.name: message_from_bytes(path.read_bytes(), policy=policy.default)  # type: ignore[misc]
            for path in sorted(settings().mail.glob("*.eml"))
        }

    def only_mail_since(self, before: Collection[str]) -> EmailMessage:
        """The one mail that was caught since; where there are others, the subjects of all."""
        found = [mail for name, mail in self.mails().items() if name not in before]
        assert len(found) == 1, [str(mail["Subject"]) for mail in found]
        return found[0]

    def published(self, table: str, day: str, pipeline: str = "flights") -> bool:
        return bool(tables.published(pipeline, table, day, day))

    def held(self, table: str, day: str, pipeline: str = "flights") -> list[ledger.Entry]:
        return ledger.entries(kind="held", pipeline=pipeline, subject=table, partition=day)


@pytest.fixture(scope="package")
def _stack(tmp_path_factory) -> Iterator[Live]:
    base = tmp_path_factory.mktemp("live")
    shutil.copytree(ROOT / "dags" / "pipelines", base / "pipelines")
    shutil.copytree(ROOT / "expectations", base / "expectations")
    shutil.copytree(
        ROOT / "dbt_project", base / "dbt_project", ignore=shutil.ignore_patterns("target", "logs")
    )
    _second_pipeline(base)
    with ExitStack() as cleanup:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        cleanup.callback(server.stop)
        host, port = server.get_host_and_port()
        environment = {
            "SLUICE_HOME": str(base / "home"),
            "SLUICE_PIPELINES": str(base / "pipelines"),
            "SLUICE_EXPECTATIONS": str(base / "expectations"),
            "SLUICE_DBT_PROJECT": str(base / "dbt_project"),
            "SLUICE_API_PORT": str(free_ports(2)),
            "SLUICE_SMTP_PORT": str(free_ports(1)),
            "SLUICE_RETRY_SECONDS": "1",
            "SLUICE_MAIL_WINDOW_MINUTES": "0",
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        patch = cleanup.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        cleanup.callback(settings.cache_clear)
        settings.cache_clear()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        cleanup.callback(_down, environment)
        local_stack.up()
        api = local_stack.client()
        # It is here to be ingested.
        api.set_paused("flights_s3_transform", paused=True)
        yield Live(api, environment, base / "home", base / "pipelines", base / "expectations")


@pytest.fixture
def live(_stack: Live, monkeypatch) -> Iterator[Live]:
    """The running Sluice, with nothing left to do; this process sees the same home as its tasks do."""
    for name, value in _stack.environment.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    # What an earlier scenario woke may mail, and a mail that works sends those that waited.
    _stack.wait_until_idle()
    assert not notify.undelivered(), "a scenario left a mail that the next one's would send"
    # The feed's clock goes on from day to day, and the days of the scenarios are in no order.
    feed_clock.forget()
    yield _stack
    settings.cache_clear()


@pytest.fixture
def flights(live: Live) -> spec.Pipeline:
    return spec.load("flights")


def _down(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    settings.cache_clear()
    local_stack.down()


def _second_pipeline(base: Path) -> None:
    text = (base / "pipelines" / "flights.yml").read_text()
    for old, new in (
        ("pipeline: flights\n", "pipeline: flights_s3\n"),
        ("landing: landing\n", f"landing: s3://{BUCKET}/deliveries\n"),
    ):
        assert text.count(old) == 1, f"flights.yml has no line {old!r}"
        text = text.replace(old, new)
    (base / "pipelines" / "flights_s3.yml").write_text(_renamed(text))
    models = base / "dbt_project" / "models"
    shutil.copytree(models / "flights", models / "flights_s3")
    for path in [each for each in (models / "flights_s3").rglob("*") if each.is_file()]:
        path.write_text(_renamed(path.read_text()))
        path.rename(path.with_name(_renamed(path.name)))
    shutil.copytree(base / "expectations" / "flights", base / "expectations" / "flights_s3")


def _renamed(text: str) -> str:
    """The dbt models of flights as those of another pipeline; names of models are one for the whole project."""
    for old, new in (
        ("_flights__", "_flights_s3__"),
        ("source('flights'", "source('flights_s3'"),
        ("- name: flights\n", "- name: flights_s3\n"),
    ):
        text = text.replace(old, new)
    return text
