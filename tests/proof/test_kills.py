"""Whatever step of a crossing dies, at whatever point, and is started again: the end is that of an undisturbed run.

What is tried is read from an undisturbed run, which is watched: every failpoint that it passes, each time, in each of
its three steps. That run also shows that no write is without a failpoint.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from sluice.core import failpoints
from tests.proof import watching
from tests.proof.processes import DAYS, NEXT, Ended, Lake
from tests.proof.zygote import DERIVED

STEPS = ("stage", "audit", "publish")
SEED = 4
# Bad rows of the delivery under test: both kinds are set aside, the others are published.
BAD = {"unknown_carriers": 2, "wrong_clocks": 1}


@dataclass(frozen=True)
class Case:
    """One point, passed for the n-th time in one step of a crossing."""

    step: str
    point: str
    time: int

    @property
    def armed(self) -> str:
        return f"{self.point}#{self.time}"

    def __str__(self) -> str:
        return f"{self.step} {self.armed}"


@dataclass
class Scene:
    """A lake just before a crossing, and what an undisturbed crossing makes of it."""

    lake: Lake
    name: str
    table: str
    # The run's day and that of the rows.
    day: str
    data_day: str
    before: dict[str, Any]
    after: dict[str, Any]
    cases: list[Case]
    # Step -> its writes: from which point, to which, and the files.
    writes: dict[str, list[list[Any]]] = field(default_factory=dict)
    # Step -> name of the state before it, and what the step before it returned.
    begun: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def run(self, step: str, given: str | None, failpoint: str = "") -> Ended:
        return self.lake.do(
            "instrumented",
            failpoint=failpoint,
            job_="step",
            name=step,
            table=self.table,
            day=self.day,
            batch_id=given,
        )

    def look(self) -> dict[str, Any]:
        return self.lake.do("observe", table=self.table, day=self.data_day).require()


@pytest.fixture(scope="module")
def scenes(lake, request):
    """Function: the scene of a name, made once."""

    @cache
    def make(name: str) -> Scene:
        table, day, data_day = {
            "first": ("schedule", NEXT, NEXT),
            "correction": ("schedule", DAYS[-1], DAYS[-1]),
            "derived": ("features", DAYS[-1], DAYS[-1]),
            "predictions": ("predictions", DAYS[-1], DAYS[-1]),
        }[name]
        if name == "first":
            lake.empty()
            lake.do("deliver", source=table, day=day, number=1, **BAD).require()
        else:
            lake.restore(request.getfixturevalue("predictable" if name == "predictions" else "healthy"))
        if name == "derived":
            lake.load(DERIVED)
        if name == "correction":
            lake.do("deliver", source=table, day=day, number=2, without=3, **BAD).require()
        scene = Scene(lake, name, table, day, data_day, {}, {}, [])
        scene.before = scene.look()
        given = None
        for step in STEPS:
            scene.begun[step] = (f"{name}_{step}", given)
            lake.save(f"{name}_{step}")
            seen = lake.do(
                "instrumented", job_="trace", name=step, table=table, day=day, batch_id=given
            ).require()
            given = seen["xcom"]
            scene.writes[step] = seen["writes"]
            scene.cases += [Case(step, point, time) for point, time in seen["passed"]]
        scene.after = scene.look()
        return scene

    return make


def _same_end(seen: dict[str, Any], scene: Scene) -> list[str]:
    """What is not as after an undisturbed run; a repeated step may say again what it said before."""
    wanted = scene.after
    problems = [
        name
        for name in ("shown", "others", "quarantine", "conserved", "held", "published")
        if seen[name] != wanted[name]
    ]
    if not all(conserved for conserved, _ in seen["conserved"]):
        problems.append("rows are not conserved")
    if _once(seen["entries"]) != _once(wanted["entries"]):
        problems.append("decisions")
    for table, commits in seen["commits"].items():
        if len(commits) != len(wanted["commits"][table]) or len(set(commits)) != len(commits):
            problems.append(f"commits of {table}")
    return problems


def _once(entries: list[Any]) -> list[str]:
    return list(dict.fromkeys(repr(entry) for entry in entries))


def _only_old_or_new(seen: dict[str, Any], scene: Scene) -> list[str]:
    """What readers see that is neither the old state nor the new one; and new rows whose bad ones are nowhere."""
    shown, old, new = (each["shown"][scene.table] for each in (seen, scene.before, scene.after))
    if shown == old:
        return []
    if shown != new:
        return ["readers see neither the old nor the new rows"]
    return (
        []
        if seen["quarantine"] == scene.after["quarantine"]
        else ["rows are nowhere: seen, and not set aside"]
    )


def _tried(scene: Scene, action: str, *cases: Case) -> list[str]:
    """A crossing that is disturbed at each of some points in turn, and begun again as Airflow would; its problems."""
    begin = cases[0].step
    state, given = scene.begun[begin]
    scene.lake.restore(state)
    waiting, problems = list(cases), []
    for step in STEPS[STEPS.index(begin) :]:
        while waiting and waiting[0].step == step:
            case = waiting.pop(0)
            ended = scene.run(step, given, f"{case.armed}={action}")
            if not _disturbed(ended, action):
                # A step that is begun again can have less to do than the first time.
                if case is cases[0]:
                    problems.append(f"{case}: it was not {action}ed: {ended}")
                continue
            problems += [f"after {case}: {one}" for one in _only_old_or_new(scene.look(), scene)]
        given = scene.run(step, given).require()
    seen = scene.look()
    return problems + _same_end(seen, scene)


def _disturbed(ended: Ended, action: str) -> bool:
    if action == "kill":
        return ended.was_killed
    if action == "full":
        return ended.raised == "StorageFullError" and ended.retryable
    return bool(ended.raised) and not ended.final


def _kinds(action: str) -> str:
    return {"kill": "crash point", "full": "disk full", "lost": "lost answer"}[action]


def _try_all(scene: Scene, cases: list[Case], action: str, proofs) -> None:
    failed = []
    for case in cases:
        problems = _tried(scene, action, case)
        facts = {"problems": "; ".join(problems)} if problems else {}
        proofs(_kinds(action), f"{scene.name}: {case}", violations=int(bool(problems)), **facts)
        failed += [f"{case}: {problem}" for problem in problems]
    assert not failed, "\n".join(failed)


def _sample(cases: list[Case], count: int, seed: int) -> list[Case]:
    return random.Random(seed).sample(cases, count)


SCENES = ("first", "correction", "derived", "predictions")


@pytest.mark.parametrize(
    "name",
    ["correction", *(pytest.param(one, marks=pytest.mark.long) for one in SCENES if one != "correction")],
)
def test_every_write_has_a_failpoint(scenes, name):
    scene = scenes(name)
    crowded = {
        f"{step}: {begin} to {end}": files
        for step, writes in scene.writes.items()
        for begin, end, files in writes
        if len(files) > 1
    }
    assert not crowded, "writes without a failpoint between them: put one there (docs/proof.md)"
    assert sum(bool(files) for writes in scene.writes.values() for *_, files in writes) > 20, (
        "nothing was seen"
    )


@pytest.mark.long
def test_every_failpoint_is_passed(scenes):
    passed = {case.point for name in SCENES for case in scenes(name).cases}
    of_crossings = {point for point in failpoints.POINTS if not point.startswith(("maintenance.", "land."))}
    assert passed == {*of_crossings, *watching.ICEBERG}


@pytest.mark.parametrize("action", ["kill", "full", "lost"])
def test_crossing_disturbed_at_a_sample_of_points_ends_as_undisturbed(scenes, action, proofs):
    scene = scenes("correction")
    _try_all(scene, _sample(scene.cases, {"kill": 6}.get(action, 1), SEED), action, proofs)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("action", ["kill", "full", "lost"])
@pytest.mark.parametrize("name", SCENES)
def test_crossing_disturbed_at_every_point_ends_as_undisturbed(scenes, name, action, proofs):
    scene = scenes(name)
    assert len(scene.cases) > 30
    _try_all(scene, scene.cases, action, proofs)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_crossing_killed_twice_ends_as_undisturbed(scenes, proofs):
    scene, failed = scenes("correction"), []
    chance = random.Random(SEED)
    for _ in range(40):
        pair = sorted(chance.choices(scene.cases, k=2), key=lambda case: STEPS.index(case.step))
        problems = _tried(scene, "kill", *pair)
        name = " then ".join(map(str, pair))
        proofs(
            "double crash",
            name,
            violations=int(bool(problems)),
            **({"problems": problems} if problems else {}),
        )
        failed += [f"{name}: {problem}" for problem in problems]
    assert not failed, "\n".join(failed)
