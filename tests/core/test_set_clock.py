"""The clock that tests set: one file, read by every process."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from sluice import ledger
from sluice.core import clock
from sluice.core.errors import SpecInvalidError
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records

ASK = "from sluice.core import clock; print(clock.utc_now().isoformat())"


def test_without_a_file_the_system_clock_counts(set_clock):
    assert clock.set_time() is None
    assert abs(clock.utc_now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_every_process_reads_the_instant_of_the_file(set_clock):
    at = set_clock("2026-01-31T23:30:00-05:00")
    assert clock.utc_now() == at
    assert clock.utc_now().tzinfo is UTC
    other = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert datetime.fromisoformat(other.stdout.strip()) == at

    live = spec.load("flights").model_copy(update={"clock": "wall"})
    assert pipeline_clock.today(live) == date(2026, 1, 31)
    assert pipeline_clock.now(live) == at
    assert ledger.append(records.Expired(), pipeline="flights", subject="arrivals").at == at

    later = set_clock("2026-02-07T04:00:00+00:00")
    assert clock.utc_now() == later
    assert pipeline_clock.today(live) == date(2026, 2, 6)


@pytest.mark.parametrize("text", ["", "2026-01-31T06:00:00", "tomorrow"])
def test_a_file_without_an_instant_is_refused(set_clock, tmp_path, text):
    (tmp_path / "clock").write_text(text)
    with pytest.raises(SpecInvalidError, match=r"is not an instant.*SLUICE_CLOCK.*offset"):
        clock.utc_now()
