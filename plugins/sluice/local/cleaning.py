"""Delete what Airflow keeps of runs that began long ago, once a day, so that the disk of a local stack stops growing.

The rule kept here: a run stays for as long as something that it found may be held, since a replay runs it again. Airflow's
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

from sluice.core import clock
from sluice.core.settings import settings
from sluice.declare.spec import load_all

# Days beyond the longest `hold_days` of any pipeline, for who looks up a run after its hold has ended.
SPARE_DAYS = 30
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


def keep_days() -> int:
    """For how many days a run is kept."""
    return max((spec.hold_days for spec in load_all()), default=0) + SPARE_DAYS


@click.command()
def main() -> None:
    """Clean some minutes after the start and then each day, until it is stopped."""
    wait = _FIRST
    while True:
        time.sleep(wait)  # until the next cleaning is due; nothing is waited for
        before = clock.system_now() - timedelta(days=keep_days())
        logs = clean(settings().home / "airflow" / "logs", before)
        click.echo(f"Deleted what is older than {before:%Y-%m-%d}: records of runs, and {logs} logs.")
        wait = _NEXT


if __name__ == "__main__":
    main()
