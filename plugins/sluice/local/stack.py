"""The local stack: Airflow's four components, the mail sink and the daily cleaning, as processes of this machine.

All of it lives under SLUICE_HOME: configuration, database, logs, process ids. What is to run is declared here, and a
supervisor of its own (`sluice.local.supervisor`) starts it, restarts it and ends it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import psutil

from sluice.core import retry
from sluice.core.errors import StackError
from sluice.core.settings import ROOT, settings
from sluice.local import sessions, supervisor
from sluice.local.api import AirflowApi
from sluice.local.keys import login, passwords_file, secret_keys

# Airflow's own server of running tasks' logs, one for all and on the loopback address: what `airflow scheduler` and
# `airflow triggerer` start listens on every address of the machine.
LOG_SERVER = "log-server"
COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server", LOG_SERVER)
MAIL_SINK = "mail-sink"
CLEANING = "cleaning"
PROGRAMS = (*COMPONENTS, MAIL_SINK, CLEANING)
# What is stopped first and last: a scheduler starts nothing new, then tasks that end can still say so and mail.
_RANKS = {"scheduler": 0, "api-server": 2, LOG_SERVER: 2, MAIL_SINK: 2}
# Slots of the pool that memory-hungry tasks share; see sluice.orchestration.stages.HEAVY_POOL.
POOLS = {"sluice_heavy": 2}

# The connection that the key of pseudonyms is the password of.
PSEUDONYM_KEY = "AIRFLOW_CONN_SLUICE_PSEUDONYM"

# Airflow writes its configuration, with keys in it, and task logs as the umask lets it.
_UMASK = 0o077


def environment() -> dict[str, str]:
    """Environment of every process of the stack. Values that are set already win, so that a user can override."""
    s = settings()
    keys = secret_keys()
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
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file()),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Seconds that who writes waits for who writes already: of the default, 5, a busy machine needs more, and Airflow answers 500 then.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{s.home.resolve()}/airflow/airflow.db?timeout=30",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(s.api_port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(s.home.resolve() / "airflow" / "logs"),
        # Beside the UI's port, so that two stacks do not meet; at the name below it is asked for the log of a task.
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(s.api_port + 1),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(s.api_port + 1),
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
        # Its components have working directories of their own.
        "SLUICE_PROJECT": str(ROOT),
        "SLUICE_UI_URL": url,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "DO_NOT_TRACK": "1",
        # A forked task on macOS must not ask the system for proxies.
        "no_proxy": "127.0.0.1,localhost",
    }
    return {**defaults, **os.environ, "PATH": defaults["PATH"]}


def use_environment() -> dict[str, str]:
    """Give this process the environment of the stack's processes; returns it."""
    os.environ.update(found := environment())
    return found


