"""The newest input wins: a batch of a source that an older delivery is in is not published, however late it was written."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from sluice import crossing, ledger
from sluice.core import failpoints
from sluice.core.errors import BatchSupersededError, TableMissingError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ingest import completion, deliveries
from sluice.lake import batches, quarantine, tables
from sluice.lake.landing import Landing
from sluice_lab import feed

DAY, BEFORE, LONG_BEFORE = "2013-04-03", "2013-04-02", "2013-03-20"
RUN = Run(dag_id="flights_ingest", run_id="test")


@pytest.fixture
def meanwhile(monkeypatch):
    """Function: do something once, when the next stage has read its inputs and has written nothing."""

    def arm(act) -> None:
        def hit(point: str) -> None:
            if point == "stage.inputs_read":
                monkeypatch.undo()
                act()

        monkeypatch.setattr(failpoints, "hit", hit)

    return arm


def _shown(table: str, day: str = DAY) -> str:
    return tables.published("flights", table, day, day)[day].batch_id


def _cross(flights, source="schedule"):
    manifest = crossing.stage(flights, source, [DAY], RUN)
    return _publish(flights, manifest)


def _publish(flights, manifest):
    verdict = crossing.audit(flights, manifest.table, manifest.batch_id, RUN)
    crossing.require_publishable(verdict)
    return crossing.publish(flights, manifest.table, verdict.publish_batch_id, RUN)


@pytest.fixture
def deliver(flights):
    """Function: deliver the day's schedule without some of its rows, under a number; two of them with a wrong value."""
    name = feed.deliver(flights, DAY, sources=["schedule"])[0]
    landing = Landing(flights.landing_url)
    header, *lines = landing.read(name).splitlines(keepends=True)
    at = deliveries.find(flights, "schedule", DAY).manifest.delivered_at

    def put(number: int, without: int, *, is_wrong: bool = False) -> None:
        kept = lines[without:]
        if is_wrong:
            (names,) = csv.reader([header.decode()])
            for index, (name, value) in enumerate((("carrier", "ZZ"), ("sched_dep_time", "1275"))):
                assert name in names
                (values,) = csv.reader([kept[index].decode()])
                row = dict(zip(names, values, strict=True)) | {name: value}
                kept[index] = f"{','.join(row.values())}\n".encode()
        data = b"".join([header, *kept])
        given = {"rows": len(kept), "number": number, "delivered_at": at}
        deliveries.write(landing, flights, "schedule", DAY, data, **given)

    return put


def test_stage_that_was_slower_than_a_correction_does_not_undo_it(flights, deliver, meanwhile):
    def correct():
        deliver(2, 1)
        _cross(flights)

    meanwhile(correct)
    slow = crossing.stage(flights, "schedule", [DAY], RUN)
    correction = _shown("schedule")
    assert slow.batch_id > correction, "it is the later one, of the older delivery"

    with pytest.raises(BatchSupersededError, match=r"schedule_2013-04-03_2\.csv was delivered") as caught:
        _publish(flights, slow)

    assert "trigger flights_ingest for the run day 2013-04-03" in caught.value.todo
    assert _shown("schedule") == correction
    # What it says works: staged again it is the correction.
    assert _publish(flights, crossing.stage(flights, "schedule", [DAY], RUN)).repeated


def test_publish_after_a_newer_delivery_has_landed_is_superseded_before_that_is_staged(flights, deliver):
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    deliver(2, 1)
    with pytest.raises(BatchSupersededError):
        _publish(flights, staged)
    assert tables.published("flights", "schedule", DAY, DAY) == {}
    _cross(flights)
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == staged.rows - 1


def test_publish_after_a_newer_delivery_that_cannot_be_read_is_superseded(flights, deliver):
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    deliver(2, 1)
    name = deliveries.find(flights, "schedule", DAY).name
    Landing(flights.landing_url).write(name + deliveries.MANIFEST, b"{")
    with pytest.raises(BatchSupersededError, match="cannot be read: The manifest cannot be understood"):
        _publish(flights, staged)


