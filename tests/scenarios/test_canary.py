"""Canaries: secrets and people that do not exist go through the whole loop, and nothing but the landing zone knows them.

An Airflow of its own, with an SMTP server that asks for a login, a landing zone in a bucket, and a source of people that
the features read. Everything under the home folder is searched afterwards, and with it Airflow's database and logs, the
processes' temporary folder, and what the commands print.
"""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3
import psutil
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from click.testing import CliRunner
from moto.server import ThreadedMotoServer

from sluice import ledger, notify
from sluice.cli import main
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.ingest import deliveries
from sluice.lake import quarantine, tables
from sluice.lake.landing import Landing
from sluice.local import stack
from sluice.local.find_value import find_value
from sluice.notify.sink import Keeper
from sluice_lab import feed
from sluice_lab.rehearsal.bench import free_ports

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(2400)]

PEOPLE = {
    "full name": "Zebedee Quillfeather",
    "another full name": "Oriana Thistlewood-Vane",
    "full name beyond ASCII": "Ümit Überzahl",
    "surname": "Quillfeather",
    "ticket": "TK-4711-0815-ZQ",
    "another ticket": "TK-4711-0816-OT",
    "third ticket": "TK-4711-0817-UU",
}
SECRETS = {
    "SMTP password": "canary-smtp-5f3a9c7e1b2d48",
    "S3 secret key": "canary-s3-8b1e4d6a7c90f2e3",
    "pseudonym key": "canary-pseudonym-0d4f6b8a2c9e71355a7b",
}
NAMES = [PEOPLE["full name"], PEOPLE["another full name"], PEOPLE["full name beyond ASCII"]]
TICKETS = [PEOPLE["ticket"], PEOPLE["another ticket"], PEOPLE["third ticket"]]
HISTORY = ("2013-05-28", "2013-07-01")


class Door:
    """Who may send mail: the canary's password, unless the door is shut."""

    def __init__(self) -> None:
        self.open, self.entered, self.refused = True, 0, 0

    def __call__(self, server, session, envelope, mechanism, auth_data) -> AuthResult:
        right = self.open and auth_data.password.decode() == SECRETS["SMTP password"]
        self.entered += right
        self.refused += not right
        return AuthResult(success=right)


@dataclass
class Loop:
    """A running Sluice with canaries in it."""

    api: object
    base: Path
    door: Door
    bucket: ThreadedMotoServer
    flights: spec.Pipeline

    def deliver(self, day: str, bags=(1, 2, 0), *, number: int = 1, extra: str = "") -> None:
        """The day's flights, and its passengers, one of whom has `bags` each."""
        daily = [name for name in self.flights.sources if name != "passengers"]
        if number == 1:
            feed.deliver(self.flights, day, sources=daily)
        lines = [f"{ticket},{name},{n}" for ticket, name, n in zip(TICKETS, NAMES, bags, strict=True)]
        data = "\n".join(["ticket_number,full_name,bags", *lines, extra]).encode()
        landing = Landing(self.flights.landing_url)
        deliveries.write(
            landing,
            self.flights,
            "passengers",
            day,
            data,
            rows=3,
            number=number,
            delivered_at=datetime.now(UTC),
        )

    def run(self, dag_id: str, **trigger) -> dict:
        run = self.api.trigger(dag_id, **trigger)
        run["state"] = self.api.wait_for_run(dag_id, run["dag_run_id"], seconds=600)
        run["tasks"] = {task["task_id"]: task for task in self.api.tasks(dag_id, run["dag_run_id"])}
        return run

    def succeed(self, dag_id: str, **trigger) -> dict:
        run = self.run(dag_id, **trigger)
        assert run["state"] == "success", self.api.failures(dag_id, run["dag_run_id"])
        return run

    def stops_at(self, task: str, day: str) -> dict:
        """Ingest a day whose passengers do not get past a task."""
        run = self.run("flights_ingest", partition=day)
        assert run["tasks"][f"passengers.{task}"]["state"] == "failed", self.api.failures(
            "flights_ingest", run["dag_run_id"]
        )
        return run


