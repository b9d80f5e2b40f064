"""Delete what Airflow keeps of runs that began long ago, once a day, so that the disk of a local stack stops growing.

The rule kept here: a run stays for as long as something that it found is held or released, since a replay runs it again. Airflow's
tasks have no access to its database, so this is a program of the stack beside Airflow's components. Sluice's own records
need none of it: decisions are in the ledger, evidence in the home.
"""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import click

from sluice import holds
from sluice.core import clock
from sluice.core.settings import settings
from sluice.declare.spec import broken_pipelines, load_all

# How long what nobody needs is kept for who looks it up: twice as long as what is held is kept by default (`hold_days`).
KEEP = timedelta(days=60)
_LONGEST_RUN = timedelta(days=8)
# Seconds from the start to the first cleaning, when the stack has come up, and from one to the next.
_FIRST, _NEXT = 600.0, 86_400.0


def clean(logs: Path, before: datetime) -> int:
    """Delete the records of runs that began before an instant, and the task logs under `logs` that were last written before it.

    Airflow keeps the newest scheduled run of each DAG, from which its schedule goes on.

    Returns: how many logs were deleted.
    Raises:
        CalledProcessError: Airflow could not clean its database; what it says is in this program's log.
    """
    command = ["db", "clean", "--clean-before-timestamp", before.isoformat(), "--skip-archive", "--yes"]
    subprocess.run([str(Path(sys.executable).parent / "airflow"), *command], check=True)
    old = [path for path in logs.rglob("*.log") if path.stat().st_mtime < before.timestamp()]
    for path in old:
        path.unlink()
        # The folders of its task and its run; that of its DAG stays, since a run may be about to begin in it.
        for folder in path.parents:
            if logs in (folder, folder.parent) or any(folder.iterdir()):
                break
            folder.rmdir()
    return len(old)


def keep_from() -> datetime | None:
    """The instant from which on everything is kept; None where a declaration is broken, so that it is not known what is held."""
    if broken_pipelines():
        return None
    held = (hold.since for spec in load_all() for hold in holds.open_holds(spec))
    released = (entry.at for spec in load_all() for entry in holds.active_waivers(spec).values())
    # The run of a hold began before it, by two hours at most (`dagrun_timeout`), or eight days where it waited for a delivery.
    return min([clock.system_now() - KEEP, *(at - _LONGEST_RUN for at in (*held, *released))])


@click.command()
def main() -> None:
    """Clean some minutes after the start and then each day, until it is stopped."""
    wait = _FIRST
    while True:
        time.sleep(wait)  # until the next cleaning is due; nothing is waited for
        if before := keep_from():
            logs = clean(settings().home / "airflow" / "logs", before)
            click.echo(f"Deleted what is older than {before:%Y-%m-%d}: records of runs, and {logs} logs.")
        else:
            click.echo("Nothing is deleted while the declaration of a pipeline is broken.")
        wait = _NEXT


if __name__ == "__main__":
    main()
