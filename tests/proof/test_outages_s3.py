"""The warehouse and the landing zone on S3, where three requests of ten fail, and where S3 is gone for a while.

A real S3 server, a proxy in front of it that does what networks do (faulty_s3.py), and processes of their own that
are started again as Airflow does: where the error says that it may pass, and no oftener than a task has tries.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import pytest

from tests.proof.faulty_s3 import FAULTS, FaultyS3

pytestmark = pytest.mark.slow

DAY, OTHER = "2013-07-04", "2013-07-05"
# A task's own try, and its two retries.
TRIES = 3
# All of them, and the quick ones twice more: one that is slow costs a second each time.
QUICK = tuple(name for name in FAULTS if name not in ("slow", "late"))
MIXED = (*FAULTS, *QUICK, *QUICK)
# What no outage may change, and what the number of tries does not.
SAME = ("shown", "quarantine", "conserved", "commits_counted")


@dataclass
class Installation:
    """A home whose landing zone and warehouse are in a bucket, reached through a proxy."""

    lake: object
    proxy: FaultyS3
    env: dict[str, str]
    tried: int = 0
    asked_again: int = 0

    def step(self, name: str, day: str = DAY, batch_id: str | None = None, table: str = "arrivals") -> str:
        """One task, as often as Airflow would try it."""
        for _ in range(TRIES):
            self.tried += 1
            ended = self.lake.do("step", env=self.env, name=name, table=table, day=day, batch_id=batch_id)
            if not ended.retryable:
                return ended.require()
            assert self.env["BUCKET"] in ended.said, "the error names the bucket"
            self.asked_again += 1
        raise AssertionError(f"{name} failed {TRIES} times, the last time with: {ended.said}")

    def cross(self, day: str = DAY, table: str = "arrivals") -> str:
        batch_id = self.step("audit", day, self.step("stage", day, table=table), table)
        return self.step("publish", day, batch_id, table)

    def seen(self, day: str = DAY, table: str = "arrivals") -> dict:
        """What there is, asked for without any fault."""
        self.proxy.fail(0)
        found = self.lake.do("observe", env=self.env, table=table, day=day).require()
        found["commits_counted"] = {name: len(commits) for name, commits in found["commits"].items()}
        return found


@pytest.fixture
def installation(lake, s3_server, bucket, tmp_path, feed_cache):
    """Function: a new installation; on S3 behind a proxy, or (`local`) in a folder, undisturbed."""
    made: list[FaultyS3] = []

    def make(*, local: bool = False) -> Installation:
        home = tmp_path / f"home{len(made)}"
        home.mkdir()
        (home / "feed-cache").symlink_to(feed_cache)
        proxy = FaultyS3(s3_server)
        made.append(proxy)
        env = {
            "SLUICE_HOME": str(home),
            "BUCKET": bucket,
            "SLUICE_LANDING": "" if local else f"s3://{bucket}/{home.name}/landing",
            "SLUICE_WAREHOUSE": "" if local else f"s3://{bucket}/{home.name}/lake",
            "SLUICE_S3_SECONDS": "1",
            "AWS_ENDPOINT_URL_S3": proxy.url,
            **{name: os.environ[name] for name in AWS},
        }
        return Installation(lake, proxy, env)

    yield make
    for proxy in made:
        proxy.close()


AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)


def deliver(made: Installation, *days: str) -> None:
    for day in days:
        made.lake.do(
            "deliver",
            env=made.env,
            source="arrivals",
            day=day,
            number=1,
            unknown_carriers=5,
            wrong_clocks=2,
        ).require()


@pytest.fixture
def undisturbed(installation) -> dict:
    """What an installation on a local disk shows after the same two days, without any fault."""
    made = installation(local=True)
    deliver(made, DAY, OTHER)
    made.cross(DAY)
    made.cross(OTHER)
    return made.seen()


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=() if seed < 1 else pytest.mark.long) for seed in range(12)]
)
def test_crossing_where_three_requests_of_ten_fail_ends_like_an_undisturbed_one(
    installation, undisturbed, proofs, seed
):
    made = installation()
    deliver(made, DAY, OTHER)
    made.proxy.fail(0.3, *MIXED, seed=seed)

    first = made.cross(DAY)
    made.cross(OTHER)
    repeated = made.step("publish", DAY, first)

    failed, asked = made.proxy.failed, sum(made.proxy.seen.values())
    seen = made.seen()
    assert failed > 0.2 * asked, "the proxy did its part"
    assert repeated == first
    assert {name: seen[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert seen["quarantine"], "rows were set aside"
    assert seen["published"] == 2
    proofs(
        "outage",
        f"S3, 30% of requests fail, seed {seed}",
        requests=asked,
        failed=failed,
        steps=made.tried,
        tried_again=made.asked_again,
    )


@pytest.mark.parametrize(
    ("step", "point"),
    [
        pytest.param("publish", "quarantine.recorded"),
        *(
            pytest.param(*each, marks=pytest.mark.long)
            for each in (
                ("stage", "stage.file_written"),
                ("audit", "split.aside_written"),
                ("publish", "quarantine.staged"),
                ("publish", "table.created"),
                ("publish", "publish.before_commit"),
                ("publish", "publish.committed"),
            )
        ),
    ],
)
def test_bucket_that_is_gone_in_the_middle_of_a_step_fails_it_retryably_and_the_next_try_succeeds(
    installation, undisturbed, tmp_path, step, point, proofs
):
    made, gate = installation(), tmp_path / "gate"
    deliver(made, DAY, OTHER)
    batch_id = None
    for earlier in ("stage", "audit", "publish"):
        if earlier == step:
            break
        batch_id = made.step(earlier, DAY, batch_id)
    given = {"name": step, "table": "arrivals", "day": DAY, "batch_id": batch_id}
    (pid,) = made.lake.start({"job": "step", "env": made.env, "failpoint": f"{point}=wait:{gate}", **given})
    made.lake.until_waiting(gate)
    made.proxy.go()
    gate.touch()
    started = time.monotonic()
    (ended,) = made.lake.wait(pid)
    took = time.monotonic() - started
    made.proxy.come_back()

    # After the commit nothing is read from the bucket any more.
    if ended.raised:
        assert (ended.raised, ended.retryable) == ("LakeUnreachableError", True), ended.trace
        assert f"bucket {made.env['BUCKET']!r} cannot be used" in ended.said
    else:
        assert point == "publish.committed"
    for name in ("stage", "audit", "publish")[("stage", "audit", "publish").index(step) :]:
        batch_id = made.step(name, DAY, batch_id)
    made.cross(OTHER)
    seen = made.seen()
    assert {name: seen[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert seen["published"] == 2
    proofs("outage", f"S3 gone at {point}", ended=ended.raised or "well", after=f"{took:.0f} s")


@pytest.mark.long
def test_landing_zone_and_warehouse_that_are_gone_from_the_start_fail_every_step_retryably(
    installation, proofs
):
    made = installation()
    deliver(made, DAY)
    staged = made.step("stage")
    audited = made.step("audit", batch_id=staged)
    made.proxy.go()
    took = {}
    for name, batch_id in (("stage", None), ("audit", staged), ("publish", audited)):
        started = time.monotonic()
        ended = made.lake.do("step", env=made.env, name=name, table="arrivals", day=DAY, batch_id=batch_id)
        took[name] = f"{time.monotonic() - started:.0f} s"
        assert ended.retryable, ended.trace
        assert repr(made.env["BUCKET"]) in ended.said
    made.proxy.come_back()
    made.step("publish", batch_id=audited)
    assert made.seen()["published"] == 1
    proofs("outage", "S3 gone for a whole step", **took)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_publishes_at_once_where_three_requests_of_ten_fail_take_effect_once(
    installation, undisturbed, proofs, seed
):
    """Two days at once, each from three processes, again and again until all have ended well."""
    made = installation()
    deliver(made, DAY, OTHER)
    audited = {day: made.step("audit", day, made.step("stage", day)) for day in (DAY, OTHER)}
    made.proxy.fail(0.3, *MIXED, seed=seed)
    jobs = [
        {"job": "step", "env": made.env, "name": "publish", "table": "arrivals", "day": day, "batch_id": id_}
        for day, id_ in audited.items()
        for _ in range(3)
    ]
    rounds = 0
    while jobs:
        rounds += 1
        assert rounds <= 2 * TRIES, "it does not converge"
        ended = made.lake.at_once(*jobs)
        assert all(one.retryable or not one.raised for one in ended), [one.trace for one in ended]
        jobs = [job for job, one in zip(jobs, ended, strict=True) if one.raised]
    failed = made.proxy.failed
    seen = made.seen()
    assert {name: seen[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert seen["published"] == 2
    proofs("race", f"S3, 30% fail, 2 publishes from 6 processes, seed {seed}", failed=failed, rounds=rounds)


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "point"),
    [
        ("stage", "stage.file_written"),
        ("stage", "stage.manifest_written"),
        ("audit", "split.aside_written"),
        ("audit", "stage.manifest_written"),
        ("publish", "quarantine.staged"),
        ("publish", "quarantine.recorded"),
        ("publish", "table.created"),
        ("publish", "publish.before_commit"),
        ("publish", "publish.committed"),
        ("publish", "ledger.before_commit"),
    ],
)
def test_process_killed_over_s3_where_three_requests_of_ten_fail_leaves_what_another_try_completes(
    installation, undisturbed, step, point, proofs
):
    made = installation()
    deliver(made, DAY, OTHER)
    made.proxy.fail(0.3, *QUICK, seed=7)
    batch_id = None
    for name in ("stage", "audit", "publish"):
        if name == step:
            given = {"name": name, "table": "arrivals", "day": DAY, "batch_id": batch_id}
            (killed,) = made.lake.at_once(
                {"job": "step", "env": made.env, "failpoint": f"{point}=kill", **given}
            )
            assert killed.was_killed or killed.retryable, "it came to the point, or not so far"
        batch_id = made.step(name, DAY, batch_id)
    made.cross(OTHER)
    seen = made.seen()
    assert {name: seen[name] for name in SAME} == {name: undisturbed[name] for name in SAME}
    assert seen["published"] == 2
    proofs("crash point", f"{step}, {point}, over S3")
