"""What was refused is tried again when something else is announced for its day, and not before."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice import crossing
from sluice.core.errors import SluiceError
from sluice.ingest import deliveries, reader
from sluice_lab import feed
from tests.status.conftest import RUN, publish, states

MONDAY, TUESDAY = "2013-04-01", "2013-04-02"


@pytest.fixture
def refuse(live, at):
    """Function: stage the arrivals of Monday, in vain."""
    at("2013-04-01 07:00")

    def stage():
        with pytest.raises(SluiceError):
            crossing.stage(live, "arrivals", [MONDAY], RUN)
        assert states(live, MONDAY)["arrivals"] == "held"

    return stage


def test_a_correction_that_was_being_written_when_the_first_was_refused_is_taken_when_it_is_announced(
    live, refuse
):
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="truncated")
    (name,) = feed.deliver(live, MONDAY, sources=["arrivals"], number=2)
    manifest = Path(live.landing_url) / f"{name}{deliveries.MANIFEST}"
    announced = manifest.read_bytes()
    manifest.unlink()
    refuse()
    manifest.write_bytes(announced)
    assert states(live, MONDAY)["arrivals"] == "ready"


def test_a_correction_that_came_while_the_first_was_read_is_taken(live, refuse, monkeypatch):
    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="wrong_type")
    read = reader.Reader.read

    def correct_and_read(*given, **named):
        feed.deliver(live, MONDAY, sources=["arrivals"], number=2)
        return read(*given, **named)

    monkeypatch.setattr(reader.Reader, "read", correct_and_read)
    with pytest.raises(SluiceError):
        crossing.stage(live, "arrivals", [MONDAY], RUN)
    assert states(live, MONDAY)["arrivals"] == "ready"


def test_a_right_name_is_taken_when_the_wrong_one_beside_it_is_gone(live, refuse):
    (name,) = feed.deliver(live, MONDAY, sources=["arrivals"])
    wrong = Path(live.landing_url) / name.replace("arrivals_", "arrival_")
    for there in (wrong, wrong.with_name(f"{wrong.name}{deliveries.MANIFEST}")):
        there.write_bytes(
            (
                Path(live.landing_url)
                / there.relative_to(live.landing_url).as_posix().replace("/arrival_", "/arrivals_")
            ).read_bytes()
        )
    refuse()
    wrong.unlink()
    assert states(live, MONDAY)["arrivals"] == "held", "its manifest is there"
    wrong.with_name(f"{wrong.name}{deliveries.MANIFEST}").unlink()
    assert states(live, MONDAY)["arrivals"] == "ready"


def test_a_range_of_which_one_file_is_refused_keeps_no_other_day_of_it(live, at):
    at("2013-04-02 07:00")
    feed.deliver(live, MONDAY, sources=["arrivals"])
    feed.deliver(live, TUESDAY, sources=["arrivals"], corrupt="truncated")
    with pytest.raises(SluiceError):
        crossing.stage(live, "arrivals", [MONDAY, TUESDAY], RUN)
    assert states(live, MONDAY)["arrivals"] == states(live, TUESDAY)["arrivals"] == "held"
    publish(live, "arrivals", MONDAY)
    assert (states(live, MONDAY)["arrivals"], states(live, TUESDAY)["arrivals"]) == ("published", "held")
    feed.deliver(live, TUESDAY, sources=["arrivals"], number=2)
    assert (states(live, MONDAY)["arrivals"], states(live, TUESDAY)["arrivals"]) == ("published", "ready")
