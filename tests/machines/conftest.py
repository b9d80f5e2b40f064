"""Sluice on several machines, as far as one machine can show it: PostgreSQL, an S3 server, Redis, and two Celery workers that share no
folder with each other or with the other components."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import boto3
import httpx
import psutil
import pytest
from moto.server import ThreadedMotoServer

from sluice.core.settings import settings
from sluice.local import stack as local_stack
from sluice.local.api import AirflowApi
from sluice_lab.rehearsal.bench import free_ports
from tests.proof.postgres import Postgres, binaries

BUCKET = "sluice"
DATABASES = ("airflow", "catalog", "ledger", "mlflow")
# Seconds in which a program has to end when it is asked to.
_PATIENCE = 60


@dataclass
class Worker:
    """A Celery worker with a home of its own."""

    name: str
    home: Path
    process: subprocess.Popen

    def ran(self) -> set[str]:
        """Names of the tasks that it has run: their logs are in its home."""
        logs = (self.home / "airflow" / "logs").glob("dag_id=*/run_id=*/task_id=*")
        return {path.name.removeprefix("task_id=") for path in logs}

    def written(self) -> set[str]:
        """Folders of its home that hold files."""
        return {path.relative_to(self.home).parts[0] for path in self.home.rglob("*") if path.is_file()}


@dataclass
class Installation:
    """All of it, as an operator sees it."""

    api: AirflowApi
    base: Path
    cleanup: ExitStack
    workers: list[Worker]

    def start(self, name: str, **variables: str) -> Worker:
        """Start a worker; all that it has of the other components is their environment, which holds their keys."""
        home = self.base / name
        home.mkdir()
        environment = local_stack.environment() | {
            "SLUICE_HOME": str(home),
            "AIRFLOW_HOME": str(home / "airflow"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "airflow" / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_ports(1)),
            **variables,
        }
        command = [sys.executable, "-m", "airflow", "celery", "worker", "--concurrency", "1"]
        log = self.cleanup.enter_context((home / "worker.log").open("w"))
        process = subprocess.Popen(
            [*command, "--celery-hostname", f"{name}@%h"],
            env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        self.cleanup.callback(_end, process)
        self.workers.append(Worker(name, home, process))
        return self.workers[-1]

    def stop(self, worker: Worker) -> None:
        """Let a worker end what it does, and end."""
        self.workers.remove(worker)
        _end(worker.process)

    def kill(self, worker: Worker) -> None:
        """End a worker and all that it has started, at once."""
        self.workers.remove(worker)
        started = [
            worker.process.pid,
            *(child.pid for child in psutil.Process(worker.process.pid).children(recursive=True)),
        ]
        for pid in started:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        worker.process.wait(_PATIENCE)

    def mails(self) -> list[EmailMessage]:
        """The mails that the sink has taken, oldest first."""
        paths = sorted(settings().mail.glob("*.eml"), key=lambda path: path.stat().st_mtime)
        return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in paths]  # type: ignore[misc]

    def succeed(self, dag_id: str, **trigger) -> dict:
        """Trigger a DAG and wait for its success; shows the end of the failed tasks' logs where it does not come."""
        run = self.api.trigger(dag_id, **trigger)
        state = self.api.wait_for_run(dag_id, run["dag_run_id"], seconds=900)
        assert state == "success", self.api.failures(dag_id, run["dag_run_id"])
        return run

    def get(self, path: str) -> httpx.Response:
        """A page of the API server, as somebody who is logged in."""
        user, password = local_stack.login()
        token = httpx.post(
            f"{self.api.url}/auth/token", json={"username": user, "password": password}, timeout=60
        ).json()["access_token"]
        return httpx.get(f"{self.api.url}{path}", cookies={"_token": token}, timeout=60, trust_env=False)


@pytest.fixture(scope="package")
def installation(tmp_path_factory) -> Iterator[Installation]:
    missing = [
        name
        for name, found in (("PostgreSQL", binaries()), ("redis-server", shutil.which("redis-server")))
        if not found
    ]
    if missing:
        pytest.skip(f"NOT TESTED: several machines, because {' and '.join(missing)} is not installed")
    base = tmp_path_factory.mktemp("machines")
    with ExitStack() as cleanup:
        server = Postgres(binaries())
        cleanup.callback(server.close)
        for name in DATABASES:
            server.do(f"create database {name}")
        redis_port = free_ports(1)
        redis = subprocess.Popen(
            [shutil.which("redis-server"), "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""],
            cwd=base,
            stdout=subprocess.DEVNULL,
        )
        cleanup.callback(_end, redis)
        s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        s3.start()
        cleanup.callback(s3.stop)
        host, port = s3.get_host_and_port()
        patch = cleanup.enter_context(pytest.MonkeyPatch.context())
        for name, value in {
            "SLUICE_HOME": str(base / "head"),
            "SLUICE_CATALOG_URI": server.url("catalog"),
            "SLUICE_LEDGER_URI": server.url("ledger"),
            "SLUICE_MLFLOW_URI": server.url("mlflow"),
            "SLUICE_WAREHOUSE": f"s3://{BUCKET}/lake",
            "SLUICE_EVIDENCE": f"s3://{BUCKET}/evidence",
            "SLUICE_MODELS": f"s3://{BUCKET}/models",
            "SLUICE_LANDING": f"s3://{BUCKET}/landing",
            "SLUICE_API_PORT": str(free_ports(2)),
            "SLUICE_SMTP_PORT": str(free_ports(1)),
            "SLUICE_RETRY_SECONDS": "1",
            # Seconds after which a task of a worker that was killed is given to another.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.url("airflow"),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{server.url('airflow')}",
            "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        cleanup.callback(settings.cache_clear)
        settings.cache_clear()
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        cleanup.callback(local_stack.down)
        local_stack.up()
        found = Installation(local_stack.client(), base, cleanup, [])
        for name in ("one", "two"):
            found.start(name)
        yield found


def _end(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