def test_publish_of_a_delivery_that_was_replaced_under_its_name_is_superseded(flights, deliver):
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    deliver(1, 1)
    with pytest.raises(BatchSupersededError):
        _publish(flights, staged)
    _cross(flights)


def test_publish_of_the_same_content_under_a_newer_number_goes_on(flights, deliver):
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    deliver(2, 0)
    assert not _publish(flights, staged).repeated


def test_publish_of_what_was_read_by_another_contract_is_superseded(flights, deliver):
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    source = flights.sources["schedule"]
    columns = source.contract.columns
    distance = columns["distance"].model_copy(update={"nullable": True})
    contract = source.contract.model_copy(update={"columns": {**columns, "distance": distance}})
    sources = {**flights.sources, "schedule": source.model_copy(update={"contract": contract})}
    corrected = flights.model_copy(update={"sources": sources})
    with pytest.raises(BatchSupersededError, match="the contract of schedule has changed"):
        _publish(corrected, staged)
    _cross(corrected)


def _open() -> list[str]:
    there = quarantine.rows("flights", "schedule", DAY, DAY).to_pylist()
    return sorted(row["rule"] for row in there if row["status"] == "open")


@pytest.fixture
def dies_half_way(flights, deliver, monkeypatch):
    """A batch whose publication died when what it sets aside was recorded, and readers saw nothing yet."""
    deliver(1, 0, is_wrong=True)
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    split = crossing.audit(flights, "schedule", staged.batch_id, RUN).publish_batch_id

    def hit(point: str) -> None:
        if point == "quarantine.recorded":
            raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hit", hit)
        with pytest.raises(ConnectionError):
            crossing.publish(flights, "schedule", split, RUN)
    assert tables.published("flights", "schedule", DAY, DAY) == {}
    assert _open() == ["clock_is_hhmm", "known_carrier"]
    return staged.batch_id, split


def test_publication_that_has_begun_is_finished_though_a_correction_has_landed(
    flights, deliver, dies_half_way
):
    """It was the newest when it began. Given up half way, the rows would be set aside of a day that nobody sees."""
    full, _ = dies_half_way
    deliver(2, 1)
    # Also where its gate was asked again meanwhile, and made the same split anew.
    split = crossing.audit(flights, "schedule", full, RUN).publish_batch_id
    assert crossing.publish(flights, "schedule", split, RUN).batch_id == _shown("schedule")
    assert _open() == ["clock_is_hhmm", "known_carrier"]
    _cross(flights)
    assert _open() == []


def test_publication_that_has_begun_does_not_undo_a_correction_that_was_published(
    flights, deliver, dies_half_way
):
    deliver(2, 1)
    _cross(flights)
    correction = _shown("schedule")
    with pytest.raises(BatchSupersededError):
        crossing.publish(flights, "schedule", dies_half_way[1], RUN)
    assert (_shown("schedule"), _open()) == (correction, [])


@pytest.fixture
def looser(tmp_path, monkeypatch):
    """Function: from now on a wrong clock is only warned about."""
    yield lambda: _loosen(tmp_path / "suites", monkeypatch)
    spec.settings.cache_clear()


def _loosen(folder: Path, monkeypatch) -> None:
    shutil.copytree(spec.settings().expectations, folder)
    path = folder / "flights" / "schedule.json"
    suite = json.loads(path.read_text())
    (rule,) = (one["meta"] for one in suite["expectations"] if one["meta"]["rule"] == "clock_is_hhmm")
    rule["severity"] = "warn"
    del rule["limit"]
    path.write_text(json.dumps(suite))
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(folder))
    spec.settings.cache_clear()


