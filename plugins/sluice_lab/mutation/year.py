"""The clean year that every mutation starts from: all days of all sources, and what is made of them, published once.

A gate reads only days before its batch, and a model only days that it may know, so that one warehouse with the whole
year in it serves every day as the history that it would have had. Its raw rows are the feed's, published without a
gate: whether the gates let clean rows pass is what the clean draws ask, and must not be assumed here. It is kept under
the fingerprint of what its rows depend on; the suites are not among that.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sluice import crossing, ledger
from sluice.core import identity
from sluice.core.errors import StackError
from sluice.core.partitions import date_of, day_of, days_between
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.declare.spec import Pipeline
from sluice.lake import batches, tables
from sluice_lab.feed import data
from sluice_lab.fingerprint import of_project

if TYPE_CHECKING:
    import pyarrow as pa

PIPELINE = "flights"
# The source has no weather for 31 December.
FIRST, LAST = day_of(data.FIRST), "2013-12-30"
# The catalog says which files are the tables, and the ledger what was decided: files are only ever added.
_POINTERS = ("catalog.db", "ledger.db")
# Whose work it is: DAG and run.
RUN = ("mutation", "mutation_run")
# In the place of a verdict.
UNJUDGED = "unjudged"
_MARK = "year.json"
# What is not of one year, and stays.
_KEPT = (identity.FILE, "feed-cache")


def ensure(say: Callable[[str], None], *, first: str = FIRST, last: str = LAST, derived: bool = True) -> None:
    """Make the clean year in this process's home, unless it is there already.

    Args:
        first, last: run days (YYYY-MM-DD) to build.
        derived: build features and outcomes too; without them only raw tables can be compared.

    Raises:
        StackError: the home holds something else.
    """
    mark = settings().home / _MARK
    wanted = {"fingerprint": of_project(suites=False), "first": first, "last": last, "derived": derived}
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")) == wanted:
        _rewind()
        return
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    strange = sorted({path.name for path in home.iterdir()} - set(_KEPT))
    if strange and not mark.exists():
        raise StackError(
            f"The folder for the clean year holds something else: {', '.join(strange[:3])}.",
            where=str(home),
            allowed="an empty folder, or one that an earlier mutation run made",
            todo="remove it, or choose another SLUICE_HOME",
        )
    _clear()
    mark.write_text("{}", encoding="utf-8")  # ours, but not complete
    flights = spec.load(PIPELINE)
    for source in flights.sources:
        say(f"building the clean year: {source}")
        _publish(flights, source, days_between(first, last))
    # Every day is judged as on its own morning: none of them is over, so that no prediction is made late.
    pipeline_clock.advance(flights, date_of(first))
    for table in flights.derived if derived else ():
        say(f"building the clean year: {table}")
        _derive(flights, table, days_between(first, last))
    ledger.entries(limit=1)  # makes an empty one
    keep()
    mark.write_text(json.dumps(wanted), encoding="utf-8")


def keep() -> None:
    """Make what is published and decided now a part of the clean year."""
    for name in _POINTERS:
        shutil.copy2(settings().home / name, settings().home / f"{name}.clean")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever is staged, judged and published inside leaves the clean year as it was."""
    try:
        yield
    finally:
        _rewind()


def _rewind() -> None:
    for name in _POINTERS:
        shutil.copy2(settings().home / f"{name}.clean", settings().home / name)


def _clear() -> None:
    for path in settings().home.iterdir():
        if path.name in _KEPT:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _publish(flights: Pipeline, source: str, days: list[str]) -> None:
    """Publish the clean rows of a source, as a batch for all of its days."""
    import pyarrow as pa

    weekly = flights.sources[source].cadence == "weekly"
    delivered = [day for day in days if not weekly or day == days[0] or date_of(day).weekday() == 0]
    parts = []
    for day in delivered:
        rows = data.rows(source, date_of(day))
        dated = rows.append_column("ds", pa.repeat(pa.scalar(date_of(day)), rows.num_rows))
        parts.append(dated.append_column("delivery_id", pa.repeat("c1ea", rows.num_rows)))
    publish_unjudged(flights, source, pa.concat_tables(parts), delivered, flights.sources[source].key)


def publish_unjudged(
    flights: Pipeline, table: str, rows: pa.Table, days: Sequence[str], key: Sequence[str]
) -> None:
    """Show rows of some days to readers without asking a gate."""
    manifest = batches.stage(
        flights.pipeline,
        table,
        rows,
        partitions=days,
        received=rows.num_rows,
        dropped={},
        inputs=[],
        run=Run.of_task(*RUN, table),
        sort_by=key,
    )
    tables.publish(manifest, verdict_id=UNJUDGED)


def _derive(flights: Pipeline, table: str, days: list[str]) -> None:
    lag = flights.lag_days(table)
    manifest = crossing.stage(flights, table, days[lag:], Run.of_task(*RUN, table))
    tables.publish(manifest, verdict_id=UNJUDGED)
