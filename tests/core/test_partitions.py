"""Days and labels are read as they are written, or refused with what was allowed; a partition is what its label says."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core import partitions
from sluice.core.errors import DayInvalidError
from sluice.core.partitions import Partition

DAYS = st.dates(partitions.FIRST_DAY, partitions.LAST_DAY).map(date.isoformat)
FEW = st.integers(0, 400)


@st.composite
def any_partition(draw) -> Partition:
    first = draw(st.dates(partitions.FIRST_DAY, partitions.LAST_DAY - timedelta(days=400)))
    return Partition(first.isoformat(), (first + timedelta(days=draw(FEW))).isoformat())


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
    assert partitions.read_label(text) == Partition(*days)


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
    assert str(Partition.of(days)) == label
    assert list(Partition.parse(label)) == days
    assert partitions.days_between(days[0], days[-1]) == days


@given(any_partition())
def test_label_is_read_as_the_partition_that_it_was_written_for(partition):
    assert Partition.parse(str(partition)) == partitions.read_label(str(partition)) == partition
    assert Partition.of(list(partition)) == partition


@given(st.lists(any_partition(), min_size=2))
def test_partitions_sort_as_their_labels_do(found):
    assert [str(one) for one in sorted(found)] == sorted(str(one) for one in found)


@given(any_partition(), DAYS)
def test_partition_contains_the_days_that_it_goes_through_and_no_other(partition, day):
    days = list(partition)
    assert all(one in partition for one in days)
    assert (day in partition) == (day in days)
    assert partitions.days_later(days[0], -1) not in partition
    assert partitions.days_later(days[-1], 1) not in partition


@given(st.dates(date(1950, 1, 1), date(2150, 1, 1)), st.integers(-10_000, 10_000))
def test_day_is_as_many_days_later_as_the_calendar_says(day, days):
    later = partitions.days_later(day.isoformat(), days)
    assert partitions.read_day(later) == day + timedelta(days=days)
    assert partitions.days_from(day.isoformat(), later) == days


def test_range_that_ends_before_it_begins_has_no_days():
    assert partitions.days_between("2012-02-29", "2012-02-28") == []
