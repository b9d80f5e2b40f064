"""What is set aside is written before the day is shown without it, once, and closed when a later batch repairs it."""

from __future__ import annotations

from datetime import date

import pytest

from sluice.core.errors import BatchDamagedError, BatchSupersededError, RowsLostError
from sluice.core.runs import Run
from sluice.lake import batches, quarantine, splits, tables

DAY, NEXT = "2013-01-01", "2013-01-02"
KEY = ("origin", "hour")


@pytest.fixture
def split(stage, rows):
    """Function: stage days and set aside the rows of some hours of one origin; returns the split's manifest."""

    def make(*days: str, hours=(3,), rule="too_cold", temp=None, full=None) -> batches.Manifest:
        data = rows(*days) if full is None else None
        full = full or stage(*days, data=data)
        there = staged_rows(full)
        bad = [one for one in there if one["origin"] == "EWR" and one["hour"] in hours]
        good = [one for one in there if one not in bad]
        if temp is not None:
            bad = [one | {"temp": temp} for one in bad]
        found = [quarantine.set_aside(one, KEY, rule=rule, reason="because") for one in bad]
        schema = batch_schema(full)
        return splits.make(
            full, schema.empty_table().from_pylist(good, schema=schema), quarantine.table(found), sort_by=KEY
        )

    return make


def staged_rows(manifest: batches.Manifest) -> list[dict]:
    import pyarrow.parquet as pq

    return [row for day in manifest.partitions for row in pq.read_table(manifest.files[day]).to_pylist()]


def batch_schema(manifest: batches.Manifest):
    import pyarrow.parquet as pq

    return pq.read_schema(manifest.files[manifest.partitions[0]])


def publish(manifest, *, waiver=None):
    aside = splits.set_aside(manifest)
    splits.check_conserved(manifest, aside)
    quarantine.record(manifest, aside, verdict_id="verdict-1", waiver=waiver)
    return tables.publish(manifest, verdict_id="verdict-1", waiver=waiver)


def kept(day: str = DAY) -> list[dict]:
    return quarantine.rows("flights", "weather", day, day).to_pylist()


def statuses(day: str = DAY) -> list[tuple[str, str]]:
    return sorted((row["row_key"], row["status"]) for row in kept(day))


def test_record_keeps_the_row_its_key_and_why(split):
    made = split(DAY)
    publish(made)

    (row,) = kept()

    assert row["row_key"] == '{"origin":"EWR","hour":3}'
    assert (row["rule"], row["reason"], row["status"]) == ("too_cold", "because", "open")
    assert (row["batch_id"], row["ds"]) == (made.split_of, date(2013, 1, 1))
    assert '"origin":"EWR"' in row["payload"]
    assert row["first_seen"] == row["last_seen"] == made.created_at
    newest = tables.history("flights", "weather")[0]
    assert newest["sluice.quarantined"] == '{"too_cold": 1}'


def test_record_before_a_crash_and_again_is_the_same(split):
    """The process died between the quarantine table and the table: whoever comes next does both, each once."""
    made = split(DAY, NEXT)
    quarantine.record(made, splits.set_aside(made), verdict_id="verdict-1")
    assert tables.published("flights", "weather", DAY, NEXT) == {}
    before = tables.snapshot_id("flights", "weather__quarantine")

    publish(made)
    publish(made)

    assert tables.snapshot_id("flights", "weather__quarantine") == before
    assert (len(kept(DAY)), len(kept(NEXT))) == (1, 1)


def test_record_correction_closes_what_it_repairs_and_keeps_first_seen(split, stage):
    first = split(DAY, hours=(3, 4, 5))
    publish(first)
    second = split(DAY, hours=(4,), rule="too_warm")
    publish(second)

    by_hour = {row["row_key"][-2]: row for row in kept()}
    assert {hour: row["status"] for hour, row in by_hour.items()} == {
        "3": "repaired",
        "4": "open",
        "5": "repaired",
    }
    assert (by_hour["4"]["first_seen"], by_hour["4"]["last_seen"]) == (first.created_at, second.created_at)
    assert (by_hour["4"]["rule"], by_hour["4"]["batch_id"]) == ("too_warm", second.split_of)

    publish(stage(DAY))

    assert {status for _, status in statuses()} == {"repaired"}
    assert len(kept()) == 3, "what was closed stays to be looked at"


