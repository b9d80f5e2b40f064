"""Late, early, repeated, shuffled and corrected deliveries end in the same tables as a feed that was on time."""

from __future__ import annotations

import gzip
import hashlib
import random
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import crossing, ledger
from sluice.core.errors import DeliveryMissingError, InputAwaitedError, TableMissingError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ingest import deliveries
from sluice.ingest.completion import complete
from sluice.lake import tables
from sluice.lake.landing import Landing
from sluice_lab import feed

RUN = Run(dag_id="flights_ingest", run_id="test")
DAYS = ("2013-04-02", "2013-04-03")
# Which file a row came from, and which batch and run: these differ when the file does.
OWN = ("delivery_id",)


def _home(path: Path, feed_cache: Path, monkeypatch) -> spec.Pipeline:
    """A Sluice of its own under `path`."""
    path.mkdir(parents=True)
    (path / "feed-cache").symlink_to(feed_cache)
    monkeypatch.setenv("SLUICE_HOME", str(path))
    settings.cache_clear()
    return spec.load("flights")


@pytest.fixture
def new_home(tmp_path, feed_cache, monkeypatch):
    """Function: start afresh in another home."""
    yield lambda name: _home(tmp_path / name, feed_cache, monkeypatch)
    settings.cache_clear()


def _cross(flights: spec.Pipeline, table: str, day: str) -> None:
    manifest = crossing.stage(flights, table, [day], RUN)
    verdict = crossing.audit(flights, table, manifest.batch_id, RUN)
    assert verdict.publishes, verdict.reasons
    crossing.publish(flights, table, manifest.batch_id, RUN)


def _content(table: str) -> str:
    """sha256 over the published rows of a table, whatever files they are in."""
    return _hash(tables.scan("flights", table, "2013-03-01", DAYS[-1]))


def _hash(rows: pa.Table) -> str:
    rows = rows.drop_columns([name for name in OWN if name in rows.column_names])
    lines = sorted(repr(row) for row in rows.to_pylist())
    return hashlib.sha256("\n".join([str(rows.schema), *lines]).encode()).hexdigest()


def _shuffle(flights: spec.Pipeline, source: str, day: str, number: int, chance: random.Random) -> None:
    """Deliver the same rows in another order."""
    found = deliveries.find(flights, source, day)
    assert found
    data = Landing(flights.landing_url).read(found.name)
    header, *rows = gzip.decompress(data).splitlines(keepends=True)
    chance.shuffle(rows)
    deliveries.write(
        Landing(flights.landing_url),
        flights,
        source,
        day,
        gzip.compress(header + b"".join(rows), mtime=0),
        rows=len(rows),
        number=number,
        delivered_at=datetime(2013, 4, 5, tzinfo=UTC),
    )


def _on_time(flights: spec.Pipeline) -> None:
    for day in DAYS:
        feed.deliver(flights, day, sources=["arrivals"])
        _cross(flights, "arrivals", day)


def _repeated(flights: spec.Pipeline, _: random.Random) -> None:
    for number, day in enumerate((*DAYS, DAYS[0]), start=1):
        feed.deliver(flights, day, sources=["arrivals"], number=number)
        _cross(flights, "arrivals", day)


def _all_early(flights: spec.Pipeline, _: random.Random) -> None:
    """The newest comes first, before any run."""
    for day in reversed(DAYS):
        feed.deliver(flights, day, sources=["arrivals"])
    for day in reversed(DAYS):
        _cross(flights, "arrivals", day)


def _late(flights: spec.Pipeline, _: random.Random) -> None:
    """The run comes first, and finds nothing."""
    Landing(flights.landing_url).create()
    for day in DAYS:
        with pytest.raises(DeliveryMissingError):
            crossing.stage(flights, "arrivals", [day], RUN)
        feed.deliver(flights, day, sources=["arrivals"])
        _cross(flights, "arrivals", day)


def _shuffled(flights: spec.Pipeline, chance: random.Random) -> None:
    for day in chance.sample(DAYS, 2):
        feed.deliver(flights, day, sources=["arrivals"])
        _shuffle(flights, "arrivals", day, 2, chance)
        _cross(flights, "arrivals", day)


