"""The newest input wins: neither derived rows nor predictions that were made from older ones are published.

What they were made from is given by hand; how it is recorded is tried where they are built.
"""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice import crossing, ledger, outdated
from sluice.core import failpoints
from sluice.core.errors import BatchSupersededError, VerdictMissingError
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.lake import batches, inputs, tables
from sluice.ledger import model_records, records

DAY, BEFORE, LONG_BEFORE = "2013-04-03", "2013-04-02", "2013-03-20"
RUN = Run(dag_id="flights_ingest", run_id="test")


def _shown(table: str, day: str = DAY) -> str:
    return tables.published("flights", table, day, day)[day].batch_id


def _rows(day: str, value: int) -> pa.Table:
    return pa.table({"id": [value], "ds": pa.array([date.fromisoformat(day)], pa.date32())})


def _stage(table: str, day: str, value: int, *made_from: inputs._Input, recorded: bool = True):
    manifest = batches.stage(
        "flights",
        table,
        _rows(day, value),
        partitions=[day],
        received=1,
        dropped={},
        inputs=[each.record() for each in made_from],
        run=RUN,
        sort_by=["id"],
    )
    if recorded:
        data = {"batch_id": manifest.batch_id}
        ledger.append(records.Staged(**data), pipeline="flights", subject=table, partition=day)
    return manifest


def _show(table: str, day: str, value: int, *made_from: inputs._Input):
    manifest = _stage(table, day, value, *made_from)
    tables.publish(manifest, verdict_id="v")
    return manifest


def _read(table: str, first: str = LONG_BEFORE, last: str = DAY) -> inputs.Snapshot:
    """A table as it is now."""
    shown = tables.published("flights", table, first, last)
    read = {day: partition.batch_id for day, partition in shown.items()}
    return inputs.Snapshot(table=table, snapshot_id=1, first=first, last=last, batches=read)


@pytest.fixture
def sources(flights) -> spec.Pipeline:
    """Published: the schedule of the day and of an earlier one, the arrivals of the days before."""
    for table, day in (("schedule", LONG_BEFORE), ("schedule", DAY), ("arrivals", LONG_BEFORE)):
        _show(table, day, 1)
    _show("arrivals", BEFORE, 1)
    return flights


def _features(day: str = DAY, value: int = 1):
    return _stage("features", day, value, _read("schedule"), _read("arrivals"))


@pytest.mark.parametrize(("table", "day"), [("schedule", DAY), ("arrivals", BEFORE)])
def test_features_from_a_day_of_their_own_that_was_corrected_are_superseded(sources, table, day):
    slow = _features()
    corrected = _show(table, day, 2)
    with pytest.raises(
        BatchSupersededError, match=f"{table} {day} shows batch {corrected.batch_id} now"
    ) as caught:
        outdated.require_newest(sources, slow)
    assert not caught.value.readers_see_newer
    assert "trigger flights_transform for the run day 2013-04-03" in caught.value.todo
    outdated.require_newest(sources, _features())


def test_features_are_published_while_days_further_back_are_backfilled(sources):
    """A table that looks back far would else never be published beside a backfill."""
    staged = _features()
    for number in range(2, 5):
        _show("arrivals", LONG_BEFORE, number)
        _show("arrivals", f"2013-03-2{number}", 1)
        outdated.require_newest(sources, staged)


def test_features_that_were_slower_than_those_from_a_corrected_past_do_not_undo_them(sources):
    slow_inputs = (_read("schedule"), _read("arrivals"))
    _show("arrivals", LONG_BEFORE, 2)
    corrected = _features(value=2)
    tables.publish(corrected, verdict_id="v")
    slow = _stage("features", DAY, 1, *slow_inputs)
    assert slow.batch_id > corrected.batch_id

    with pytest.raises(BatchSupersededError, match="was made from") as caught:
        outdated.require_newest(sources, slow)
    assert caught.value.readers_see_newer
    # Also where it had looked before the other one was published.
    with pytest.raises(BatchSupersededError):
        outdated.require_not_behind(sources, slow, tables.shown(slow))
    outdated.require_newest(sources, _features(value=3))


def test_features_that_were_slower_than_held_ones_from_a_corrected_past_are_superseded(sources):
    slow_inputs = (_read("schedule"), _read("arrivals"))
    _show("arrivals", LONG_BEFORE, 2)
    held = _features(value=2)
    slow = _stage("features", DAY, 1, *slow_inputs)
    with pytest.raises(BatchSupersededError, match=f"batch {held.batch_id} was made from"):
        outdated.require_newest(sources, slow)
    outdated.require_newest(sources, held)


def test_features_without_a_late_day_do_not_replace_those_with_it(sources):
    without = _read("arrivals", BEFORE).model_copy(update={"batches": {}})
    slow_inputs = (_read("schedule"), without)
    tables.publish(_features(value=2), verdict_id="v")
    slow = _stage("features", DAY, 1, *slow_inputs)
    with pytest.raises(BatchSupersededError, match="this batch was made from none"):
        outdated.require_not_behind(sources, slow, tables.shown(slow))


