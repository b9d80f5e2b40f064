"""The local stack: Airflow's four components and the mail sink, as processes of this machine.

All of it lives under SLUICE_HOME: configuration, database, logs, process ids. A process is only ever signalled if its
id and its start time are the ones that were recorded when it was started.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from sluice import private
from sluice.errors import StackError
from sluice.local.api import AirflowApi
from sluice.settings import ROOT, settings

# Airflow's own server of running tasks' logs, one for all and on the loopback address: what `airflow scheduler` and
# `airflow triggerer` start listens on every address of the machine.
LOG_SERVER = "log-server"
COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server", LOG_SERVER)
MAIL_SINK = "mail-sink"
# Slots of the pool that memory-hungry tasks share; see sluice.orchestration.stages.HEAVY_POOL.
POOLS = {"sluice_heavy": 2}

# The connection that the key of pseudonyms is the password of.
PSEUDONYM_KEY = "AIRFLOW_CONN_SLUICE_PSEUDONYM"

# Airflow writes its configuration, with keys in it, and task logs as the umask lets it.
_UMASK = 0o077


def environment() -> dict[str, str]:
    """Environment of every process of the stack. Values that are set already win, so that a user can override."""
    s = settings()
    keys = _secrets()
    url = f"http://127.0.0.1:{s.api_port}"
    defaults = {
        "AIRFLOW_HOME": str(s.home.resolve() / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # Two cores: more slots only make tasks wait for each other.
        "AIRFLOW__CORE__PARALLELISM": "3",
        # A finished task's process can close its sockets just before it can be waited for; Airflow then looks again
        # only after this interval, and the worker's slot idles. The default of 5 s cost a quarter of all tasks 5 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file()),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{s.home.resolve()}/airflow/airflow.db",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(s.api_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(s.home.resolve() / "airflow" / "logs"),
        # Beside the UI's port, so that two stacks on one machine do not meet.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(s.api_port + 1),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(s.api_port + 1),
        # Where the log server is asked for the log of a task.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "sluice.local.loopback",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(
            {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": s.smtp_port,
                "extra": {"disable_ssl": True, "disable_tls": True, "from_email": s.mail_from},
            }
        ),
        PSEUDONYM_KEY: json.dumps({"conn_type": "generic", "password": keys["pseudonym"]}),
        "SLUICE_HOME": str(s.home.resolve()),
        "SLUICE_UI_URL": url,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "DO_NOT_TRACK": "1",
        # A forked task on macOS must not ask the system for proxies.
        "no_proxy": "127.0.0.1,localhost",
    }
    return {**defaults, **os.environ, "PATH": defaults["PATH"]}


def apart(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment of another installation on this machine: nothing of this one's Sluice or Airflow, and `variables`."""
    kept = {name: value for name, value in os.environ.items() if not re.match("SLUICE_|_?AIRFLOW", name)}
    return {**kept, **variables}


def lend_pseudonym_key() -> None:
    """Give this process the local stack's key of pseudonyms, where its environment names no other."""
    os.environ.setdefault(PSEUDONYM_KEY, environment()[PSEUDONYM_KEY])


def up(say: Callable[[str], None] = print) -> None:
    """Start what is not running and wait until the UI answers and every DAG is there.

    Raises:
        StackError: a port is taken, a process ended, or the stack is not ready in time; names the log to read.
    """
    s = settings()
    for folder in ("airflow/logs", "logs", "run", "mail", "reports", "work"):
        (s.home / folder).mkdir(parents=True, exist_ok=True)
    if not any(running(name) for name in (*COMPONENTS, MAIL_SINK)):
        _require_free(s.api_port, "SLUICE_API_PORT")
        _require_free(s.api_port + 1, "SLUICE_API_PORT")
        _require_free(s.smtp_port, "SLUICE_SMTP_PORT")
    say("Preparing the databases")
    _prepare()
    say("Starting the mail sink and Airflow")
    start_mail_sink()
    for component in COMPONENTS:
        start(component)
    api = client()
    say("Waiting for Airflow")
    _wait(api.unhealthy, seconds=240)
    _wait(api.missing_dags, seconds=240)
    for name, slots in POOLS.items():
        api.ensure_pool(name, slots)


def start_mail_sink() -> None:
    """Start the mail sink alone, unless it runs."""
    s = settings()
    command = [
        sys.executable,
        "-m",
        "sluice.notices.sink",
        "--port",
        str(s.smtp_port),
        "--folder",
        str(s.mail),
    ]
    _start(MAIL_SINK, command)


def down(say: Callable[[str], None] = print) -> None:
    """Stop every process of the stack, and nothing else."""
    found = stop(*COMPONENTS, MAIL_SINK)
    say(f"Stopped {', '.join(found)}" if found else "Nothing was running")