def test_split_by_other_rules_of_a_superseded_batch_is_superseded(flights, deliver, looser):
    """That another split of the batch is published, with what it set aside, is no beginning of this one."""
    deliver(1, 0, is_wrong=True)
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    _publish(flights, staged)
    before = _shown("schedule")
    looser()
    split = crossing.audit(flights, "schedule", staged.batch_id, RUN).publish_batch_id
    assert split != before
    deliver(2, 1)
    with pytest.raises(BatchSupersededError, match="was delivered since"):
        crossing.publish(flights, "schedule", split, RUN)
    assert (_shown("schedule"), _open()) == (before, ["clock_is_hhmm", "known_carrier"])


@pytest.mark.parametrize(
    "unknown", [["number"], ["number", "contract", "read_as_version", "pseudonym_key"]], ids=len
)
def test_batch_of_an_older_version_is_published_though_its_manifest_does_not_say_how_it_was_read(
    flights, deliver, unknown
):
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    file = Path(staged.files[DAY]).with_name(batches.MANIFEST)
    manifest = json.loads(file.read_text())
    for name in unknown:
        del manifest["inputs"][0][name]
    file.write_text(json.dumps(manifest))
    verdict = crossing.audit(flights, "schedule", staged.batch_id, RUN)
    deliver(2, 1)
    with pytest.raises(BatchSupersededError, match=r"schedule_2013-04-03_2\.csv was delivered"):
        crossing.publish(flights, "schedule", verdict.publish_batch_id, RUN)
    for name in Landing(flights.landing_url).list(f"schedule/{DAY}"):
        if "_2.csv" in name:
            Path(flights.landing_url, name).unlink()
    assert not crossing.publish(flights, "schedule", verdict.publish_batch_id, RUN).repeated
    # Its run begun again reads the file anew where it is not known how it was read, and shows the same rows.
    again = _publish(flights, crossing.stage(flights, "schedule", [DAY], RUN))
    assert again.repeated == ("contract" not in unknown)
    assert "replaced" not in ledger.entries(kind="published")[0].data


def test_publish_is_repeated_although_a_newer_delivery_has_landed(flights, deliver):
    """The task died after its commit: beginning it again completes the record, and is no second publication."""
    staged = crossing.stage(flights, "schedule", [DAY], RUN)
    _publish(flights, staged)
    deliver(2, 1)
    assert crossing.publish(flights, "schedule", staged.batch_id, RUN).repeated


def test_cleared_landing_zone_neither_undoes_a_correction_nor_stops_the_next_one(flights, deliver, meanwhile):
    def correct():
        deliver(2, 1)
        _cross(flights)
        for file in Path(flights.landing_url, "schedule", DAY).iterdir():
            file.unlink()

    meanwhile(correct)
    slow = crossing.stage(flights, "schedule", [DAY], RUN)
    with pytest.raises(BatchSupersededError, match="readers see delivery 2"):
        _publish(flights, slow)

    deliver(1, 2)  # numbers begin again
    _cross(flights)
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == slow.rows - 2


def test_range_of_which_one_day_was_corrected_meanwhile_is_not_skipped_as_if_nothing_were_left_to_do(
    flights, deliver
):
    feed.deliver(flights, BEFORE, sources=["schedule"])
    staged = crossing.stage(flights, "schedule", [BEFORE, DAY], RUN)
    deliver(2, 1)
    _cross(flights)
    correction = _shown("schedule")

    with pytest.raises(BatchSupersededError) as caught:
        _publish(flights, staged)
    assert not caught.value.readers_see_newer, "nobody sees the other day"
    assert "trigger flights_backfill" in caught.value.todo
    with pytest.raises(TableMissingError, match=f"schedule has nothing published for {BEFORE}"):
        completion.complete(flights, [BEFORE, DAY], RUN)
    assert (_shown("schedule"), ledger.entries(kind="day_completed")) == (correction, [])

    _publish(flights, crossing.stage(flights, "schedule", [BEFORE, DAY], RUN))
    shown = tables.published("flights", "schedule", BEFORE, DAY)
    assert [one.rows for one in shown.values()] == [
        staged.rows_by_partition[BEFORE],
        staged.rows_by_partition[DAY] - 1,
    ]
