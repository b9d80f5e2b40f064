"""A process that sleeps in the middle of its work, and wakes after its successor has finished: it changes nothing.

It is held at a failpoint, so that it is exactly there when the other one works. And what landed though it was reported
as failed is neither repeated nor undone.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import Any

import pytest

from sluice.core.settings import ROOT
from sluice.lake import quarantine
from tests.proof.processes import DAYS, Ended, Lake

DAY, TABLE = DAYS[-1], "schedule"
LONG = pytest.mark.long
BAD = {"unknown_carriers": 2, "wrong_clocks": 1}


@pytest.fixture(scope="module")
def sleeper(lake, healthy) -> dict[str, str]:
    """A state `sleeper`: a correction with bad rows is audited."""
    lake.restore(healthy)
    lake.do("deliver", source=TABLE, day=DAY, number=2, without=3, **BAD).require()
    staged = _step(lake, "stage").require()
    split = _step(lake, "audit", staged).require()
    lake.save("sleeper")
    return {"staged": staged, "split": split}


def _step(lake: Lake, name: str, batch_id: str | None = None, **more: Any) -> Ended:
    return lake.do("step", name=name, table=TABLE, day=DAY, batch_id=batch_id, **more)


def _look(lake: Lake) -> dict[str, Any]:
    return lake.do("observe", table=TABLE, day=DAY).require()


def _open(seen: dict[str, Any]) -> Counter[str]:
    return Counter(row[3] for row in seen["quarantine"] if row[5] == "open")


def _deliver_newer(lake: Lake) -> None:
    """A correction of the correction, without any bad rows."""
    lake.do("deliver", source=TABLE, day=DAY, number=3, without=1).require()


def _correct(lake: Lake) -> str:
    """The successor: the newer delivery comes, and crosses; returns its batch."""
    _deliver_newer(lake)
    return _cross(lake)


def _cross(lake: Lake) -> str:
    return lake.do("cross", table=TABLE, days=[DAY]).require()


def _asleep(lake: Lake, gate: Any, point: str, name: str, batch_id: str | None = None) -> list[int]:
    job = {"job": "step", "name": name, "table": TABLE, "day": DAY, "batch_id": batch_id}
    pids = lake.start({**job, "failpoint": f"{point}=wait:{gate}"})
    lake.until_waiting(gate)
    return pids


def _awake(lake: Lake, gate: Any, pids: list[int]) -> Ended:
    gate.touch()
    return lake.wait(*pids)[0]


# What it was about to do: make its set-aside rows visible, or its good ones, the set-aside ones being there.
@pytest.mark.parametrize(
    "point",
    ["quarantine.staged", pytest.param("publish.before_commit#1", marks=LONG), "publish.before_commit#2"],
)
def test_publish_that_wakes_after_its_successor_changes_nothing(lake, sleeper, tmp_path, point, proofs):
    lake.restore("sleeper")
    pids = _asleep(lake, tmp_path / "gate", point, "publish", sleeper["split"])
    newer = _correct(lake)
    before = _look(lake)

    ended = _awake(lake, tmp_path / "gate", pids)

    seen = _look(lake)
    kept = ("shown", "commits", "entries", "held", "conserved")
    changed = [name for name in kept if seen[name] != before[name]]
    right = not changed and not _open(seen) and seen["commits"][TABLE][0] == newer
    proofs(
        "zombie", f"publish asleep at {point}", violations=int(not (right and ended.final)), end=ended.raised
    )
    assert ended.raised == "BatchSupersededError", ended
    assert right, (changed, _open(seen))


@LONG
def test_publish_that_dies_between_its_two_tables_after_its_successor_leaves_nothing_open(
    lake, sleeper, tmp_path, proofs
):
    lake.restore("sleeper")
    gate = tmp_path / "gate"
    job = {"job": "step", "name": "publish", "table": TABLE, "day": DAY, "batch_id": sleeper["split"]}
    pids = lake.start({**job, "failpoint": f"quarantine.staged=wait:{gate};quarantine.recorded=kill"})
    lake.until_waiting(gate)
    _correct(lake)
    # It wakes, makes its set-aside rows visible, and is killed before it can see that it is too late.
    assert _awake(lake, gate, pids).was_killed
    seen = _look(lake)
    proofs("zombie", "publish that dies too late to withdraw", violations=int(bool(seen["held"])))
    assert seen["held"] == []
    # Begun again, as Airflow would, it says that it is too late, and puts its rows away.
    assert _step(lake, "publish", sleeper["split"]).raised == "BatchSupersededError"
    assert not _open(_look(lake))


def test_publish_killed_between_its_two_tables_is_finished_though_a_correction_lands_meanwhile(
    lake, sleeper, proofs
):
    """It was the newest when it began. Given up, its rows would be set aside of a batch that nobody sees."""
    lake.restore("sleeper")
    killed = _step(lake, "publish", sleeper["split"], failpoint="quarantine.recorded=kill")
    _deliver_newer(lake)

    finished = _step(lake, "publish", sleeper["split"])

    seen = _look(lake)
    whole = all(conserved for conserved, _ in seen["conserved"])
    whole &= seen["commits"][TABLE][0] == sleeper["split"]
    whole &= _open(seen) == Counter(known_carrier=2, clock_is_hhmm=1)
    newer = _cross(lake)
    corrected = _look(lake)
    right = whole and corrected["commits"][TABLE][0] == newer and not _open(corrected)
    proofs("zombie", "publish killed half way, and a correction that lands", violations=int(not right))
    assert killed.was_killed
    assert finished.require() == sleeper["split"]
    assert right, (seen, corrected)


@LONG
def test_publish_that_wakes_after_the_same_publish_is_a_repetition(lake, sleeper, tmp_path, proofs):
    lake.restore("sleeper")
    pids = _asleep(lake, tmp_path / "gate", "publish.before_commit#2", "publish", sleeper["split"])
    _step(lake, "publish", sleeper["split"]).require()
    before = _look(lake)

    ended = _awake(lake, tmp_path / "gate", pids)

    same = _look(lake) == before
    proofs("zombie", "publish asleep while it is repeated", violations=int(not same))
    assert ended.require() == sleeper["split"]
    assert same


@LONG
def test_stage_that_wakes_after_its_successor_is_too_old_to_publish(lake, sleeper, tmp_path, proofs):
    lake.restore("sleeper")
    _deliver_newer(lake)
    pids = _asleep(lake, tmp_path / "gate", "stage.file_written", "stage")
    newer = _cross(lake)
    before = _look(lake)

    staged = _awake(lake, tmp_path / "gate", pids).require()
    ended = lake.do("finish", table=TABLE, day=DAY, batch_id=staged)

    seen = _look(lake)
    same = all(seen[name] == before[name] for name in ("shown", "commits", "held", "quarantine"))
    proofs("zombie", "stage asleep at stage.file_written", violations=int(not same), end=ended.raised)
    assert staged < newer
    assert ended.raised == "BatchSupersededError", ended
    assert same


def test_stage_that_read_an_older_delivery_and_is_written_after_its_successor_publishes_nothing(
    lake, healthy, tmp_path, proofs
):
    lake.restore(healthy)
    lake.do("deliver", source=TABLE, day=DAY, number=2, without=3, **BAD).require()
    pids = _asleep(lake, tmp_path / "gate", "stage.inputs_read", "stage")
    newer = _correct(lake)
    before = _look(lake)

    staged = _awake(lake, tmp_path / "gate", pids).require()
    ended = lake.do("finish", table=TABLE, day=DAY, batch_id=staged)

    seen = _look(lake)
    same = all(seen[name] == before[name] for name in ("shown", "commits", "held", "quarantine"))
    proofs("zombie", "stage asleep at stage.inputs_read", violations=int(not same), end=ended.raised)
    assert staged > newer, "its id is the later one"
    assert ended.raised == "BatchSupersededError", ended
    assert same


@pytest.fixture
def stricter(tmp_path) -> dict[str, str]:
    """Environment of a process that reads suites in which no unknown carrier is let through."""
    shutil.copytree(ROOT / "expectations", tmp_path / "suites")
    path = tmp_path / "suites" / "flights" / f"{TABLE}.json"
    suite = json.loads(path.read_text())
    (rule,) = (one for one in suite["expectations"] if one["meta"]["rule"] == "known_carrier")
    rule["meta"]["severity"] = "hold"
    del rule["meta"]["limit"]
    path.write_text(json.dumps(suite))
    return {"SLUICE_EXPECTATIONS": str(tmp_path / "suites")}


def test_audit_that_wakes_after_a_stricter_one_allows_nothing(lake, sleeper, tmp_path, stricter, proofs):
    lake.restore("sleeper")
    pids = _asleep(lake, tmp_path / "gate", "audit.verdict_written", "audit", sleeper["staged"])
    assert _step(lake, "audit", sleeper["staged"], env=stricter).raised == "BatchHeldError"

    split = _awake(lake, tmp_path / "gate", pids).require()
    ended = _step(lake, "publish", split)

    seen = _look(lake)
    held = [hold[:3] for hold in seen["held"]] == [["held", TABLE, DAY]]
    refused = ended.raised == "VerdictMissingError" and seen["commits"][TABLE].count(split) == 0
    proofs(
        "zombie",
        "audit asleep at audit.verdict_written, by older rules",
        violations=int(not (held and refused)),
    )
    assert refused, ended
    assert held, seen["held"]


@LONG
def test_audit_that_holds_after_its_successor_is_published_leaves_no_hold_open(
    lake, sleeper, tmp_path, stricter, proofs
):
    lake.restore("sleeper")
    gate = tmp_path / "gate"
    job = {"job": "step", "name": "audit", "table": TABLE, "day": DAY, "batch_id": sleeper["staged"]}
    pids = lake.start({**job, "env": stricter, "failpoint": f"audit.verdict_written=wait:{gate}"})
    lake.until_waiting(gate)
    newer = _correct(lake)

    ended = _awake(lake, gate, pids)

    seen = _look(lake)
    right = seen["held"] == [] and seen["commits"][TABLE][0] == newer
    proofs("zombie", "audit that holds what readers will never see", violations=int(not right))
    assert ended.raised == "BatchHeldError"
    assert right, seen["held"]


@pytest.mark.parametrize("landed", [True, pytest.param(False, marks=LONG)])
@pytest.mark.parametrize("of", [TABLE, pytest.param(quarantine.table_of(TABLE), marks=LONG)])
def test_publish_whose_catalog_does_not_say_whether_it_committed_takes_effect_once(
    lake, sleeper, landed, of, proofs
):
    lake.restore("sleeper")
    ended = lake.do("publish_unknown", table=TABLE, day=DAY, batch_id=sleeper["split"], landed=landed, of=of)
    seen = _look(lake)
    once = seen["commits"][TABLE].count(sleeper["split"]) == 1
    once &= _open(seen) == Counter(known_carrier=2, clock_is_hhmm=1)
    name = f"commit of {of} that {'landed' if landed else 'did not land'}, and the catalog does not say so"
    proofs("lost answer", name, violations=int(not once))
    assert ended.require() == sleeper["split"]
    assert once, seen


def test_publish_that_wakes_after_an_older_one_wins_and_leaves_nothing_open(lake, sleeper, tmp_path, proofs):
    lake.restore("sleeper")
    # The older one had begun before the newer delivery came.
    older = _asleep(lake, tmp_path / "older", "quarantine.staged", "publish", sleeper["split"])
    _deliver_newer(lake)
    newer = _step(lake, "audit", _step(lake, "stage").require()).require()
    pids = _asleep(lake, tmp_path / "gate", "publish.before_commit", "publish", newer)
    # It has looked at the quarantine, and found nothing to close. Now the older one sets rows aside and is published.
    _awake(lake, tmp_path / "older", older).require()

    ended = _awake(lake, tmp_path / "gate", pids)

    seen = _look(lake)
    right = seen["commits"][TABLE][0] == newer and not _open(seen) and not seen["held"]
    proofs("zombie", "publish asleep while an older one is made", violations=int(not right))
    assert ended.require() == newer
    assert right, (_open(seen), seen["held"])