def start(component: str, **variables: str) -> None:
    """Start one of Airflow's components, if it is not running, with `variables` in its environment.

    It returns before it is healthy.
    """
    _start(component, _command(component), **variables)


def _command(component: str) -> list[str]:
    if component == LOG_SERVER:
        app = "airflow.utils.serve_logs.log_server:get_app"
        where = ["--host", "127.0.0.1", "--port", str(settings().api_port + 1), "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", "--factory", app, *where]
    quiet = ["--skip-serve-logs"] if component in ("scheduler", "triggerer") else []
    return [str(Path(sys.executable).parent / "airflow"), component, *quiet]


def stop(*names: str) -> list[str]:
    """Stop some processes of the stack; returns the names of those that were running."""
    found = {name: process for name in names if (process := running(name))}
    families = [
        member for process in found.values() for member in (process, *process.children(recursive=True))
    ]
    for process in found.values():
        process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(families, timeout=30)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=10)
    for name in names:
        _pid_file(name).unlink(missing_ok=True)
    return list(found)


def running(name: str) -> psutil.Process | None:
    """The recorded process of a component, if it is alive and still the one that was started."""
    try:
        recorded = json.loads(_pid_file(name).read_text())
        process = psutil.Process(recorded["pid"])
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    same = abs(process.create_time() - recorded["started"]) < 1
    return process if same and process.status() != psutil.STATUS_ZOMBIE else None


def client() -> AirflowApi:
    """A REST client logged in to the local Airflow."""
    return AirflowApi(f"http://127.0.0.1:{settings().api_port}", *login())


def login() -> tuple[str, str]:
    """User and password of the local Airflow UI, made up when the stack is first started."""
    path = _passwords_file()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        private.write(path, json.dumps({"admin": secrets.token_urlsafe(12)}))
    return "admin", json.loads(path.read_text())["admin"]


def airflow(*arguments: str) -> int:
    """Run Airflow's own command line against the local stack; returns its exit code."""
    executable = Path(sys.executable).parent / "airflow"
    return subprocess.run(
        [str(executable), *arguments], env=environment(), check=False, umask=_UMASK
    ).returncode


def _prepare() -> None:
    """Create or migrate Airflow's database and MLflow's, side by side: each takes seconds."""
    login()
    s = settings()
    log = s.home / "logs" / "prepare.log"
    with log.open("ab") as out:
        jobs = [
            subprocess.Popen(command, env=environment(), stdout=out, stderr=out, umask=_UMASK)
            for command in (
                [str(Path(sys.executable).parent / "airflow"), "db", "migrate"],
                [sys.executable, "-m", "sluice.modelling.prepare"],
            )
        ]
        if sum(job.wait() for job in jobs):
            raise StackError(
                "A database could not be prepared.", where=str(log), todo="read the end of that log"
            )


def _start(name: str, command: list[str], **variables: str) -> None:
    if running(name):
        return
    log = settings().home / "logs" / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=settings().home,
            umask=_UMASK,
        )
    record = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
    _pid_file(name).write_text(json.dumps(record))


def _wait(missing: Callable[[], list[str]], *, seconds: float) -> None:
    """Poll until nothing is missing, giving up early if a component has ended."""
    deadline = time.monotonic() + seconds
    while left := missing():
        ended = [name for name in (*COMPONENTS, MAIL_SINK) if not running(name)]
        if ended or time.monotonic() > deadline:
            log = settings().home / "logs" / f"{(ended or ['scheduler'])[0]}.log"
            raise StackError(
                f"{', '.join(ended)} ended."
                if ended
                else f"Not ready after {seconds:.0f} s: {', '.join(left)}.",
                where=str(log),
                todo="read the end of that log, then `sluice down` and start again",
            )
        time.sleep(0.3)  # how often to ask; what is waited for is the answer


def _require_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"Port {port} is taken by another program.",
                where=variable,
                allowed="a free port; after SLUICE_API_PORT the next one is the log server's",
                todo=f"set {variable} to a free port and start again",
            ) from error


def _pid_file(name: str) -> Path:
    return settings().home / "run" / f"{name}.json"


def _passwords_file() -> Path:
    return settings().home.resolve() / "airflow" / "passwords.json"


def _secrets() -> dict[str, str]:
    """Keys of this installation, made up once and kept under the home folder."""
    path = settings().home / "airflow" / "keys.json"
    keys = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in ("fernet", "jwt", "api", "pseudonym") if name not in keys]
    if missing:
        from cryptography.fernet import Fernet

        made = {name: secrets.token_urlsafe(48) for name in missing}
        if "fernet" in made:
            made["fernet"] = Fernet.generate_key().decode()
        keys |= made
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: a lost key of pseudonyms cannot be made again.
        private.write(path, json.dumps(keys))
    return keys