def apart(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment of another installation on this machine: nothing of this one's Sluice or Airflow, and `variables`."""
    kept = {name: value for name, value in os.environ.items() if not re.match("SLUICE_|_?AIRFLOW", name)}
    return {**kept, **variables}


def lend_pseudonym_key() -> None:
    """Give this process the local stack's key of pseudonyms, where its environment names no other."""
    os.environ.setdefault(PSEUDONYM_KEY, environment()[PSEUDONYM_KEY])


def up(say: Callable[[str], None] = print) -> None:
    """Start what is not running, under a supervisor, and wait until the UI answers and every DAG is there.

    Raises:
        StackError: a port is taken, a component does not stay up, or the stack is not ready in time; names the log to read.
    """
    _declare(say)
    _supervise()
    _be_ready(say)


def run(say: Callable[[str], None], ready: Callable[[], None]) -> bool:
    """Be the supervisor until SIGTERM or SIGINT, and end everything then; `ready` is called once when the stack is.

    Returns: whether it was stopped by a signal; False where the stack was not ready in time, or a component does not stay up.
    """
    _declare(say)
    stopped = threading.Event()
    problems: list[StackError] = []

    def wait() -> None:
        try:
            _be_ready(say)
            ready()
        except StackError as error:
            if not stopped.is_set():
                problems.append(error)
                say(str(error))
                stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    use_environment()
    os.umask(_UMASK)
    supervisor.log_to(settings().home / "logs")
    threading.Thread(target=wait, daemon=True).start()
    try:
        supervisor.Supervisor(_run_folder(), settings().home.resolve() / "logs").run(stopped)
    finally:
        sessions.request_stop(_run_folder())
    return not problems


def _declare(say: Callable[[str], None]) -> None:
    s = settings()
    for folder in ("airflow/logs", "logs", "run", "mail", "reports", "work"):
        (s.home / folder).mkdir(parents=True, exist_ok=True)
    if not any(running(name) for name in PROGRAMS):
        _require_free(s.api_port, "SLUICE_API_PORT")
        _require_free(s.api_port + 1, "SLUICE_API_PORT")
        _require_free(s.smtp_port, "SLUICE_SMTP_PORT")
    say("Preparing the databases")
    prepare()
    say("Starting the mail sink and Airflow")
    for name in PROGRAMS:
        _request_start(name)


def _be_ready(say: Callable[[str], None]) -> None:
    api = client()
    say("Waiting for Airflow")
    _wait(api.unhealthy, seconds=240)
    _wait(api.missing_dags, seconds=240)
    for name, slots in POOLS.items():
        api.ensure_pool(name, slots)


def start_mail_sink() -> None:
    """Start the mail sink alone, unless it runs."""
    start(MAIL_SINK)


def down(say: Callable[[str], None] = print) -> None:
    """Stop every process of the stack, and nothing else."""
    found = [name for name in PROGRAMS if running(name)]
    sessions.request_stop(_run_folder())
    record = sessions.record_of(_run_folder(), sessions.SUPERVISOR)
    if process := sessions.leader(record):
        process.terminate()
        # It ends three ranks of programs, one after the other, and forgets itself before it ends.
        _until(lambda: not sessions.leader(record), seconds=4 * sessions.PATIENCE, of=sessions.SUPERVISOR)
    found += [name for name in sessions.reap(_run_folder()) if name not in found]
    say(f"Stopped {', '.join(found)}" if found else "Nothing was running")


def start(component: str, **variables: str) -> None:
    """Start one component, if it is not running, with `variables` in its environment.

    It returns before it is healthy.
    """
    _request_start(component, **variables)
    _supervise()
    _until(lambda: running(component), seconds=60, of=component)


def stop(*names: str) -> list[str]:
    """Stop some processes of the stack; returns the names of those that were running."""
    found = [name for name in names if running(name)]
    sessions.request_stop(_run_folder(), names)
    if running(sessions.SUPERVISOR):
        _until(
            lambda: not any(sessions.record_of(_run_folder(), name) for name in names),
            seconds=2 * sessions.PATIENCE,
            of=", ".join(names),
        )
    else:
        sessions.end([sessions.record_of(_run_folder(), name) for name in names])
    return found


def running(name: str) -> psutil.Process | None:
    """The recorded process of a component, if it is alive and still the one that was started."""
    return sessions.leader(sessions.record_of(_run_folder(), name))


def failing() -> list[str]:
    """The components that died again and again, and are not running."""
    stopped = [name for name in PROGRAMS if running(name) is None]
    return [name for name in stopped if sessions.record_of(_run_folder(), name).get("failed")]


def status() -> list[str]:
    """One line a component: since when it runs and with how much memory, its restarts, or that it was given up."""
    return [f"{name}: {_state(name)}" for name in PROGRAMS]


def _state(name: str) -> str:
    record = sessions.record_of(_run_folder(), name)
    restarts = f", restarted {record['restarts']} times" if record.get("restarts") else ""
    if sessions.leader(record) is None:
        if record.get("failed"):
            log = settings().home / "logs" / f"{name}.log"
            return f"FAILED, ended with {record['exit_code']} after each of {record['deaths']} starts; read the end of {log}"
        return f"not running{restarts}"
    since = datetime.fromtimestamp(record["started"]).astimezone()
    return f"running since {since:%Y-%m-%d %H:%M}, {sessions.memory(record) // 2**20} MB{restarts}"


def _command(name: str) -> list[str]:
    s = settings()
    if name == MAIL_SINK:
        where = ["--port", str(s.smtp_port), "--folder", str(s.mail.resolve())]
        return [sys.executable, "-m", "sluice.notify.sink", *where]
    if name == LOG_SERVER:
        app = "airflow.utils.serve_logs.log_server:get_app"
        where = ["--host", "127.0.0.1", "--port", str(s.api_port + 1), "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", "--factory", app, *where]
    if name == CLEANING:
        return [sys.executable, "-m", "sluice.local.cleaning"]
    quiet = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
    return [str(Path(sys.executable).parent / "airflow"), name, *quiet]


def _request_start(name: str, **variables: str) -> None:
    if running(name) and running(sessions.SUPERVISOR):
        return
    if name in failing():
        # What is wanted again has not failed yet.
        (_run_folder() / f"{name}.json").unlink()
    assigned = [f"{variable}={value}" for variable, value in variables.items()]
    sessions.request_start(
        _run_folder(),
        name,
        ["env", *assigned, *_command(name)],
        rank=_RANKS.get(name, 1),
        on_failure=[sys.executable, "-m", "sluice.local.failed", name],
    )


def _supervise() -> None:
    """Start the supervisor, unless one runs."""
    if running(sessions.SUPERVISOR):
        return
    logs = settings().home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "supervisor-crash.log").open("wb") as crash:
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sluice.local.supervisor",
                str(_run_folder()),
                "--logs",
                str(logs.resolve()),
            ],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=crash,
            stderr=crash,
            start_new_session=True,
            umask=_UMASK,
        )
    _until(lambda: running(sessions.SUPERVISOR), seconds=60, of=sessions.SUPERVISOR)


