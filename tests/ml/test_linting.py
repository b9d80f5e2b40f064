"""Columns that no model should learn from are found, and only those."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml.errors import FeaturesUnsoundError
from sluice_ml.linting import lint, require_sound
from sluice_ml.splits import labelled


@pytest.fixture(scope="module")
def known(rows, config):
    return labelled(rows, config)[0]


def test_lint_of_real_features_finds_nothing(known, config):
    assert [one for one in lint(known, config) if one.serious] == []


def test_lint_names_every_column_that_is_not_one(known, config):
    size = known.num_rows
    drawn = np.random.default_rng(4)
    damaged = {
        "customer_id": ("id_as_feature", pa.array(np.arange(size))),
        "always": ("constant", pa.array([7] * size)),
        "nothing": ("constant", pa.nulls(size, pa.float64())),
        "late_again": ("copy_of_label", known["is_late"].cast(pa.int8())),
        "wind_again": ("duplicate_column", known["wind_speed"]),
        "zip_code": ("code_as_number", pa.array(drawn.integers(10_001, 11_697, size).astype("float64"))),
        "built_on": ("date_as_number", pa.array(20_130_100 + drawn.integers(1, 32, size))),
        "seats": ("number_as_text", pa.array(drawn.integers(2, 400, size).astype(str))),
        # Known only after the flight; one in fifty of them is wrong.
        "last_contact": (
            "leaks_label",
            pa.array(np.where(known["is_late"].to_numpy(), 40.0, -4.0) + drawn.normal(0, 15, size)),
        ),
        "result": (
            "leaks_label",
            pc.if_else(pc.and_(known["is_late"], pa.array(drawn.random(size) < 0.98)), "claim", "none"),
        ),
    }
    rows = known
    for name, (_, values) in damaged.items():
        rows = rows.append_column(name, values)
    numeric = (*config.numeric, *(name for name in damaged if name not in ("result",)))
    wide = dataclasses.replace(
        config, numeric=(*numeric, "flight_id"), categorical=(*config.categorical, "result")
    )
    with pytest.raises(FeaturesUnsoundError, match="11 columns cannot be learned from") as error:
        require_sound(rows, wide)
    expected = {f"{check} {name}" for name, (check, _) in damaged.items()} | {"id_as_feature flight_id"}
    assert set(error.value.where.split(", ")) == expected


def test_lint_finding_that_is_accepted_is_recorded_and_refuses_nothing(known, config):
    rows = known.append_column("always", pa.array([7] * known.num_rows))
    wide = dataclasses.replace(
        config,
        numeric=(*config.numeric, "always"),
        accepted_findings={"constant always": "a switch of next month"},
    )
    found = [one for one in require_sound(rows, wide) if one.column == "always"]
    assert [(one.check, one.accepted) for one in found] == [("constant", "a switch of next month")]


def _about(size, label, **features):
    rows = pa.table({"id": np.arange(size).astype(str), "is_late": label, **features})

    def found(config):
        wide = dataclasses.replace(
            config, key="id", numeric=tuple(features), categorical=(), accepted_findings={}
        )
        return {one.name for one in lint(rows, wide) if one.serious}

    return found


def _flags(size, *places):
    flags = np.zeros(size, dtype=bool)
    flags[list(places)] = True
    return flags


def test_lint_rare_flag_that_agrees_with_a_rare_label_where_both_are_false_is_no_copy(config):
    found = _about(10_000, _flags(10_000, 5, 900, 7_000), alarm=_flags(10_000, 17, 3_000).astype("int8"))
    assert found(config) == set()


def test_lint_column_that_ranks_three_late_rows_by_chance_is_known_before(config):
    # Three positives: some column of a few dozen ranks them at the top.
    values = np.random.default_rng(1).normal(0, 1, 1_000)
    top = np.argsort(values)[-30:][::10]
    assert _about(1_000, _flags(1_000, *top), wind=values)(config) == set()
    top = np.argsort(values)[-30:]
    assert _about(1_000, _flags(1_000, *top), wind=values)(config) == {"leaks_label wind"}


def test_lint_flags_of_the_same_only_holiday_are_no_duplicates(config):
    label = np.random.default_rng(2).random(3_000) < 0.3
    holiday = _flags(3_000, *range(1_500, 1_600)).astype("int8")
    assert _about(3_000, label, holiday=holiday, school_break=holiday)(config) == set()
    drawn = (np.random.default_rng(4).random(3_000) < 0.1).astype("int8")
    assert _about(3_000, label, first=drawn, again=drawn)(config) == {"duplicate_column again"}
