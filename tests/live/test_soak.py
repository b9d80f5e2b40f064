"""Weeks of a live pipeline that is left alone: undisturbed, and with a fault on most days, drawn by a seed.

Both come to what the same days come to without Airflow. The two need an hour each, on a machine that does nothing else.

`SLUICE_SOAK_DAYS` and `SLUICE_SOAK_SEED` choose fewer days and another order of faults.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import date, timedelta
from functools import partial

import pytest

from sluice import ledger, status
from sluice.declare import spec
from tests.live import faults, outcome, twin
from tests.live.conftest import STARTS, World, installation, set_clock
from tests.live.faults import Soak
from tests.live.outcome import Outcome

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(6 * 3600)]

DAYS = int(os.environ.get("SLUICE_SOAK_DAYS", "60"))
SEED = int(os.environ.get("SLUICE_SOAK_SEED", "9"))
# Of all days; the others are undisturbed.
SHARE = 0.75
# Of one stage and run day, at most: the pauses between them double from ten minutes, which a day and a night have six times, and a file
# that comes later starts it once more.
STARTS_OF_A_DAY = 8
RUN_DAYS = [(date.fromisoformat(STARTS) + timedelta(days=number)).isoformat() for number in range(DAYS)]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Outcome:
    """What these days come to without Airflow and without a fault."""
    base = tmp_path_factory.mktemp("twin")
    with installation(base):
        return twin.build(spec.load("flights"), RUN_DAYS, partial(set_clock, base / "clock"))


def test_days_without_a_fault_send_no_mail_and_take_one_run_each(expected, world, proofs):
    soak = Soak(world, random.Random(SEED))
    for day in RUN_DAYS:
        print(day, flush=True)
        faults.undisturbed(soak, day)
    soak.watch(RUN_DAYS[-1], "23:00")
    assert _not_done(world) == []
    assert world.subjects() == []
    runs = {stage: Counter(run["partition_key"] for run in world.runs(stage)) for stage in faults.STAGES}
    assert runs == {stage: Counter(RUN_DAYS) for stage in faults.STAGES}
    assert outcome.observe(world.pipeline, RUN_DAYS) == expected
    proofs("live day without a fault", f"{DAYS} days", runs=sum(one.total() for one in runs.values()))


def test_days_with_faults_come_to_the_same_end(expected, world, proofs):
    soak = Soak(world, random.Random(SEED))
    played, plan = Counter[str](), dict(zip(RUN_DAYS, _plan(soak.draw), strict=True))
    for day, play in plan.items():
        print(f"seed {SEED}, {day}: {play.__name__}", flush=True)
        play(soak, day)
        played[play.__name__] += 1
    soak.watch(RUN_DAYS[-1], "23:00")

    assert _not_done(world) == [], "a day is lost"
    found = outcome.observe(world.pipeline, RUN_DAYS)
    assert outcome.late_without_mark(world.pipeline) == []
    marked = {("predictions", day) for day in found.marked}
    assert found.rows == {part: rows for part, rows in expected.rows.items() if part not in marked}
    assert found.quarantined == expected.quarantined
    assert found.decisions == expected.decisions
    for day, marks in found.marked.items():
        # The day itself, and those before it whose files may still be missing.
        back = [plan[before] for before in RUN_DAYS[: RUN_DAYS.index(day) + 1][-4:]]
        assert {faults.missing, faults.paused} & {*back}, (day, marks, back)
    started = Counter((one.subject, one.partition) for one in ledger.entries(kind="started"))
    assert max(started.values()) <= STARTS_OF_A_DAY, started.most_common(3)
    subjects = world.subjects()
    for source, day in soak.told:
        # A fault of a delivery, or of the task `stage_<source>` that reads it.
        about = [subject for subject in subjects if f"{source} {day}" in subject]
        assert ["[RESOLVED]" in subject for subject in about] == [False, True], (source, day, subjects)
    assert len(subjects) == 2 * len(soak.told), subjects
    for kind, times in played.items():
        proofs("live day with a fault", f"{kind}, seed {SEED}", times=times)


def _not_done(world: World) -> list[str]:
    return [item.sentence() for item in status.of(world.pipeline) if not item.is_done]


def _plan(draw: random.Random) -> list:
    """What happens on each day: every kind as often as the days allow; the first and the last two are undisturbed."""
    free = max(0, DAYS - 3)
    wanted = round(free * SHARE)
    kinds = [faults.KINDS[number % len(faults.KINDS)] for number in range(wanted)]
    if wanted < len(faults.KINDS):
        kinds = draw.sample(faults.KINDS, k=wanted)
    plays = [*kinds, *[faults.undisturbed] * (free - wanted)]
    draw.shuffle(plays)
    plan = [faults.undisturbed, *plays, faults.undisturbed, faults.undisturbed]
    return plan[:DAYS]
