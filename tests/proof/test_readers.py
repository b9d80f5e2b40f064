"""Readers see the whole of an old version of a day or the whole of a new one, whatever is being published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proof.processes import DAYS, Ended, Lake

DAY = DAYS[-1]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("times", [12, pytest.param(100, marks=pytest.mark.long)])
def test_readers_during_publishes_see_one_of_two_versions(lake, healthy, tmp_path, times, proofs):
    lake.restore(healthy)
    versions = set(lake.do("versions", day=DAY).require())
    done = str(tmp_path / "done")
    reader = {"job": "read", "day": DAY, "done": done, "into": str(tmp_path)}
    # The writer keeps one snapshot, and no metadata file but the last: what readers hold goes away under them.
    writer = {"job": "instrumented", "job_": "alternate", "day": DAY, "times": times, "done": done}

    wrote, *read = lake.at_once(
        writer, {**reader, "through": "scan"}, {**reader, "through": "scan"}, {**reader, "through": "files"}
    )

    assert wrote.require() == times
    seen = [one.require() for one in read]
    reads = sum(sum(one.values()) for one in seen)
    strange = sum(count for one in seen for version, count in one.items() if version not in versions)
    proofs("reader", f"{times} publishes by turns", violations=strange, reads=reads)
    assert len(versions) == 2
    assert not strange, seen
    assert all(versions & one.keys() for one in seen)
    assert set().union(*seen) == versions, "readers saw both"


def _read_through_five_publishes(lake: Lake, folder: Path, job: str) -> Ended:
    """A reader that is stopped on its way while the day is published five times, by turns in two versions."""
    gate = folder / "gate"
    pids = lake.start({"job": job, "day": DAY, "gate": str(gate)})
    lake.until_waiting(gate)
    lake.do("instrumented", job_="alternate", day=DAY, times=5, done=str(folder / "done")).require()
    gate.touch()
    return lake.wait(*pids)[0]


def test_reader_that_holds_a_snapshot_that_is_expired_reads_it_whole_or_is_told(
    lake, healthy, tmp_path, proofs
):
    lake.restore(healthy)
    old, _ = lake.do("versions", day=DAY).require()

    held, by_id = _read_through_five_publishes(lake, tmp_path, "read_late").require()

    right = (held, by_id) == (old, "TableMissingError")
    proofs("reader", "a snapshot that is expired while it is held", violations=int(not right))
    assert held == old, "through the metadata that it had"
    assert by_id == "TableMissingError", "anew, by its id"


def test_reader_whose_metadata_are_deleted_before_it_reads_them_reads_the_newest(
    lake, healthy, tmp_path, proofs
):
    lake.restore(healthy)
    versions = lake.do("versions", day=DAY).require()

    ended = _read_through_five_publishes(lake, tmp_path, "read_slowly")

    proofs("reader", "metadata deleted under a reader", violations=int(ended.returned != versions[1]))
    assert ended.require() == versions[1], "the fifth publish was of the second version"
