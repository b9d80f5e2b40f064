"""The healthy state that every rehearsal starts from: five weeks of history, a champion, yesterday's predictions.

It is built once, in this process and without Airflow, by the functions that the tasks call, and kept under the
fingerprint of everything that it depends on. Iceberg's metadata hold absolute paths, so the path of the rehearsal's
home is one of these: a state is only ever restored to the folder that it was built in.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from sluice.core import identity
from sluice.core.errors import StackError
from sluice.core.partitions import days_between
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice_lab import feed
from sluice_lab.fingerprint import of_project
from sluice_lab.rehearsal import without_airflow

PIPELINE = "flights"
# Run days: a full look-back of the features and a week more. It ends on a Monday, the day of the registers, so that the
# day that a scenario begins with has the three daily sources only.
HISTORY = ("2013-05-28", "2013-07-01")
# Whose work it is.
_RUN = Run.of_task("rehearsal", "healthy_state", "build")
# The folders that a home is given copies of, by their names there.
_DECLARED = {"pipelines": ROOT / "dags" / "pipelines", "expectations": ROOT / "expectations"}
# What the stack itself keeps in the same folder, and caches that are the same in every state.
KEPT = (identity.FILE, "airflow", "logs", "run", "feed-cache", "work")


def fingerprint() -> str:
    """Changes whenever the healthy state could: with what it is made by, or with its place.

    Of declarations those count that are copied, not the copies: these are missing at first, and a scenario may edit them.
    """
    made_by = of_project(pipelines=_DECLARED["pipelines"], expectations=_DECLARED["expectations"])
    return hashlib.sha256(f"{settings().home.resolve()}\0{made_by}".encode()).hexdigest()[:16]


def copy_declarations() -> None:
    """Give this home pipelines and suites of its own, which a scenario may edit."""
    for name, source in _DECLARED.items():
        shutil.copytree(source, settings().home / name, dirs_exist_ok=True)


def build(say: Callable[[str], None]) -> None:
    """Make the healthy state in this process's home, which holds only its declarations.

    Raises:
        StackError: the platform itself does not get that far on clean data: there is nothing to rehearse on.
    """
    first, last = HISTORY
    flights = spec.load(PIPELINE)
    say(f"Building the healthy state: {first} to {last} are delivered")
    feed.deliver_range(flights, first, last)
    days = days_between(first, last)
    without_airflow.ingest(flights, days, _RUN)
    say("Building the healthy state: features, outcomes, a first model")
    without_airflow.transform(flights, days, _RUN)
    decision = without_airflow.train(flights, last, _RUN)
    if not decision.promote:
        raise StackError(
            f"The first model of the healthy state was refused: {' '.join(decision.reasons)}",
            where=f"{flights.model.name}, {first} to {last}",
            todo="look at what changed in training or promotion",
        )
    without_airflow.score(flights, [last], _RUN)


def save(folder: Path) -> None:
    """Keep a copy of this home's state as `folder`; half a copy never has that name."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for path in _state():
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, part / path.name)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def restore(folder: Path) -> None:
    """Make this home's state that of `folder`. No task may be running: one would see half of each."""
    _clear()
    for path in folder.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, settings().home / path.name)
    # The mail sink holds this folder's name, not the folder.
    settings().mail.mkdir(exist_ok=True)


def empty() -> None:
    """Make this home one that nothing has happened in: declarations, and databases without rows. No task may be running."""
    from sluice.models.config import registry

    _clear(but=_DECLARED)
    settings().mail.mkdir(exist_ok=True)
    registry().init()


def _clear(but: Iterable[str] = ()) -> None:
    for path in _state():
        if path.name in but:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _state() -> list[Path]:
    home = settings().home
    return [path for path in home.iterdir() if path.name not in KEPT] if home.is_dir() else []
