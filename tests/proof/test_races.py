"""The same step executed by many processes at once, and different steps that meet: exactly one takes effect.

Every process is held back until all are there. What they may end with is listed; what readers, the quarantine and the
ledger show afterwards is what one of them alone would have left.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.proof.processes import DAYS, NEXT, Ended, Lake

DAY = DAYS[-1]
TABLE = "schedule"
BAD = {"unknown_carriers": 2, "wrong_clocks": 1}
# So many that the gate holds the batch.
MANY = {"unknown_carriers": 40}
LONG = pytest.mark.long


@pytest.fixture(scope="module")
def begun(lake, healthy) -> dict[str, str]:
    """A state `begun` in which a correction with bad rows is audited; the ids of its batch and of what may be published."""
    lake.restore(healthy)
    lake.do("deliver", source=TABLE, day=DAY, number=2, without=3, **BAD).require()
    staged = _step(lake, "stage")
    split = _step(lake, "audit", staged)
    lake.save("begun")
    return {"staged": staged, "split": split}


@pytest.fixture(scope="module")
def first(lake) -> dict[str, str]:
    """A state `first_begun`: nothing was ever published, and the first batch is audited."""
    lake.empty()
    lake.do("deliver", source=TABLE, day=NEXT, number=1, **BAD).require()
    staged = _step(lake, "stage", day=NEXT)
    split = _step(lake, "audit", staged, day=NEXT)
    lake.save("first_begun")
    return {"staged": staged, "split": split}


def _step(lake: Lake, name: str, batch_id: str | None = None, *, day: str = DAY) -> str:
    return lake.do("step", name=name, table=TABLE, day=day, batch_id=batch_id).require()


def _publish(batch_id: str, day: str = DAY) -> dict[str, Any]:
    return {"job": "step", "name": "publish", "table": TABLE, "day": day, "batch_id": batch_id}


def _look(lake: Lake, day: str = DAY) -> dict[str, Any]:
    return lake.do("observe", table=TABLE, day=day).require()


def _commits(seen: dict[str, Any], batch_id: str) -> int:
    return seen["commits"][TABLE].count(batch_id)


def _published(seen: dict[str, Any], day: str = DAY) -> int:
    return sum(entry[:3] == ["published", TABLE, day] for entry in seen["entries"])


def _open(seen: dict[str, Any]) -> Counter[str]:
    """Rule -> rows of the quarantine that are open."""
    return Counter(row[3] for row in seen["quarantine"] if row[5] == "open")


def _ends(ended: list[Ended]) -> str:
    return ", ".join(
        f"{count} x {end}" for end, count in Counter(one.raised or "published" for one in ended).items()
    )


ASIDE = Counter(known_carrier=2, clock_is_hhmm=1)


def _took_effect_once(
    proofs, case: str, batch_id: str, ended: list[Ended], seen: dict[str, Any], told: int
) -> None:
    """One commit, one entry `told` of in the ledger, each bad row aside once; and everybody got an answer."""
    once = (_commits(seen, batch_id), told, _open(seen)) == (1, 1, ASIDE)
    answered = all(one.returned == batch_id or one.retryable for one in ended)
    proofs("race", case, violations=int(not (once and answered)), ends=_ends(ended))
    assert answered, ended
    assert once, seen


@pytest.mark.parametrize("count", [8, *(pytest.param(count, marks=LONG) for count in (2, 4, 16))])
def test_same_publish_at_once_takes_effect_once(lake, begun, count, proofs):
    lake.restore("begun")
    before = _published(_look(lake))

    ended = lake.at_once(*[_publish(begun["split"])] * count)

    seen = _look(lake)
    _took_effect_once(
        proofs, f"the same publish, {count} at once", begun["split"], ended, seen, _published(seen) - before
    )
    assert seen["held"] == [["quarantined", TABLE, DAY, 3]]


@LONG
@pytest.mark.parametrize("count", [4, 16])
def test_first_publish_of_a_table_at_once_takes_effect_once(lake, first, count, proofs):
    lake.restore("first_begun")

    ended = lake.at_once(*[_publish(first["split"], NEXT)] * count)

    seen = _look(lake, NEXT)
    told = _published(seen, NEXT)
    _took_effect_once(proofs, f"first publish of a table, {count} at once", first["split"], ended, seen, told)


def test_same_audit_at_once_then_every_answer_published_takes_effect_once(lake, begun, proofs):
    lake.restore("begun")
    audit = {"job": "step", "name": "audit", "table": TABLE, "day": DAY, "batch_id": begun["staged"]}
    audited = [one.require() for one in lake.at_once(*[audit] * 4)]
    before = _published(_look(lake))

    ended = lake.at_once(*[_publish(batch_id) for batch_id in audited])

    seen = _look(lake)
    commits = sum(_commits(seen, batch_id) for batch_id in set(audited))
    once = (commits, _published(seen) - before, _open(seen)) == (1, 1, ASIDE)
    answered = len({one.returned for one in ended if not one.raised}) == 1
    answered &= all(one.retryable for one in ended if one.raised)
    proofs("race", "the same audit, 4 at once", violations=int(not (once and answered)), ends=_ends(ended))
    assert answered, ended
    assert once, seen


@LONG
def test_same_stage_at_once_then_every_batch_crossed_ends_as_one(lake, begun, proofs):
    lake.restore("begun")
    _finish(lake, begun["staged"])
    alone = _look(lake)
    lake.restore("begun")
    lake.do("deliver", source=TABLE, day=DAY, number=3, without=3, **BAD).require()  # the same rows again
    stage = {"job": "step", "name": "stage", "table": TABLE, "day": DAY}
    staged = [one.require() for one in lake.at_once(*[stage] * 3)]

    ended = lake.at_once(*[{"job": "finish", "table": TABLE, "day": DAY, "batch_id": one} for one in staged])

    seen = _look(lake)
    same = seen["shown"] == alone["shown"] and _open(seen) == ASIDE and seen["held"] == alone["held"]
    answered = all(not one.raised or one.raised == "BatchSupersededError" for one in ended)
    proofs("race", "the same stage, 3 at once", violations=int(not (same and answered)), ends=_ends(ended))
    assert answered, ended
    assert same, (seen, alone)


def _finish(lake: Lake, staged: str) -> str:
    return lake.do("finish", table=TABLE, day=DAY, batch_id=staged).require()


@LONG
def test_two_partitions_at_once_are_both_there(lake, begun, proofs):
    lake.restore("begun")
    lake.do("deliver", source=TABLE, day=NEXT, number=1).require()
    other = _step(lake, "audit", _step(lake, "stage", day=NEXT), day=NEXT)

    ended = lake.at_once(*[_publish(begun["split"]), _publish(other, NEXT)] * 2)

    seen = _look(lake)
    both = (_commits(seen, begun["split"]), _commits(seen, other), _published(seen, NEXT)) == (1, 1, 1)
    proofs("race", "two partitions, 2 each at once", violations=int(not both), ends=_ends(ended))
    assert all(one.returned or one.retryable for one in ended), ended
    assert both, seen


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rounds", [1, pytest.param(15, marks=LONG)])
def test_older_and_newer_batch_at_once_end_with_the_newer(lake, begun, rounds, proofs):
    lake.restore("begun")
    lake.do("deliver", source=TABLE, day=DAY, number=3, without=1).require()
    newer = _step(lake, "audit", _step(lake, "stage"))
    lake.save(f"older_and_newer_{rounds}")
    for number in range(rounds):
        lake.restore(f"older_and_newer_{rounds}")
        jobs = [_publish(begun["split"]), _publish(newer)]
        ended = lake.at_once(*(jobs if number % 2 else reversed(jobs)))
        seen = _look(lake)
        right = seen["commits"][TABLE][0] == newer and not _open(seen) and not seen["held"]
        answered = {one.raised for one in ended} <= {"", "BatchSupersededError"}
        proofs(
            "race",
            "an older and a newer batch at once",
            violations=int(not (right and answered)),
            ends=_ends(ended),
        )
        assert answered, ended
        assert right, seen


@pytest.fixture(scope="module")
def released(lake, healthy) -> str:
    """A state `released`: a correction is held; the id of its batch."""
    lake.restore(healthy)
    lake.do("deliver", source=TABLE, day=DAY, number=2, **MANY).require()
    staged = _step(lake, "stage")
    assert lake.do("step", name="audit", table=TABLE, day=DAY, batch_id=staged).raised == "BatchHeldError"
    lake.save("released")
    return staged


@LONG
@pytest.mark.parametrize("rounds", [8])
def test_release_and_new_delivery_at_once_end_with_the_delivery(lake, released, rounds, proofs):
    for _ in range(rounds):
        lake.restore("released")
        lake.do("deliver", source=TABLE, day=DAY, number=3, without=1).require()
        newer = _step(lake, "audit", _step(lake, "stage"))
        ended = lake.at_once({"job": "release", "table": TABLE, "day": DAY}, _publish(newer))
        seen = _look(lake)
        right = seen["commits"][TABLE][0] == newer and not seen["held"]
        answered = {one.raised for one in ended} <= {"", "BatchSupersededError", "ReleaseRefusedError"}
        proofs(
            "race",
            "a release and a new delivery at once",
            violations=int(not (right and answered)),
            ends=_ends(ended),
        )
        assert answered, ended
        assert right, seen


def test_release_while_a_newer_delivery_is_being_held_leaves_that_hold_open(lake, released, tmp_path, proofs):
    lake.restore("released")
    gate = tmp_path / "release"
    releasing = lake.start(
        {"job": "release", "table": TABLE, "day": DAY, "failpoint": f"publish.before_commit=wait:{gate}"}
    )
    lake.until_waiting(gate)
    lake.do("deliver", source=TABLE, day=DAY, number=3, without=1, **MANY).require()
    newer = _step(lake, "stage")
    assert lake.do("step", name="audit", table=TABLE, day=DAY, batch_id=newer).raised == "BatchHeldError"
    gate.touch()
    (ended,) = lake.wait(*releasing)

    seen = _look(lake)
    listed = [hold[:3] for hold in seen["held"]] == [["held", TABLE, DAY]]
    proofs("race", "a release while a newer delivery is held", violations=int(not listed))
    assert ended.require() == released
    assert listed, seen["held"]


@LONG
def test_replay_twice_at_once_repairs_once(lake, healthy, proofs):
    lake.restore(healthy)
    lake.do("deliver", source=TABLE, day=DAY, number=2, **BAD).require()
    _finish(lake, _step(lake, "stage"))
    lake.do("deliver", source=TABLE, day=DAY, number=3, without=1).require()
    before = _look(lake)["commits"][TABLE][0]

    ended = lake.at_once(*[{"job": "replay", "table": TABLE, "day": DAY}] * 2)

    seen = _look(lake)
    right = not seen["held"] and not _open(seen) and seen["commits"][TABLE][0] > before
    honest = {"BatchSupersededError", "ReplayRefusedError", ""}
    answered = {one.raised for one in ended} <= honest and any(not one.raised for one in ended)
    proofs("race", "a replay twice at once", violations=int(not (right and answered)), ends=_ends(ended))
    assert answered, ended
    assert right, (seen, before)


@LONG
@pytest.mark.parametrize(
    "point",
    [
        "ledger.before_commit",
        "ledger.appended",
        "publish.before_commit",
        "publish.committed",
        "ledger.appended#2",
    ],
)
def test_release_killed_and_asked_for_again_publishes_once(lake, released, point, proofs):
    lake.restore("released")
    before = _published(_look(lake))
    release = {"job": "release", "table": TABLE, "day": DAY}
    (killed,) = lake.at_once({**release, "failpoint": f"{point}=kill"})
    assert killed.was_killed

    (again,) = lake.at_once(release)

    seen = _look(lake)
    once = (_commits(seen, released), _published(seen) - before, seen["held"]) == (1, 1, [])
    answered = again.returned == released or again.raised == "ReleaseRefusedError"
    proofs("crash point", f"release: {point}", violations=int(not (once and answered)))
    assert answered, again
    assert once, seen


@LONG
@pytest.mark.parametrize(
    "point", ["stage.file_written", "audit.verdict_written", "publish.committed", "ledger.appended#4"]
)
def test_replay_killed_and_asked_for_again_repairs_once(lake, healthy, point, proofs):
    lake.restore(healthy)
    lake.do("deliver", source=TABLE, day=DAY, number=2, **BAD).require()
    _finish(lake, _step(lake, "stage"))
    lake.do("deliver", source=TABLE, day=DAY, number=3, without=1).require()
    replay = {"job": "replay", "table": TABLE, "day": DAY}
    (killed,) = lake.at_once({**replay, "failpoint": f"{point}=kill"})
    assert killed.was_killed

    (again,) = lake.at_once(replay)

    seen = _look(lake)
    right = (
        not seen["held"]
        and not _open(seen)
        and len(set(seen["commits"][TABLE])) == len(seen["commits"][TABLE])
    )
    answered = not again.raised or again.raised == "ReplayRefusedError"
    proofs("crash point", f"replay: {point}", violations=int(not (right and answered)))
    assert answered, again
    assert right, seen
