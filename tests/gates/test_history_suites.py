"""Suites whose rules about history cannot be used are refused when they are read."""

from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.gates import suites

BAD = {
    "a column with a space": {"column_list": ["dep delay"], "days": 28, "min_days": 7, "limit": 0.1},
    "more days needed than read": {"column_list": ["dep_delay"], "days": 7, "min_days": 28, "limit": 0.1},
    "a query of one's own": {
        "column_list": ["dep_delay"],
        "days": 28,
        "min_days": 7,
        "limit": 0.1,
        "unexpected_rows_query": "select 1 from {batch}",
    },
    "no limit": {"column_list": ["dep_delay"], "days": 28, "min_days": 7},
}


@pytest.mark.parametrize("name", BAD)
def test_load_bad_arguments_are_refused(pipeline, suite, expect, name):
    suite("arrivals", expect("expect_column_values_not_to_spike", "spikes", **BAD[name]))
    with pytest.raises(SpecInvalidError, match="expectation 1"):
        suites.load(pipeline, "arrivals")


def test_load_setting_rows_aside_by_history_is_refused(pipeline, suite, expect):
    rule = expect(
        "expect_column_values_not_to_spike",
        "spikes",
        severity="quarantine",
        column_list=["dep_delay"],
        days=28,
        min_days=7,
        limit=0.1,
    )
    rule["meta"]["limit"] = 0.1
    suite("arrivals", rule)
    with pytest.raises(SpecInvalidError, match="not about single rows"):
        suites.load(pipeline, "arrivals")


def test_check_unknown_column_is_refused(pipeline, suite, expect):
    limits = {"days": 28, "min_days": 7, "limit": 0.1}
    suite("arrivals", expect("expect_column_values_not_to_spike", "spikes", column_list=["delay"], **limits))
    with pytest.raises(SpecInvalidError, match="arrivals has no column 'delay'"):
        suites.check(pipeline)
