"""What day and time it is for a pipeline.

A live pipeline goes by the wall clock of its time zone. A replayed one goes by its feed: today is the latest day
that was delivered, so that freshness and deadlines mean on the replay what they would have meant at the time. It is kept in the
ledger's database, so that all machines that share one go by the same day.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Column, MetaData, String, Table, func, select, text

from sluice.core import clock, databases
from sluice.core.errors import DeliveryMissingError
from sluice.core.partitions import date_of, day_of
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline

_CLOCKS = Table(
    "sluice_feed_clocks",
    MetaData(),
    Column("pipeline", String(128), primary_key=True),
    Column("today", String(10), nullable=False),
)
# One statement, which SQLite and PostgreSQL both know: of two processes none can turn it back.
_ADVANCE = text(
    "INSERT INTO sluice_feed_clocks (pipeline, today) VALUES (:pipeline, :today) "
    "ON CONFLICT (pipeline) DO UPDATE SET today = excluded.today "
    "WHERE sluice_feed_clocks.today < excluded.today"
)


def today(spec: Pipeline) -> date:
    """The current day of a pipeline.

    Raises:
        DeliveryMissingError: the clock is the feed's, and the feed has not delivered anything yet.
    """
    if spec.clock == "wall":
        return clock.utc_now().astimezone(ZoneInfo(spec.timezone)).date()
    day = _read(spec)
    if day is None:
        raise DeliveryMissingError(
            f"The clock of {spec.pipeline!r} is its feed's, and the feed has not delivered a day yet.",
            where="the feed's clock, in the ledger's database",
            allowed="at least one delivered day, or `clock: wall`",
            todo="deliver a day with `sluice land`, or of the default pipeline with `sluice feed`",
        )
    return day


def now(spec: Pipeline) -> datetime:
    """The present instant of a pipeline, in its time zone; by the feed's clock, the end of its latest day.

    Raises:
        DeliveryMissingError: as `today`.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "wall":
        return clock.utc_now().astimezone(zone)
    return datetime.combine(today(spec), time.max, zone)


def scoring_deadline(spec: Pipeline, day: date) -> datetime:
    """The last instant at which the predictions of a day are made in time.

    `model.deadline` of the day; its end, where none is declared, and for a replayed pipeline, whose clock knows only days.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "wall" and spec.model.deadline:
        return clock.deadline(day, spec.model.deadline, zone)
    return clock.deadline(day, time.max.isoformat(), zone)


def is_late(spec: Pipeline, day: date) -> bool | None:
    """Whether predictions of a day that are made now are made after their time.

    None where that is not known: the clock is the feed's, and the feed has not delivered anything yet.
    """
    try:
        present = now(spec)
    except DeliveryMissingError:
        return None
    return present.astimezone(UTC) > scoring_deadline(spec, day).astimezone(UTC)


def advance(spec: Pipeline, day: date) -> None:
    """Move a feed's clock to a day that it delivered; a correction of an earlier day does not turn it back.

    Raises:
        DatabaseUnavailableError: the ledger's database is locked for too long, or does not answer.
    """
    url = settings().ledger_url
    with databases.answering(url, "feed's clock"), databases.engine(url).begin() as connection:
        if connection.dialect.name == "postgresql":
            # Of two processes that make the table one would fail.
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(_CLOCKS.name))))
        _CLOCKS.create(connection, checkfirst=True)
        connection.execute(_ADVANCE, {"pipeline": spec.pipeline, "today": day_of(day)})


def has_file(spec: Pipeline) -> bool:
    """Whether there is a clock that an earlier version kept in a file of the home."""
    return _file(spec).is_file()


def import_file(spec: Pipeline) -> None:
    """Take over the clock that an earlier version kept in a file of the home."""
    advance(spec, date_of(json.loads(_file(spec).read_text(encoding="utf-8"))["today"]))
    _file(spec).unlink()


def _file(spec: Pipeline) -> Path:
    return settings().home / "clock" / f"{spec.pipeline}.json"


def _read(spec: Pipeline) -> date | None:
    url = settings().ledger_url
    engine = databases.engine(url)
    with (
        databases.answering(url, "feed's clock"),
        engine.connect().execution_options(sluice_reads=True) as connection,
    ):
        if not engine.dialect.has_table(connection, _CLOCKS.name):
            return None
        day = connection.scalar(select(_CLOCKS.c.today).where(_CLOCKS.c.pipeline == spec.pipeline))
        return date_of(day) if day else None
