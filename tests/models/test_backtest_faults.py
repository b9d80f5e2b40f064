"""A file of faults is read as it is, or what is wrong in it is named."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.models import backtest, backtest_faults
from sluice_ml.faults import Fault

SHIPPED = Path(__file__).resolve().parents[2] / "benchmarks" / "faults.yml"


def test_shipped_faults_are_read(flights):
    found = backtest_faults.read(SHIPPED, flights)
    assert len(found) == 14
    assert found[1] == Fault(
        kind="ranking", first=date(2013, 6, 1), last=date(2013, 8, 14), size=0.13, every=2
    )
    assert found[1].sentence == "AUC lower by 0.13, every second day from 2013-06-01 to 2013-08-14"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: ranking", "the file: must be a list"),
        (
            "- {kind: flood, first: 2013-08-01, last: 2013-08-02}",
            "fault 1, kind: 'flood' is no kind of fault (allowed: ranking, power, labels, missing)",
        ),
        (
            "- {kind: rankings, first: 2013-08-01, last: 2013-08-02}",
            "(allowed: ranking, power, labels, missing); did you mean 'ranking'?",
        ),
        ("- {first: 2013-08-01, last: 2013-08-02}", "fault 1, kind: '' is no kind of fault"),
        ("- {kind: ranking, first: 2013-08-01, last: 2013-08-02}", "fault 1, size: Field required"),
        (
            "- {kind: labels, first: 2013-08-01, last: 2013-08-02, size: 0.5}",
            "fault 1, size: must be greater than 1, not 0.5",
        ),
        ("- {kind: power, first: 2013-08-02, last: 2013-08-01, size: 6}", "has no day"),
        ("- {kind: power, first: 2013-08-01, last: 2013-08-02, size: 1}", "changes nothing"),
        (
            "- {kind: missing, first: 2013-08-01, last: 2013-08-02, source: sea}",
            "fault 1, source: 'sea' is no source in monitoring.pipes (allowed: weather",
        ),
    ],
)
def test_wrong_faults_are_named(flights, tmp_path, text, said):
    path = tmp_path / "faults.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecInvalidError, match="no faults for a backtest") as refused:
        backtest_faults.read(path, flights)
    assert said in str(refused.value)


def test_fault_that_begins_on_no_day_of_the_range_is_refused(flights, tmp_path):
    for day in (date(2013, 3, 1), date(2013, 4, 2)):
        # The outcomes of 2 April come after the end.
        outside = Fault(kind="power", first=day, last=date(2013, 5, 1), size=6)
        with pytest.raises(SpecInvalidError, match=f"begins on {day}"):
            backtest.run(flights, flights, "2013-04-01", "2013-04-02", tmp_path, lambda line: None, [outside])