@pytest.fixture(scope="module")
def loop(tmp_path_factory) -> Iterator[Loop]:
    base = tmp_path_factory.mktemp("canary")
    _declare(base)
    door = Door()
    with ExitStack() as cleanup:
        bucket = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        bucket.start()
        cleanup.callback(bucket.stop)
        smtp = Controller(
            Keeper(base / "home" / "mail"),
            hostname="127.0.0.1",
            port=free_ports(1),
            authenticator=door,
            auth_required=True,
            auth_require_tls=False,
        )
        smtp.start()
        cleanup.callback(smtp.stop)
        patch = cleanup.enter_context(pytest.MonkeyPatch.context())
        for name, value in _environment(base, bucket, smtp.port).items():
            patch.setenv(name, value)
        cleanup.callback(settings.cache_clear)
        settings.cache_clear()
        boto3.client("s3").create_bucket(Bucket="landing")
        cleanup.callback(stack.down)
        stack.up()
        yield Loop(stack.client(), base, door, bucket, spec.load("flights"))


def _declare(base: Path) -> None:
    """The project's own declarations, with passengers, whom the features read."""
    for folder in ("dags/pipelines", "expectations", "dbt_project"):
        shutil.copytree(
            ROOT / folder, base / Path(folder).name, ignore=shutil.ignore_patterns("target", "logs")
        )
    (base / "tmp").mkdir()
    shared = ROOT / "tests" / "supply_chain"
    _insert(base / "pipelines" / "flights.yml", "\nderived:\n", (shared / "passengers.yml").read_text())
    shutil.copy2(shared / "passengers.json", base / "expectations" / "flights" / "passengers.json")
    models = base / "dbt_project" / "models" / "flights"
    source = "      - name: passengers\n        description: Made-up people.\n      - name: airlines\n"
    sources = models / "sources.yml"
    sources.write_text(sources.read_text().replace("      - name: airlines\n", source))
    (models / "staging" / "stg_flights__passengers.sql").write_text(
        "select ds, ticket_number, full_name, bags from {{ source('flights', 'passengers') }}\n"
    )
    with (models / "features" / "ftr_flights__departure.sql").open("a") as features:
        features.write(
            "where (select count(distinct full_name) from {{ ref('stg_flights__passengers') }}) >= 0\n"
        )


def _insert(path: Path, before: str, text: str) -> None:
    found = path.read_text()
    assert found.count(before) == 1
    path.write_text(found.replace(before, f"\n{text}{before}"))


def _environment(base: Path, bucket: ThreadedMotoServer, smtp_port: int) -> dict[str, str]:
    host, port = bucket.get_host_and_port()
    smtp = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": smtp_port,
        "login": "sluice",
        "password": SECRETS["SMTP password"],
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "sluice@localhost"},
    }
    return {
        "SLUICE_HOME": str(base / "home"),
        "SLUICE_PIPELINES": str(base / "pipelines"),
        "SLUICE_EXPECTATIONS": str(base / "expectations"),
        "SLUICE_DBT_PROJECT": str(base / "dbt_project"),
        "SLUICE_LANDING": "s3://landing/deliveries",
        "SLUICE_API_PORT": str(free_ports(2)),
        "SLUICE_SMTP_PORT": str(free_ports(1)),
        "SLUICE_RETRY_SECONDS": "1",
        "SLUICE_MAIL_WINDOW_MINUTES": "0",
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
        "AIRFLOW_CONN_SLUICE_PSEUDONYM": json.dumps(
            {"conn_type": "generic", "password": SECRETS["pseudonym key"]}
        ),
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "canary",
        "AWS_SECRET_ACCESS_KEY": SECRETS["S3 secret key"],
        "AWS_DEFAULT_REGION": "us-east-1",
        # What a process leaves behind there is searched too.
        "TMPDIR": str(base / "tmp"),
    }


# The server is on this machine, and its login is a canary.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_canaries_pushed_through_the_whole_loop_are_found_nowhere(loop, proofs):
    pushed = [
        _history_and_a_model(loop),
        _clean_day_with_a_quarantined_row(loop, "2013-07-02"),
        _held_day_whose_mail_is_refused_at_first(loop, "2013-07-03"),
        *_days_that_break(loop),
        _bucket_that_is_gone(loop, "2013-07-09"),
    ]
    listening = _listening()
    (loop.base / "printed.txt").write_text(_commands())

    assert loop.door.entered, "no mail was sent with the canary's password"
    assert _pseudonyms_are_the_canaries(), "the people did not go through the lake"
    assert {address for address in listening if not address.startswith("127.0.0.1:")} == set()
    values = {**PEOPLE, **SECRETS}
    found = find_value(loop.base, values)
    proofs("canary", "the whole loop", violations=len(found), pushed=len(pushed), values=len(values))
    assert found == []

    with gzip.open(loop.base / "home" / "airflow" / "logs" / "planted.log.gz", "wt") as planted:
        planted.write(f"password={SECRETS['SMTP password']}")
    assert len(find_value(loop.base, values)) == 1