def test_features_from_a_day_that_was_published_again_with_the_same_rows_go_on(sources):
    staged = _features()
    _show("schedule", DAY, 1)
    outdated.require_newest(sources, staged)


def test_features_whose_manifest_does_not_say_what_was_read_go_by_their_ids(sources):
    old = inputs.Snapshot(table="schedule", snapshot_id=1)
    staged = _stage("features", DAY, 1, old)
    _show("schedule", DAY, 2)
    outdated.require_newest(sources, staged)
    _show("features", DAY, 2, _read("schedule"))
    with pytest.raises(BatchSupersededError, match="is older than what"):
        outdated.require_newest(sources, staged)


def test_features_that_read_nothing_of_a_day_go_on_when_it_is_published(sources):
    staged = _stage("features", DAY, 1, _read("schedule", LONG_BEFORE, BEFORE))
    _show("schedule", DAY, 2)
    outdated.require_newest(sources, staged)


def test_what_has_changed_is_named_with_what_the_batch_was_made_from(sources):
    before = _shown("schedule")
    slow, without = (
        _features(),
        _stage("features", DAY, 1, _read("schedule").model_copy(update={"batches": {}})),
    )
    _show("schedule", DAY, 2)
    for staged, made_from in ((slow, before), (without, "none")):
        with pytest.raises(BatchSupersededError, match=f"this batch was made from {made_from}"):
            outdated.require_newest(sources, staged)


def _range(value: int, *made_from: inputs._Input):
    data = pa.concat_tables([_rows(BEFORE, value), _rows(DAY, value)])
    return batches.stage(
        "flights", "features", data, partitions=[BEFORE, DAY], received=2, dropped={}, run=RUN, sort_by=["id"],
        inputs=[each.record() for each in made_from],
    )  # fmt: skip


@pytest.mark.parametrize("day", [BEFORE, DAY])
def test_features_of_a_range_of_which_one_day_was_corrected_are_superseded(sources, day):
    _show("schedule", BEFORE, 1)
    slow = _range(1, _read("schedule"))
    _show("schedule", day, 2)
    with pytest.raises(BatchSupersededError, match=f"schedule {day} shows batch"):
        outdated.require_newest(sources, slow)


def test_features_are_published_though_later_ones_from_a_corrected_past_are_held(sources):
    """Who staged first saw the past as it was, and is published first."""
    first = _features()
    _show("arrivals", LONG_BEFORE, 2)
    later = _features(value=2)
    outdated.require_newest(sources, first)
    tables.publish(first, verdict_id="v")
    outdated.require_newest(sources, later)


def test_release_is_for_inputs_as_they_were(sources):
    held = _features()
    assert outdated.is_newest(sources, held)
    _show("arrivals", "2013-03-25", 1)  # a day that was not there is no correction of what was read
    assert outdated.is_newest(sources, held)
    _show("arrivals", LONG_BEFORE, 2)
    assert not outdated.is_newest(sources, held)
    with pytest.raises(BatchSupersededError):
        outdated.require_newest(sources, held, strictly=True)


def test_crossing_publishes_no_derived_batch_whose_input_was_corrected(sources):
    slow = _features()
    _show("schedule", DAY, 2)
    verdict = {
        "batch_id": slow.batch_id,
        "publish_batch_id": slow.batch_id,
        "verdict_id": "v",
        "outcome": "PASS",
    }
    with pytest.raises(VerdictMissingError):
        crossing.publish(sources, "features", slow.batch_id, RUN)
    ledger.append(records.Verdict(**verdict), pipeline="flights", subject="features", partition=DAY)
    with pytest.raises(BatchSupersededError):
        crossing.publish(sources, "features", slow.batch_id, RUN)
    assert tables.published("flights", "features", DAY, DAY) == {}


def test_crossing_looks_again_at_what_its_commit_would_replace(sources, monkeypatch):
    """The newer batch was staged before, by a process that had not recorded it yet when this one looked."""
    slow_inputs = (_read("schedule"), _read("arrivals"))
    _show("arrivals", LONG_BEFORE, 2)
    newer = _stage("features", DAY, 2, _read("schedule"), _read("arrivals"), recorded=False)
    slow = _stage("features", DAY, 1, *slow_inputs)
    names = {"batch_id": slow.batch_id, "publish_batch_id": slow.batch_id, "verdict_id": "v"}
    ledger.append(
        records.Verdict(**names, outcome="PASS"), pipeline="flights", subject="features", partition=DAY
    )
    waiting = [newer]

    def hit(point: str) -> None:
        if point == "publish.before_commit" and waiting:
            tables.publish(waiting.pop(), verdict_id="v")

    with monkeypatch.context() as patched:
        patched.setattr(failpoints, "hit", hit)
        with pytest.raises(BatchSupersededError, match=f"batch {newer.batch_id} was made from"):
            crossing.publish(sources, "features", slow.batch_id, RUN)
    assert _shown("features") == newer.batch_id


def _predictions(
    value: int = 1, *, promoted: int | None = 0, made_on: str = DAY, made_late: bool | None = None
):
    scored_by = inputs.Model(name="flights_late_arrival", version=promoted, promoted=promoted)
    made = inputs.Clock(today=made_on, made_late=made_late)
    return _stage("predictions", DAY, value, _read("features", DAY), scored_by, made)