def _until(condition: Callable[[], Any], *, seconds: float, of: str) -> None:
    retry.until(
        condition,
        seconds=seconds,
        pause=0.1,
        otherwise=lambda: _failed(f"{of} did not start or stop within {seconds:.0f} s.", "supervisor"),
    )


def _failed(what: str, component: str) -> StackError:
    return StackError(
        what,
        where=str(settings().home / "logs" / f"{component}.log"),
        todo="read the end of that log, then `sluice down` and start again",
    )


def client() -> AirflowApi:
    """A REST client logged in to the local Airflow."""
    return AirflowApi(f"http://127.0.0.1:{settings().api_port}", *login())


def airflow(*arguments: str) -> NoReturn:
    """Become Airflow's own command line, against the local stack: signals reach it, and its exit code is this process's."""
    executable = str(Path(sys.executable).parent / "airflow")
    os.umask(_UMASK)
    os.execve(executable, [executable, *arguments], environment())  # noqa: S606 - no shell is wanted


def prepare() -> None:
    """Create or migrate Airflow's database and MLflow's, side by side: each takes seconds."""
    login()
    log = settings().home / "logs" / "prepare.log"
    with log.open("ab") as out:
        jobs = [
            subprocess.Popen(command, env=environment(), stdout=out, stderr=out, umask=_UMASK)
            for command in (
                [str(Path(sys.executable).parent / "airflow"), "db", "migrate"],
                [sys.executable, "-m", "sluice.models.prepare"],
            )
        ]
        if sum(job.wait() for job in jobs):
            end = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
            raise StackError(f"A database could not be prepared:\n{end}", where=str(log), todo="read its end")


def _wait(missing: Callable[[], list[str]], *, seconds: float) -> None:
    """Poll until nothing is missing, giving up early if the supervisor has ended, or a component does not stay up."""
    left: list[str] = []

    def ready() -> bool:
        left[:] = missing()
        if left:
            ended = failing() + ([] if running(sessions.SUPERVISOR) else [sessions.SUPERVISOR])
            if ended:
                raise _failed(f"{', '.join(ended)} does not stay up.", ended[0])
        return not left

    retry.until(
        ready,
        seconds=seconds,
        otherwise=lambda: _failed(f"Not ready after {seconds:.0f} s: {', '.join(left)}.", "scheduler"),
    )


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


def _run_folder() -> Path:
    return settings().home.resolve() / "run"
