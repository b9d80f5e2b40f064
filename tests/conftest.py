"""Every test gets a home of its own; nothing of it touches the checkout."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from zoneinfo import ZoneInfo

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from sluice.core.settings import settings
from sluice.declare import spec

# How long an example takes says how busy the machine is; how long a test may take says pytest-timeout.
hypothesis.settings.register_profile("busy machine", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("busy machine")

# Folders that start a whole Airflow.
_WITH_AIRFLOW = ("scenarios", "rehearsal", "live")
_LONGEST = (*_WITH_AIRFLOW, "proof")


def _folder(nodeid: str) -> str:
    """`<folder>` of `tests/<folder>/…` and of `tests/sluice_lab/<folder>/…`, or the file's name."""
    path = nodeid.split("::")[0].removeprefix("tests/").removeprefix("sluice_lab/")
    return path.split("/")[0]


def _group(nodeid: str) -> str:
    """What runs in one process: a folder, but all that start an Airflow together."""
    folder = _folder(nodeid)
    return "airflow" if folder in _WITH_AIRFLOW else folder


# Fixtures that make a home folder: tables, a ledger, a database.
_HOMES = {"home", "tmp_path_factory"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark what is fast, begin with what takes longest, and start the Airflow of each such folder once."""
    for item in items:
        marked = any(mark.name in ("slow", "airflow", "long") for mark in item.iter_markers())
        if not marked and not _HOMES & set(item.fixturenames):
            item.add_marker("fast")
    places = {folder: place for place, folder in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(_folder(item.nodeid), len(places)))


class ByFolder(LoadScopeScheduling):
    """Gives each worker process whole folders of tests, so that what a folder prepares is prepared once."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


def pytest_xdist_make_scheduler(config, log):
    return ByFolder(config, log)


@pytest.fixture(scope="session", autouse=True)
def home_of_nobody():
    """For tests without the fixture `home`: not the user's, and nothing may be recorded in it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", folder)
        settings.cache_clear()
        yield
        settings.cache_clear()
        recorded = Path(folder, "ledger.db").exists()
        assert not recorded, "a test without the fixture `home` wrote to the ledger"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A fresh SLUICE_HOME; the settings are read anew before and after."""
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def set_clock(home, tmp_path, monkeypatch):
    """Function: set the clock of every process of this installation to an instant, given as ISO text."""
    path = tmp_path / "clock"
    monkeypatch.setenv("SLUICE_CLOCK", str(path))
    settings.cache_clear()

    def to(instant: str) -> datetime:
        part = path.with_suffix(".part")
        part.write_text(instant)
        part.replace(path)
        return datetime.fromisoformat(instant)

    return to


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Function: set the clock of everything, to a local time of New York."""
    file = tmp_path / "clock"
    monkeypatch.setenv("SLUICE_CLOCK", str(file))
    settings.cache_clear()

    def set_clock(text: str) -> None:
        now = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))
        file.write_text(now.isoformat())

    return set_clock


@pytest.fixture(scope="session")
def feed_cache(tmp_path_factory):
    """The feed's cache, filled once: cutting a year of flights takes two seconds."""
    return tmp_path_factory.mktemp("feed-cache")


@pytest.fixture(scope="session")
def make_home(feed_cache, tmp_path_factory) -> Callable[[Path], None]:
    """Function: make a home folder that shares what takes seconds and is the same in each: a year of flights, dbt's parsed project.

    Both are kept under a hash of what they are made from, so that a test that changes it gets its own.
    """
    parsed = tmp_path_factory.mktemp("dbt")

    def make(home: Path) -> None:
        (home / "work").mkdir(parents=True)
        (home / "work" / "dbt").symlink_to(parsed)
        (home / "feed-cache").symlink_to(feed_cache)

    return make


@pytest.fixture
def flights(home, make_home) -> spec.Pipeline:
    """The default pipeline: its source system can deliver, and has not yet."""
    make_home(home)
    return spec.load("flights")


@pytest.fixture
def live_flights(home, make_home) -> spec.Pipeline:
    """flights as a live pipeline that began on 2013-04-01, a Monday."""
    make_home(home)
    (home / "landing").mkdir()
    return spec.load("flights").model_copy(update={"clock": "wall", "starts": date(2013, 4, 1)})


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory):
    """A database with MLflow's schema, made once: its migrations take seconds."""
    from sluice_ml.registry import Registry

    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    Registry(f"sqlite:///{path}", "").init()
    return path