@pytest.fixture
def features(sources) -> spec.Pipeline:
    tables.publish(_features(), verdict_id="v")
    return sources


def test_predictions_from_features_that_were_corrected_are_superseded(features):
    slow = _predictions()
    _show("features", DAY, 2, _read("schedule"), _read("arrivals"))
    with pytest.raises(BatchSupersededError, match="features 2013-04-03 shows batch"):
        outdated.require_newest(features, slow)
    outdated.require_newest(features, _predictions())


def test_predictions_of_an_earlier_champion_do_not_replace_those_of_a_later_one(features):
    later = _predictions(2, promoted=7)
    slow = _predictions(1, promoted=3)
    with pytest.raises(BatchSupersededError, match="scored by a later champion"):
        outdated.require_newest(features, slow)
    tables.publish(later, verdict_id="v")
    with pytest.raises(BatchSupersededError, match="scored by a later champion") as caught:
        outdated.require_newest(features, slow)
    assert caught.value.readers_see_newer
    outdated.require_newest(features, _predictions(3, promoted=7))


def test_predictions_are_published_although_another_champion_was_promoted_since_but_not_on_a_word(features):
    staged = _predictions()
    assert outdated.is_newest(features, staged)
    for version in (1, 2):
        promoted = ledger.append(
            model_records.Promoted(version=version),
            pipeline="flights",
            subject="flights_late_arrival",
            partition=DAY,
        )
        outdated.require_newest(features, staged)
        assert not outdated.is_newest(features, staged)
        assert outdated.is_newest(features, _predictions(promoted=promoted.seq))


@pytest.mark.parametrize(("mine", "other"), [(True, True), (True, False), (False, True)])
def test_late_predictions_are_of_the_champion_of_their_time_and_a_later_one_is_no_newer_input(
    features, mine, other
):
    _predictions(2, promoted=7, made_late=other)
    outdated.require_newest(features, _predictions(1, promoted=3, made_late=mine))


@pytest.mark.parametrize(
    ("made_late", "made_on", "is_in_time"),
    [
        (False, "2013-04-04", True),
        (True, DAY, False),
        (None, DAY, True),
        (None, "2013-04-04", False),
    ],
)
def test_predictions_are_in_time_as_they_recorded(features, made_late, made_on, is_in_time):
    assert (
        outdated._is_in_time(features, _predictions(made_late=made_late, made_on=made_on), DAY) == is_in_time
    )


def test_only_predictions_can_be_too_late(sources):
    _show("features", DAY, 1, inputs.Clock(today=DAY))
    mine = _stage("features", DAY, 2, inputs.Clock(today="2013-04-04"))
    outdated.require_not_behind(sources, mine, tables.shown(mine))


def test_predictions_with_hindsight_do_not_replace_those_that_were_made_in_time(features):
    tables.publish(_predictions(1), verdict_id="v")
    hindsight = _predictions(2, made_on="2013-04-04")
    with pytest.raises(BatchSupersededError, match="made in time") as caught:
        outdated.require_newest(features, hindsight)
    assert caught.value.readers_see_newer
    outdated.require_newest(features, _predictions(3))


def test_predictions_with_hindsight_are_published_where_there_are_none_in_time(features):
    hindsight = _predictions(2, made_on="2013-04-04")
    outdated.require_newest(features, hindsight)
    tables.publish(hindsight, verdict_id="v")
    outdated.require_newest(features, _predictions(3, made_on="2013-04-05"))


def test_predictions_of_an_earlier_version_are_in_time_by_when_a_live_pipeline_wrote_them(features):
    old = _stage("predictions", DAY, 1)
    live = features.model_copy(update={"clock": "wall"})
    made = pipeline_clock.today(live).isoformat()
    assert not outdated._is_in_time(features, old, made), "a feed's clock is not known afterwards"
    assert not outdated._is_in_time(live, old, DAY)
    assert outdated._is_in_time(live, old, made)


def test_batch_of_which_nothing_is_known_makes_no_other_older(features):
    """Another writer put it there, or it was cleared away."""
    mine = _predictions(1, made_on="2013-04-04")
    for unknown in ("", "20130401T000000000000-aaaaaa"):
        outdated.require_not_behind(features, mine, {DAY: unknown})


def test_derived_range_leaves_nothing_to_do_only_where_readers_see_newer_rows_of_each_day(sources):
    slow_inputs = (_read("schedule"), _read("arrivals"))
    _show("arrivals", LONG_BEFORE, 2)
    newer = [_features(day, value=2) for day in (BEFORE, DAY)]
    slow = _range(1, *slow_inputs)
    for number, manifest in enumerate(newer, 1):
        tables.publish(manifest, verdict_id="v")
        with pytest.raises(BatchSupersededError) as caught:
            outdated.require_not_behind(sources, slow, tables.shown(slow))
        assert caught.value.readers_see_newer == (number == len(newer))
        assert "flights_backfill with first_day 2013-04-02 and last_day 2013-04-03" in caught.value.todo
