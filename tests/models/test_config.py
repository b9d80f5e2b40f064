from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.declare import spec
from sluice.models.config import check_model


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
