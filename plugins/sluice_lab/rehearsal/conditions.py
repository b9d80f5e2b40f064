"""Real conditions that a scenario can put its Airflow under: a scheduler that is off, a task that is killed, a database
that somebody else has locked.

The rule kept here: what is killed is a process that this rehearsal's scheduler started, found by its id, never by name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from sluice.core import retry
from sluice.core.errors import StackError
from sluice.core.settings import settings
from sluice.local import stack

if TYPE_CHECKING:
    from sluice_lab.rehearsal.world import World

# Seconds within which the stack must get where it is waited for.
_PATIENCE = 240


def stop_scheduler(world: World) -> None:
    """As a machine that is switched off: nothing is started any more."""
    stack.stop("scheduler")
    world.say("the scheduler is off")


def start_scheduler(world: World, *, failpoint: str = "") -> None:
    """Start the scheduler and wait until it reports to be healthy.

    Args:
        failpoint: what its tasks do at a named place; see `sluice.core.failpoints`.
    """
    stack.start("scheduler", SLUICE_FAILPOINT=failpoint)
    until(lambda: not world.api.unhealthy(), "Airflow is not healthy")
    world.say(f"the scheduler is on{f', its tasks armed with {failpoint}' if failpoint else ''}")


def restart_scheduler(world: World, *, failpoint: str = "") -> None:
    stop_scheduler(world)
    start_scheduler(world, failpoint=failpoint)


def running(world: World, dag_id: str, run_id: str, prefix: str) -> list[dict[str, Any]]:
    """Task instances of a run that run now, whose name, without its group, begins with `prefix`."""
    found = world.api.tasks(dag_id, run_id)
    return [
        task
        for task in found
        if task["state"] == "running" and task["task_id"].rsplit(".", 1)[-1].startswith(prefix)
    ]


def kill(world: World, task: dict[str, Any]) -> None:
    """SIGKILL the process of a running task instance, and wait until it is gone.

    Raises:
        StackError: its process is none of this rehearsal's scheduler.
    """
    scheduler = stack.running("scheduler")
    family = {child.pid: child for child in scheduler.children(recursive=True)} if scheduler else {}
    if task["pid"] not in family:
        raise StackError(
            f"Process {task['pid']} of task {task['task_id']} is not one of the scheduler's.",
            allowed=", ".join(map(str, family)) or "none is running",
            todo="correct the scenario: the task must be running when it is killed",
        )
    family[task["pid"]].kill()
    until(lambda: not psutil.pid_exists(task["pid"]) or _is_zombie(task["pid"]), "the process lives on")
    world.say(f"{task['task_id']} is killed, process {task['pid']}")


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Somebody else writes to an SQLite database meanwhile, and lets nobody else read or write."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=_PATIENCE)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def gate(name: str) -> Iterator[Path]:
    """A file that tasks wait for at a failpoint: `wait:<path>`. `<path>.reached` is there when one waits."""
    path = settings().home / "run" / name
    reached = path.with_name(f"{name}.reached")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        reached.unlink(missing_ok=True)


def until(condition: Callable[[], Any], otherwise: str, *, seconds: float = _PATIENCE) -> Any:
    """Wait until something is so, and return what it is.

    Raises:
        StackError: it is not so in time.
    """
    return retry.until(
        lambda: condition() or None,
        seconds=seconds,
        otherwise=lambda: StackError(
            f"After {seconds:.0f} s {otherwise}.", todo="look at the rehearsal's Airflow: use --keep"
        ),
    )


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def damage_models(world: World) -> None:
    """Overwrite the file of every registered model, as a disk that fails could."""
    from sluice_ml.artifacts import CONTENT

    found = [path for path in (world.home / "models").rglob("*") if path.name in CONTENT.values()]
    for path in found:
        path.write_bytes(b"damaged")
    world.say(f"{len(found)} model files are damaged")
