"""Two people who land a file of the same day at the same moment: both are there, each under a number of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sluice.ingest import deliveries
from sluice.lake.landing import Landing

DAY = "2013-01-02"
HEADER = b"carrier,name\n"


@pytest.fixture(params=["folder", "bucket"])
def zone(request, flights, monkeypatch) -> Landing:
    if request.param == "bucket":
        monkeypatch.setenv("SLUICE_LANDING", f"s3://{request.getfixturevalue('bucket')}/in")
        from sluice.core.settings import settings

        settings.cache_clear()
    return Landing(flights.landing_url)


def _started(tmp_path: Path, name: str, content: bytes) -> subprocess.Popen[str]:
    """A real `sluice land`, which has chosen its number when `<name>.reached` is there and goes on when `<name>` is."""
    file = tmp_path / f"{name}.csv"
    file.write_bytes(content)
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("sluice")), "land", "flights", "airlines", DAY, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "SLUICE_FAILPOINT": f"land.before_write=wait:{tmp_path / name}"},
    )


def _until(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, "the failpoint is not reached"
        time.sleep(0.02)  # how often to look; what is waited for is the file


def test_land_twice_at_once_keeps_both_files_under_numbers_of_their_own(flights, zone, tmp_path):
    deliveries.land(flights, "airlines", DAY, HEADER + b"9E,Endeavor\n")
    contents = {"one": HEADER + b"AA,American\n", "two": HEADER + b"B6,JetBlue\n"}
    running = {name: _started(tmp_path, name, content) for name, content in contents.items()}
    for name in running:
        _until(tmp_path / f"{name}.reached")  # by now both have chosen number 2
    said = {}
    for name, process in running.items():
        (tmp_path / name).touch()
        said[name] = process.communicate(timeout=120)[0].splitlines()[0]

    for name, content in contents.items():
        landed = said[name].split()[-1]
        assert zone.read(landed) == content, said
        assert json.loads(zone.read(landed + deliveries.MANIFEST))["rows"] == 1
    names = sorted(text.split()[-1] for text in said.values())
    assert names == [f"airlines/{DAY}/airlines_{DAY}_{number}.csv" for number in (2, 3)]
    found = deliveries.find(flights, "airlines", DAY)
    assert found is not None
    assert found.number == 3


def test_land_beside_a_file_that_is_not_announced_yet_leaves_it_as_it_is(flights, zone):
    coming = f"airlines/{DAY}/airlines_{DAY}.csv"
    zone.create()
    zone.write(coming, b"half of what a producer is wri")
    landed = deliveries.land(flights, "airlines", DAY, HEADER + b"9E,Endeavor\n")
    assert landed == f"airlines/{DAY}/airlines_{DAY}_2.csv"
    assert zone.read(coming) == b"half of what a producer is wri"