def _history_and_a_model(loop: Loop) -> str:
    first, last = map(date.fromisoformat, HISTORY)
    for offset in range((last - first).days + 1):
        loop.deliver((first + timedelta(days=offset)).isoformat())
    loop.succeed("flights_backfill", conf={"first_day": HISTORY[0], "last_day": HISTORY[1]})
    loop.succeed("flights_train", partition=HISTORY[1])
    return "backfilled and trained"


def _clean_day_with_a_quarantined_row(loop: Loop, day: str) -> str:
    loop.deliver(day, bags=(1, 2, 25))
    run = loop.succeed("flights_ingest", partition=day)
    for stage in ("transform", "score", "monitor"):
        ended = loop.api.wait_for_partition(f"flights_{stage}", day, since=run["run_after"], seconds=600)
        assert ended["state"] == "success", loop.api.failures(f"flights_{stage}", ended["dag_run_id"])
    assert quarantine.rows("flights", "passengers", day, day).num_rows == 1
    assert tables.scan("flights", "predictions", day, day).num_rows > 0
    return "quarantined, scored and monitored"


def _held_day_whose_mail_is_refused_at_first(loop: Loop, day: str) -> str:
    loop.deliver(day, bags=(25, 25, 1))
    loop.door.open = False
    loop.stops_at("audit_passengers", day)
    loop.door.open = True
    assert loop.door.refused, "no mail was tried while the door was shut"
    assert notify.undelivered()
    loop.run("flights_watch")
    assert not notify.undelivered()
    loop.deliver(day, number=2)
    loop.succeed("flights_replay", conf={"table": "passengers", "day": day})
    return "held, mailed late, replayed"


def _days_that_break(loop: Loop) -> Iterator[str]:
    """A name where a number belongs, names in a surplus field, a row too many, and no file at all, which is retried."""
    loop.deliver("2013-07-04", bags=(NAMES[0], 8, 8))
    loop.stops_at("stage_passengers", "2013-07-04")
    yield "a name where a number belongs"
    loop.deliver("2013-07-05", extra=f"{TICKETS[0]},{NAMES[0]},1,{NAMES[1]}")
    loop.stops_at("stage_passengers", "2013-07-05")
    yield "a surplus field"
    loop.deliver("2013-07-06", extra=f"{TICKETS[0]},{NAMES[0]},1")
    loop.stops_at("stage_passengers", "2013-07-06")
    yield "rows that are not announced"
    feed.deliver(loop.flights, "2013-07-07", sources=["schedule", "arrivals", "weather"])
    run = loop.stops_at("stage_passengers", "2013-07-07")
    assert run["tasks"]["passengers.stage_passengers"]["try_number"] == 3
    yield "nothing delivered, retried"


def _bucket_that_is_gone(loop: Loop, day: str) -> str:
    loop.bucket.stop()
    run = loop.run("flights_ingest", partition=day)
    assert run["state"] == "failed"
    return "bucket gone, retried"


def _commands() -> str:
    """What a person sees who asks about it."""
    commands = [
        ["held", "flights"],
        ["trace", "flights", "passengers", "2013-07-03"],
        ["catalogue", "flights"],
        ["ledger", "--limit", "500"],
        ["watch", "flights"],
        ["check"],
    ]
    return "\n".join(CliRunner().invoke(main, command).output for command in commands)


def _pseudonyms_are_the_canaries() -> bool:
    rows = tables.scan("flights", "passengers", *HISTORY)
    expected = {
        hmac.new(SECRETS["pseudonym key"].encode(), name.encode(), hashlib.sha256).hexdigest()[:32]
        for name in NAMES
    }
    return set(rows["full_name"].to_pylist()) == expected and bool(
        ledger.entries(kind="held", pipeline="flights", subject="passengers")
    )


def _listening() -> set[str]:
    """Addresses that a process of the stack listens on."""
    found = set()
    for name in stack.PROGRAMS:
        main_process = stack.running(name)
        assert main_process, f"{name} has ended"
        for process in (main_process, *main_process.children(recursive=True)):
            try:
                connections = process.net_connections(kind="inet")
            except psutil.NoSuchProcess:
                continue  # a task that has ended meanwhile
            found |= {
                f"{one.laddr.ip}:{one.laddr.port}" for one in connections if one.status == psutil.CONN_LISTEN
            }
    assert len(found) >= 3, f"the API server, the log server and the mail sink listen: {sorted(found)}"
    return found