@pytest.fixture
def measured_day():
    """Function: the numbers of a monitored day on which nothing drifted and no outcome is known, but for what is given."""
    from sluice_ml.monitored_day import DayNumbers

    def measured(ds: str, **changed: object) -> DayNumbers:
        unknown = dict.fromkeys(("label_rate", "auc", "auc_low", "auc_high", "log_loss", "brier"))
        quiet = {
            "model_version": "1",
            "rows": 900,
            "labelled": 0,
            "coverage": 0.0,
            "score_mean": 0.2,
            "compared": 26,
            "drift_share": 0.0,
            "drifted": (),
            "left_out": {},
            "sampled_rows": 900,
            "reference_rows": 20000,
        }
        return DayNumbers(**{"ds": ds, **unknown, **quiet, **changed})

    return measured


@pytest.fixture(scope="session")
def s3_server():
    """Host and port of a real S3 server. Its buckets live in this process, and so does whatever is in them."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def aws(monkeypatch, s3_server):
    """The environment through which boto3, and all that asks it, finds the server, and nothing else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    host, port = s3_server
    for name, value in {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(aws):
    """The name of a new bucket."""
    import boto3

    name = f"sluice-{secrets.token_hex(8)}"
    boto3.client("s3").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    return name


@pytest.fixture
def warehouse(home, bucket, monkeypatch):
    """The name of a new bucket that the warehouse is in."""
    monkeypatch.setenv("SLUICE_WAREHOUSE", f"s3://{bucket}/lake")
    settings.cache_clear()
    return bucket


@pytest.fixture
def sink(tmp_path):
    """The mail sink in a process of its own: (where to send, folder of the mails kept, process)."""
    from sluice.notify.send import Smtp

    folder = tmp_path / "mail"
    process = subprocess.Popen(
        [sys.executable, "-m", "sluice.notify.sink", "--port", "0", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = re.search(r":(\d+),", process.stdout.readline())
        assert port, "the sink did not say where it listens"
        yield Smtp("127.0.0.1", int(port[1])), folder, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        process.stdout.close()


@pytest.fixture
def mails():
    """Function: the mails that a sink keeps in a folder, oldest first."""

    def read(folder) -> list[EmailMessage]:
        paths = sorted(folder.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=default) for path in paths]

    return read


@pytest.fixture
def proofs(request):
    """Record what was tried and what was seen, for the table at the end of the run; works in any worker process.

    Call it with a kind, such as `crash point`, a name, the `violations` seen, and further facts.
    """

    def record(kind: str, name: str, *, violations: int = 0, **facts: object) -> None:
        told = {"kind": kind, "name": name, "violations": violations, "facts": facts}
        request.node.user_properties.append(("proof", told))

    return record


def pytest_terminal_summary(terminalreporter):
    """What was tried to break the invariants: a line a kind, then every violation by name."""
    seen = [
        told
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
        for name, told in report.user_properties
        if name == "proof"
    ]
    if not seen:
        return
    terminalreporter.section("proofs")
    for kind in sorted({told["kind"] for told in seen}):
        of_kind = [told for told in seen if told["kind"] == kind]
        violations = sum(told["violations"] for told in of_kind)
        terminalreporter.line(f"{kind}: {len(of_kind)} tried, {violations} violations")
        for told in of_kind:
            if told["violations"] or told["facts"]:
                facts = ", ".join(f"{name} {value}" for name, value in told["facts"].items())
                terminalreporter.line(f"  {told['name']}: {told['violations']} violations; {facts}")


@atexit.register
def _let_the_summary_be_the_last_line() -> None:
    """DuckDB's binding counts, at the interpreter's very end, what others still refer to, and prints it as leaked.

    Everything that belongs to the run has been printed by now.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
