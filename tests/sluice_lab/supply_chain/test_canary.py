"""Secrets and people that do not exist go through the crossings in this process, and nothing under home knows them.

tests/scenarios/test_canary.py does the same through a real Airflow, on to predictions and reports.
"""

from __future__ import annotations

import gzip
import logging
import shutil
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from sluice import crossing, holds, ledger, notify
from sluice.core.errors import MailUndeliveredError, NotPublishedError, SluiceError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.holds import show
from sluice.ingest import deliveries
from sluice.lake import quarantine, tables
from sluice.lake.landing import Landing
from sluice.ledger import records
from sluice.local.find_value import find_value
from sluice.notify import report
from sluice.notify.send import Smtp
from sluice.notify.sink import Keeper
from sluice.status import catalogue
from sluice.watch import held

HERE = Path(__file__).parent
PEOPLE = {
    "Zebedee Quillfeather": "TK-4711-0815-ZQ",
    "Oriana Thistlewood-Vane": "TK-4711-0816-OT",
    "Ümit Überzahl": "TK-4711-0817-UU",
}
KEY = "canary-pseudonym-0d4f6b8a2c9e71355a7b"
WORD = "canary-smtp-5f3a9c7e1b2d48"
CANARIES = {
    **{f"name {n}": name for n, name in enumerate(PEOPLE)},
    **{f"ticket {n}": ticket for n, ticket in enumerate(PEOPLE.values())},
    "surname": "Quillfeather",
    "pseudonym key": KEY,
    "SMTP password": WORD,
}
RUN = Run(dag_id="flights_ingest", run_id="test")


@pytest.fixture
def flights(home, tmp_path, monkeypatch) -> spec.Pipeline:
    """The default pipeline with passengers; its landing zone is the producer's, outside of home."""
    for folder in ("dags/pipelines", "expectations"):
        shutil.copytree(ROOT / folder, tmp_path / Path(folder).name)
    path = tmp_path / "pipelines" / "flights.yml"
    source = (HERE / "passengers.yml").read_text()
    path.write_text(path.read_text().replace("\nderived:\n", f"\n{source}\nderived:\n", 1))
    shutil.copy2(HERE / "passengers.json", tmp_path / "expectations" / "flights")
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "expectations"))
    monkeypatch.setenv("SLUICE_LANDING", str(tmp_path / "landing"))
    settings.cache_clear()
    return spec.load("flights")


@pytest.fixture
def everything_logged(home):
    """Whatever any library logs, kept under home as a task's log would be."""
    path = home / "airflow" / "logs" / "task.log"
    path.parent.mkdir(parents=True)
    handler = logging.FileHandler(path)
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    # Thousands of lines about its own classes, at each import.
    logging.getLogger("great_expectations").setLevel(logging.INFO)
    yield logging.getLogger("airflow.task")
    root.setLevel(level)
    root.removeHandler(handler)
    handler.close()


@pytest.fixture
def door(home):
    """An SMTP server that asks for the canary's password, and keeps mails where the local sink does."""
    right = {"word": WORD}

    def enter(server, session, envelope, mechanism, auth_data) -> AuthResult:
        return AuthResult(success=auth_data.password.decode() == right["word"])

    keeper = Keeper(home / "mail")
    server = Controller(
        keeper, "127.0.0.1", 0, authenticator=enter, auth_required=True, auth_require_tls=False
    )
    server.port = _free_port()
    server.start()
    yield right, Smtp("127.0.0.1", server.port, "sluice", WORD)
    server.stop()


def _free_port() -> int:
    from sluice_lab.rehearsal.bench import free_ports

    return free_ports(1)


def deliver(flights, day, bags=(1, 2, 0), *, number=1, extra="") -> None:
    lines = [f"{ticket},{name},{n}" for (name, ticket), n in zip(PEOPLE.items(), bags, strict=True)]
    data = "\n".join(["ticket_number,full_name,bags", *lines, extra]).encode()
    landing = Landing(flights.landing_url)
    landing.create()
    at = datetime.now(UTC)
    deliveries.write(landing, flights, "passengers", day, data, rows=3, number=number, delivered_at=at)


