from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.gate import Fairness
from sluice.models.config import check_model


def test_each_key_with_a_name_that_is_no_column_is_named_with_the_columns(home, make_home):
    make_home(home)
    flights = spec.load("flights")
    gate = flights.model.gate.model_copy(update={"fairness": Fairness(column="gender", opportunity=0.1)})
    model = flights.model.model_copy(update={"gate": gate, "label": "late", "params": {"max_dept": 3}})
    with pytest.raises(SpecInvalidError) as caught:
        check_model(flights.model_copy(update={"model": model}))
    columns, label, parameter = caught.value.what.split("; model.")
    assert columns.startswith("model.gate.fairness.column: 'gender' is no column of features (allowed: ")
    assert ", origin," in columns
    assert label.startswith("label: 'late' is no column of outcomes (allowed: ")
    assert label.endswith("; did you mean 'is_late'?")
    assert parameter.startswith("params.max_dept: XGBoost has no parameter max_dept (allowed: alpha, ")
    assert parameter.endswith("; did you mean 'max_depth'?"), "and no full stop behind it"
    assert caught.value.where == str(settings().pipelines / "flights.yml")


def test_days_that_no_training_could_be_split_into_are_refused(home, make_home):
    make_home(home)
    flights = spec.load("flights")
    days = {"test_days": 14, "valid_days": 7}
    enough = flights.model.model_copy(update={**days, "training_days": 28})
    check_model(flights.model_copy(update={"model": enough}))
    short = flights.model.model_copy(update={**days, "training_days": 27})
    with pytest.raises(
        SpecInvalidError, match="training_days is 27, and a training needs 28: 14 test_days, 7 valid_days"
    ):
        check_model(flights.model_copy(update={"model": short}))
