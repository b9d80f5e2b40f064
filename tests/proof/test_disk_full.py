"""A disk that is really full: what the user is told, and that the task succeeds once there is space again.

`test_kills.py` tries a full disk at every failpoint. Here no failpoint is used: a file may not grow beyond a limit
(EFBIG in the middle of a write), and a small file system is filled up (ENOSPC from whichever library writes).
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.proof.processes import NEXT, Lake

TABLE = "schedule"
BAD = {"unknown_carriers": 2, "wrong_clocks": 1}


def test_file_that_may_not_grow_is_told_as_no_space_and_succeeds_after(lake, healthy, proofs):
    lake.restore(healthy)
    before = lake.do("observe", table=TABLE, day=NEXT).require()
    lake.do("deliver", source=TABLE, day=NEXT, number=1, **BAD).require()
    step = {"name": "stage", "table": TABLE, "day": NEXT}

    ended = lake.do("limited", limit=4096, job_="step", **step)

    seen = lake.do("observe", table=TABLE, day=NEXT).require()
    nothing = all(seen[name] == before[name] for name in ("shown", "staged", "entries"))
    told = ended.raised == "StorageFullError" and ended.retryable
    proofs("disk full", "a file that may not grow (EFBIG)", violations=int(not (told and nothing)))
    assert told, ended
    assert "no space left" in ended.said
    assert "Next: free space" in ended.said
    assert len(seen["parts"]) <= 1, "half a file may be there, under a name that nobody reads"
    assert nothing
    staged = lake.do("step", **step).require()
    lake.do("finish", table=TABLE, day=NEXT, batch_id=staged).require()


@pytest.fixture
def small_disk(tmp_path, feed_cache):
    """A lake on a file system of 8 MB of its own, which no other process sees."""
    options = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*options, "true"], check=False).returncode:
        pytest.skip(
            "mounting a file system of its own takes Linux's user namespaces, which are not allowed here"
        )
    mount = (
        'mount -t tmpfs -o size=8m tmpfs "$SLUICE_HOME" && ln -s "$0" "$SLUICE_HOME/feed-cache" && exec "$@"'
    )
    found = Lake(tmp_path, feed_cache, [*options, "sh", "-c", mount, str(feed_cache), sys.executable])
    yield found
    found.close()


@pytest.mark.long
@pytest.mark.parametrize("leave", [0, 8_192, 32_768, 65_536, 131_072, 262_144])
def test_disk_that_is_full_is_told_as_such_and_the_crossing_succeeds_after(small_disk, leave, proofs):
    small_disk.do("deliver", source=TABLE, day=NEXT, number=1, **BAD).require()
    given, told = None, []
    for step in ("stage", "audit", "publish"):
        filler = str(small_disk.home / "filler")
        small_disk.do("fill", path=filler, leave=leave).require()
        ended = small_disk.do("step", name=step, table=TABLE, day=NEXT, batch_id=given)
        small_disk.do("remove", path=filler).require()
        if ended.raised:
            told.append((step, ended.raised, ended.said))
            ended = small_disk.do("step", name=step, table=TABLE, day=NEXT, batch_id=given)
        given = ended.require()
    seen = small_disk.do("observe", table=TABLE, day=NEXT).require()
    right = all(name == "StorageFullError" for _, name, _ in told) and len(seen["commits"][TABLE]) == 1
    proofs(
        "disk full",
        f"a disk with {leave:,} bytes left",
        violations=int(not right),
        refused=[step for step, *_ in told],
    )
    assert right, told
    assert told or leave > 100_000, "it was not full"
    assert [conserved for conserved, _ in seen["conserved"]] == [True]
