"""Days and labels are read as they are written, or refused with what was allowed."""

from __future__ import annotations

from datetime import date

import pytest

from sluice.core import partitions
from sluice.core.errors import DayInvalidError


@pytest.mark.parametrize("text", ["1900-01-01", "2013-02-28", "2012-02-29", "2199-12-31"])
def test_read_day_that_exists(text):
    assert partitions.read_day(text) == date.fromisoformat(text)


@pytest.mark.parametrize(
    "text", ["1899-12-31", "2200-01-01", "2013-02-29", "20130228", "2013-W09-4", "2013-2-28", "", "yesterday"]
)
def test_read_day_that_is_none_is_refused_with_its_place(text):
    with pytest.raises(DayInvalidError, match=f"'{text}' is not a day") as caught:
        partitions.read_day(text, where="DAY")
    assert caught.value.where == "DAY"
    assert "from 1900-01-01 to 2199-12-31" in caught.value.allowed
    assert "correct the day" in caught.value.todo


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2013-01-31", ("2013-01-31", "2013-01-31")),
        ("2013-01-31..2013-01-31", ("2013-01-31", "2013-01-31")),
        ("2013-01-31..2013-02-02", ("2013-01-31", "2013-02-02")),
    ],
)
def test_read_label(text, days):
    assert partitions.read_label(text) == days


@pytest.mark.parametrize(
    "text", ["2013-02-02..2013-01-31", "2013-02-02..", "..2013-02-02", "2013-02-30", "a..b"]
)
def test_read_label_that_is_none_is_refused_with_its_place(text):
    with pytest.raises(DayInvalidError, match="is neither a day nor a range of days") as caught:
        partitions.read_label(text, where="DAY")
    assert caught.value.where == "DAY"
    assert "or first..last" in caught.value.allowed
    assert "correct it" in caught.value.todo


@pytest.mark.parametrize(
    ("days", "label"),
    [
        (["2012-02-28"], "2012-02-28"),
        (["2012-02-28", "2012-02-29"], "2012-02-28..2012-02-29"),
        (["2012-02-28", "2012-02-29", "2012-03-01"], "2012-02-28..2012-03-01"),
    ],
)
def test_label_names_its_days(days, label):
    assert partitions.partition_label(days) == label
    assert partitions.days_of(label) == days
    assert partitions.days_between(days[0], days[-1]) == days


def test_range_that_ends_before_it_begins_has_no_days():
    assert partitions.days_between("2012-02-29", "2012-02-28") == []


@pytest.mark.parametrize("label", ["2013-01-02..2013-01-04", "2013-01-03", "2013-01-03..2013-01-03"])
def test_covers_the_days_of_a_label_and_no_other(label):
    days = [f"2013-01-0{number}" for number in range(1, 7)]
    assert [day for day in days if partitions.covers(label, day)] == partitions.days_of(label)