def test_record_batch_published_on_a_persons_word_releases_its_rows(split, stage):
    publish(split(DAY))
    publish(stage(DAY), waiver=7)
    assert [status for _, status in statuses()] == ["released"]
    assert tables.history("flights", "weather")[0]["sluice.waiver"] == "7"


def test_record_of_an_older_batch_is_refused(split):
    old, new = split(DAY, hours=(3,)), split(DAY, hours=(4,))
    publish(new)
    with pytest.raises(BatchSupersededError):
        quarantine.record(old, splits.set_aside(old), verdict_id="verdict-1")
    assert statuses() == [('{"origin":"EWR","hour":4}', "open")]


def test_record_from_four_processes_writes_each_row_once(split, in_processes):
    made = split(DAY, hours=(3, 4))

    done = in_processes(*[lambda: publish(made)] * 4)

    assert [one for one in done if not isinstance(one, tables.Publication)] == []
    assert [status for _, status in statuses()] == ["open", "open"]


def test_expire_closes_open_rows_of_its_days_only(split):
    publish(split(DAY, NEXT))
    assert quarantine.expire("flights", "weather", DAY, DAY, run=Run(run_id="watch")) == 1
    assert [statuses(day)[0][1] for day in (DAY, NEXT)] == ["expired", "open"]
    assert quarantine.expire("flights", "weather", DAY, DAY, run=Run(run_id="watch")) == 0


def test_expired_row_stays_closed_when_its_batch_is_published_again(split):
    made = split(DAY)
    publish(made)
    quarantine.expire("flights", "weather", DAY, DAY, run=Run(run_id="watch"))
    publish(made)
    assert [status for _, status in statuses()] == ["expired"]


def test_split_gives_way_to_a_later_delivery_however_late_it_was_made(stage, split, rows):
    delivered = stage(DAY)
    corrected = stage(DAY, data=rows(DAY).slice(1))
    tables.publish(corrected, verdict_id="verdict-1")
    late = split(full=delivered)
    with pytest.raises(BatchSupersededError):
        tables.check_newer(late, tables.shown(late))
    with pytest.raises(BatchSupersededError):
        tables.publish(late, verdict_id="verdict-1")


def test_split_replaces_its_own_full_batch(stage, split):
    full = stage(DAY)
    tables.publish(full, verdict_id="verdict-1")
    made = split(full=full)
    assert publish(made).replaced == {DAY: full.batch_id}
    with pytest.raises(BatchSupersededError):
        tables.publish(full, verdict_id="verdict-1")


def test_check_conserved_names_the_numbers(split):
    made = split(DAY, hours=(3, 4))
    aside = splits.set_aside(made)
    splits.check_conserved(made, aside)
    with pytest.raises(
        RowsLostError, match=r"67 received, but 66 found: 65 in its files, set aside 1 for too_cold"
    ):
        splits.check_conserved(made, aside.slice(1))
    with pytest.raises(RowsLostError, match="65 found: 65 in its files, set aside none"):
        splits.check_conserved(made, None)


def test_set_aside_rows_changed_or_gone_are_refused(split):
    from pathlib import Path

    made = split(DAY)
    path = Path(made.files[DAY]).parent / "quarantine.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(BatchDamagedError, match="not what was written"):
        splits.set_aside(made)
    path.unlink()
    with pytest.raises(BatchDamagedError, match="missing"):
        splits.set_aside(made)


def test_open_counts_are_by_table_day_and_rule(split):
    from sluice.declare import spec

    publish(split(DAY, NEXT, hours=(3, 4)))
    flights = spec.load("flights")
    assert quarantine.open_counts(flights) == {"weather": {DAY: {"too_cold": 2}, NEXT: {"too_cold": 2}}}
