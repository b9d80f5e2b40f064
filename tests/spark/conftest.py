"""A standalone Spark master with two workers on this machine, and published flights that both engines read.

It installs nothing: `make test-spark` makes an environment with pyspark and dbt-spark. Spark takes the jars that SPARK_TEST_JARS names
(paths, commas between), or else loads the coordinates below.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
import tenacity

from sluice import crossing
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import tables
from sluice_lab import feed
from sluice_lab.rehearsal.bench import free_ports
from tests.proof.postgres import Postgres, binaries

PACKAGES = (
    "org.apache.iceberg:iceberg-spark-runtime-3.5_2.12:1.10.2,org.postgresql:postgresql:42.7.8,"
    "org.xerial:sqlite-jdbc:3.50.3.0"
)
# January is the history of February.
DAYS = [str(date(2013, 1, 1) + timedelta(number)) for number in range(60)]
_LACKS = [
    name
    for name in ("pyspark", "dbt.adapters.spark")
    if not (find_spec(name.split(".")[0]) and find_spec(name))
]
_LACKS += [] if shutil.which("java") else ["java"]
REASON = f"no {', '.join(_LACKS)}: `make test-spark` has what it takes, with Java 17"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.skipif(bool(_LACKS), reason=REASON))


def _answer(url: str, workers: int) -> dict:
    """What the master says of itself, once so many workers have joined."""
    for attempt in tenacity.Retrying(stop=tenacity.stop_after_delay(90), wait=tenacity.wait_fixed(0.2)):
        with attempt:
            found = httpx.get(url, timeout=5).raise_for_status().json()
            assert found["aliveworkers"] == workers
    return found


@pytest.fixture(scope="session")
def master(tmp_path_factory) -> Iterator[str]:
    """The URL of a standalone master; each of its workers has one core and room for one executor."""
    import pyspark

    home = Path(pyspark.__file__).parent
    folder = tmp_path_factory.mktemp("spark")
    port = free_ports(2)
    web = port + 1
    url = f"spark://127.0.0.1:{port}"
    local = ["--host", "127.0.0.1"]
    worker = [*local, "--cores", "1", "--memory", "1g", "--webui-port", "0", url]
    programs = [
        ["master.Master", *local, "--port", str(port), "--webui-port", str(web)],
        ["worker.Worker", "--work-dir", str(folder / "one"), *worker],
        ["worker.Worker", "--work-dir", str(folder / "two"), *worker],
    ]
    env = os.environ | {"SPARK_HOME": str(home), "SPARK_DAEMON_MEMORY": "256m", "SPARK_LOCAL_IP": "127.0.0.1"}
    with ExitStack() as stack:
        for number, (program, *args) in enumerate(programs):
            log = stack.enter_context(open(folder / f"{number}.log", "w"))
            command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{program}", *args]
            started = subprocess.Popen(command, env=env, stdout=log, stderr=log)
            stack.callback(started.wait, 60)
            stack.callback(started.terminate)
            if number == 0:
                _answer(f"http://127.0.0.1:{web}/json/", 0)
        _answer(f"http://127.0.0.1:{web}/json/", 2)
        yield url


@pytest.fixture(scope="session")
def catalog() -> Iterator[str]:
    """A catalog in PostgreSQL where there is one on this machine; SQLite's otherwise."""
    folder = binaries()
    if folder is None:
        yield ""
        return
    server = Postgres(folder)
    server.do("create database catalog")
    yield server.url("catalog")
    server.close()


@pytest.fixture(scope="session")
def events(tmp_path_factory) -> Path:
    """Where Spark writes what each of its tasks did."""
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="session")
def on_spark(master, catalog, events, tmp_path_factory) -> Iterator[spec.Pipeline]:
    """flights with the engine spark, and sixty days published unjudged."""
    jars = os.environ.get("SPARK_TEST_JARS")
    conf = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": f"file://{events}",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.sql.shuffle.partitions": "8",
        **({"spark.jars": jars} if jars else {}),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("SLUICE_CATALOG_URI", catalog)
        patch.setenv("SLUICE_SPARK_MASTER", master)
        patch.setenv("SLUICE_SPARK_PACKAGES", "" if jars else PACKAGES)
        patch.setenv("SLUICE_SPARK_CONF", json.dumps(conf))
        settings.cache_clear()
        flights, landed = spec.load("flights"), {}
        for day in DAYS:
            for name in feed.deliver(flights, day):
                landed.setdefault(name.split("/")[0], set()).add(day)
        for source, days in landed.items():
            staged = crossing.stage(flights, source, sorted(days), Run(run_id="test"))
            tables.publish(staged, verdict_id="unjudged")
        yield flights.model_copy(update={"engine": "spark"})
    settings.cache_clear()