def cross(flights, day):
    manifest = crossing.stage(flights, "passengers", [day], RUN, pseudonym_key=KEY.encode())
    verdict = crossing.audit(flights, "passengers", manifest.batch_id, RUN)
    crossing.require_publishable(verdict)
    crossing.publish(flights, "passengers", verdict.publish_batch_id, RUN)
    return verdict


def fail(flights, day, log, smtp) -> None:
    """What Airflow does with a task that fails: its traceback is logged, and its mail is sent."""
    with pytest.raises(SluiceError) as caught:
        cross(flights, day)
    log.error("Task failed\n%s", "".join(traceback.format_exception(caught.value)))
    task = "audit_passengers" if isinstance(caught.value, NotPublishedError) else "stage_passengers"
    about = {"task_id": task, "run_id": "test", "partition": day, "task_url": "http://airflow"}
    event = report.of_exception(flights, caught.value, dag_id="flights_ingest", **about)
    try:
        notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)
    except MailUndeliveredError as error:
        log.error("No mail\n%s", "".join(traceback.format_exception(error)))


# The server is on this machine, and its login is a canary.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_canaries_pushed_through_the_crossings_are_found_nowhere(
    flights, home, everything_logged, door, proofs
):
    log, (right, smtp) = everything_logged, door
    deliver(flights, "2013-04-01", (1, 2, 25))
    assert cross(flights, "2013-04-01").quarantined == {"bags_possible": 1}
    right["word"] = "another"
    deliver(flights, "2013-04-02", (25, 25, 1))
    fail(flights, "2013-04-02", log, smtp)
    assert notify.undelivered()
    right["word"] = WORD
    name, ticket = next(iter(PEOPLE.items()))
    for day, broken in {
        "2013-04-03": {"bags": (name, 8, 8)},
        "2013-04-04": {"extra": f"{ticket},{name},1,{name}"},
        "2013-04-05": {"extra": f'{ticket},"{name},1'},
    }.items():
        deliver(flights, day, **broken)
        fail(flights, day, log, smtp)
    assert not notify.undelivered()
    gathered = catalogue.read(flights)
    catalogue.write(gathered)
    printed = [
        *held.as_text(held.read(flights)),
        *show.traced(holds.trace(flights, "passengers", "2013-04-02")),
        *catalogue.lines(gathered),
    ]
    log.info("printed: %s", printed)

    assert tables.scan("flights", "passengers", "2013-04-01", "2013-04-01").num_rows == 2
    assert quarantine.rows("flights", "passengers", "2013-04-01", "2013-04-01").num_rows == 1
    assert len(list(settings().mail.glob("*.eml"))) >= 4, "the hold, and three kinds of broken files"
    assert {entry.kind for entry in ledger.entries()} >= {"staged", "verdict", "published", "held", "mail"}
    kinds = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert {".parquet", ".db", ".html", ".json", ".eml", ".log", ".avro"} <= kinds
    found = find_value(home, CANARIES)
    proofs("canary", "the crossings, in process", violations=len(found), values=len(CANARIES))
    assert found == []


def test_canary_that_is_planted_is_found(home):
    """What the test above would see, if a table, a database or a log knew somebody."""
    (home / "logs").mkdir(parents=True)
    with gzip.open(home / "logs" / "task.log.gz", "wt") as planted:
        planted.write(f"user={next(iter(PEOPLE)).upper()}")
    ledger.append(records.Staged(batch_id=WORD), pipeline="p", subject="s", partition="2013-04-01")
    places = find_value(home, CANARIES)
    assert any(place.startswith("logs/task.log.gz > gzip: name 0") for place in places)
    assert any(place.startswith("ledger.db > sluice_ledger: SMTP password") for place in places)