def _corrected(flights: spec.Pipeline, chance: random.Random) -> None:
    """One day first with its worst values cut off, then as it should be, after later days were published."""
    wrong = chance.choice(DAYS)
    feed.deliver(flights, wrong, sources=["arrivals"])
    found = deliveries.find(flights, "arrivals", wrong)
    assert found
    whole = Landing(flights.landing_url).read(found.name)
    header, *rows = gzip.decompress(whole).splitlines(keepends=True)
    short = gzip.compress(header + b"".join(rows[: len(rows) - chance.randint(1, 40)]), mtime=0)
    deliveries.land(flights, "arrivals", found.day, short)
    _cross(flights, "arrivals", wrong)
    for day in DAYS:
        if day != wrong:
            feed.deliver(flights, day, sources=["arrivals"])
            _cross(flights, "arrivals", day)
    deliveries.land(flights, "arrivals", found.day, whole)
    _cross(flights, "arrivals", wrong)


FEEDS = {
    "repeated": _repeated,
    "early": _all_early,
    "late": _late,
    "shuffled": _shuffled,
    "corrected": _corrected,
}


def test_any_feed_ends_in_the_same_table_as_one_that_was_on_time(new_home):
    _on_time(new_home("on_time"))
    expected = _content("arrivals")
    seed = random.SystemRandom().randrange(10_000)
    for name, feed_them in FEEDS.items():
        feed_them(new_home(name), random.Random(seed))
        assert _content("arrivals") == expected, f"{name}, seed {seed}"
    # The last one corrected a closed partition: a new version, with what it changed on record.
    corrected = [entry for entry in ledger.entries(kind="published") if "replaced" in entry.data]
    assert len(corrected) == 1
    diff = corrected[0].data["diff"]
    assert 1 <= diff["added"] <= 40
    assert (diff["removed"], diff["changed"]) == (0, 0)
    assert (settings().home / "reports" / corrected[0].data["report"]).is_file()


def _raw_day(flights: spec.Pipeline, day: str, leave_out: tuple[str, ...] = ()) -> None:
    """Publish a day's sources unjudged: gates are not what is tested here, and cost most of the time."""
    names = feed.deliver(flights, day)
    for source in dict.fromkeys(name.split("/")[0] for name in names):
        if source not in leave_out:
            tables.publish(crossing.stage(flights, source, [day], RUN), verdict_id="unjudged")


@pytest.mark.slow
@pytest.mark.long
def test_stale_input_is_marked_then_the_late_day_gives_what_an_on_time_feed_gives(new_home):
    """One day without its arrivals: refused, or marked in every prediction, as declared; then they come."""
    first, day = DAYS
    flights = new_home("on_time")
    for each in (first, day):
        _raw_day(flights, each)
    on_time = crossing.stage(flights, "features", [day], RUN)
    expected = _hash(pq.read_table(on_time.files[day], partitioning=None))

    flights = new_home("late")
    _raw_day(flights, first)
    _raw_day(flights, day, leave_out=("arrivals",))
    with pytest.raises(TableMissingError, match="arrivals of 2013-04-02 is not published"):
        crossing.stage(flights, "features", [day], RUN)
    with pytest.raises(TableMissingError):
        complete(flights, [day], RUN)

    marks = flights.model_copy(update={"stale_input": "mark"})
    complete(marks, [day], RUN, lenient=True)
    assert ledger.entries(kind="day_completed")[0].data["stale"] == ["arrivals"]
    _cross(marks, "features", day)
    _cross(marks, "predictions", day)
    predictions = tables.scan("flights", "predictions", day, day)
    assert set(predictions["input_age_days"].to_pylist()) == {1}
    assert set(predictions["is_stale"].to_pylist()) == {True}
    (verdict,) = ledger.entries(kind="verdict", subject="predictions")
    assert verdict.data["outcome"] == "WARN"
    assert any("input_is_fresh" in reason for reason in verdict.data["reasons"])
    with pytest.raises(InputAwaitedError):
        crossing.stage(marks, "outcomes", [day], RUN)

    tables.publish(crossing.stage(marks, "arrivals", [day], RUN), verdict_id="unjudged")
    _cross(marks, "features", day)
    assert _content("features") == expected
    again = crossing.stage(marks, "predictions", [day], RUN)
    predictions = pq.read_table(again.files[day], partitioning=None)
    assert set(predictions["input_age_days"].to_pylist()) == {0}
    assert set(predictions["is_stale"].to_pylist()) == {False}
