"""A process that has imported everything and forks a child for every job: real processes that can really be killed.

Airflow's LocalExecutor starts its tasks in the same way. It is a program of its own, so that it forks before any
thread exists: a child that is forked while another thread holds a lock can wait for that lock for ever.

Requests and answers are JSON, a line each. `{"op": "start", "jobs": [...]}` starts jobs at the same moment,
`{"op": "wait", "pids": [...]}` answers how each ended: its signal, and what it returned or raised; and
`{"op": "import", "names": [...]}` makes modules free for all jobs that follow.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

# OpenBLAS and OpenMP start their threads when they are imported.
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

sys.path.insert(0, str(Path(__file__).parents[2]))

# What the jobs need; more is imported when a test asks for it.
MODULES = (
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pyarrow.csv",
    "duckdb",
    "duckdb_engine",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "great_expectations",
    "great_expectations.expectations.core",
    "sluice.gates",
    "sluice.holds",
    "sluice.ingest.stage",
    "tests.proof.jobs",
)
# As in sluice.orchestration.preload.
DERIVED = (
    "dbt.cli.main",
    "dbt.adapters.duckdb.connections",
    "dbt.task.build",
    "dbt.runners",
    "sluice.transform.stage",
)
PREDICTED = (
    "mlflow.tracking",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "sluice.models.scoring",
)


def main() -> None:
    _import(MODULES)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints is no answer
    answers.write(json.dumps({"threads": _threads()}) + "\n")
    pipes: dict[int, int] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "start":
            started = _start(request["jobs"])
            pipes |= started
            answers.write(json.dumps(list(started)) + "\n")
        elif request["op"] == "import":
            _import(request["names"])
            answers.write(json.dumps(_threads()) + "\n")
        else:
            answers.write(json.dumps([_ended(pid, pipes.pop(pid)) for pid in request["pids"]]) + "\n")


def _import(names: Iterable[str]) -> None:
    for name in names:
        import_module(name)


def _threads() -> list[str]:
    """Names of the threads besides this one; jemalloc's own takes care of forks itself."""
    tasks = Path("/proc/self/task")
    found = [
        path.joinpath("comm").read_text().strip() for path in tasks.iterdir() if path.name != str(os.getpid())
    ]
    return [name for name in found if name != "jemalloc_bg_thd"]


def _start(jobs: list[dict[str, Any]]) -> dict[int, int]:
    """Fork a child a job; none begins before all are there."""
    gate_read, gate_write = os.pipe()
    started = {}
    for job in jobs:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(gate_write)
            os.close(read)
            os.read(gate_read, 1)  # ends when the parent closes its side
            _child(job, write)
        os.close(write)
        started[pid] = read
    os.close(gate_read)
    os.close(gate_write)
    return started


def _child(job: dict[str, Any], write: int) -> None:
    from sluice.core.settings import settings

    code = 1
    try:
        os.environ |= job["env"]
        settings.cache_clear()
        # The parent's answers are not the child's to read or write.
        sys.stdin.close()
        answer: dict[str, Any] = {
            "returned": getattr(import_module("tests.proof.jobs"), job["job"])(**job["given"])
        }
        code = 0
    except BaseException as error:  # noqa: BLE001 - the test judges it
        from sluice.core.errors import RetryableError, SluiceError

        answer = {
            "raised": type(error).__name__,
            "said": str(error),
            "final": isinstance(error, SluiceError) and not isinstance(error, RetryableError),
            "retryable": isinstance(error, RetryableError),
            "trace": "".join(traceback.format_exception(error)),
        }
    finally:
        with os.fdopen(write, "w") as pipe:
            pipe.write(json.dumps(answer))
        os._exit(code)


def _ended(pid: int, read: int) -> dict[str, Any]:
    with os.fdopen(read) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    return {"signal": signal, **(json.loads(said) if said else {})}


if __name__ == "__main__":
    main()
