from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import BaselineModel
from sluice_ml.monitored_day import DayNumbers, assemble
from sluice_ml.monitoring import decide
from sluice_ml.scoring import score


def day(number, **changed):
    """Numbers of a quiet day of version 3, March `number`."""
    quiet = {
        "ds": (date(2013, 2, 28) + timedelta(number)).isoformat(),
        "model_version": "3",
        "rows": 900,
        "labelled": 880,
        "coverage": 0.98,
        "score_mean": 0.2,
        "label_rate": 0.21,
        "auc": 0.70,
        "auc_low": 0.66,
        "auc_high": 0.74,
        "baseline_auc": 0.62,
        "expected_rate": 0.2,
        "log_loss": 0.5,
        "brier": 0.15,
        "compared": 20,
        "drift_share": 0.05,
        "drifted": ("distance",),
        "left_out": {},
        "sampled_rows": 900,
        "reference_rows": 3000,
        "shift": 0.05,
    }
    given = {**quiet, **changed}
    return DayNumbers(**{"has_outcomes": given["labelled"] > 0, **given})


@pytest.fixture
def judge(monitoring):
    def judged(days, champion_lead=0.08, model_age_days=5):
        return decide(
            days, monitoring, champion_lead=champion_lead, champion_days=14, model_age_days=model_age_days
        )

    return judged


def test_decide_quiet_days_ask_for_nothing(judge):
    decision = judge([day(1), day(2), day(3)])
    assert (decision.action, decision.reasons) == ("nothing", ("Everything is within limits.",))
    assert json.loads(json.dumps(decision.numbers))["sums"]["performance"] == 0


def falling(loss, numbers=range(1, 15), **changed):
    """Days on which the model's lead over the baseline is smaller by `loss`, a number or a function of the day's."""
    of = loss if callable(loss) else lambda _: loss
    return [day(number, auc=0.70 - of(number), **changed) for number in numbers]


@pytest.mark.parametrize(
    ("loss", "action"),
    [
        (lambda number: 0.3 * (number == 14), "nothing"),  # one day
        (0.03, "nothing"),  # less than the slack, for ever
        (0.07, "retrain"),
        (lambda number: 0.13 * (number % 2), "retrain"),
        (lambda number: 0.20 * (number < 5), "nothing"),  # it recovered
        (-0.05, "nothing"),  # it is better than it was
    ],
)
def test_decide_loss_must_last(judge, loss, action):
    decision = judge(falling(loss))
    assert decision.action == action, decision.reasons


def beside(loss, of_reference=lambda _: 0.0, version="1"):
    """Days on which the model and the reference, which are as good by themselves, lose so much of their AUC."""
    return [
        day(
            number,
            auc=0.70 - loss(number),
            baseline_auc=0.62 - of_reference(number),
            reference_version=version,
            reference_auc=0.70 - of_reference(number),
        )
        for number in range(1, 15)
    ]


@pytest.mark.parametrize(
    ("days", "found"),
    [
        (beside(lambda _: 0.05), True),
        (beside(lambda number: 0.10 * (number % 2)), True),
        (beside(lambda number: 0.15 * (number == 14)), False),  # one day
        (beside(lambda _: 0.02), False),  # less than the slack, for ever
        (beside(lambda _: 0.07, lambda _: 0.07), False),  # the days were hard
        (beside(lambda _: 0.07, version="3"), False),  # the model is the reference
        (
            beside(lambda _: 0.07)[:10] + beside(lambda _: 0.0, version="2")[10:],
            False,
        ),  # of another reference
    ],
)
def test_decide_model_that_ranks_worse_than_the_reference_is_named(judge, days, found):
    decision = judge(days)
    named = [one for one in decision.findings if one.name == "worse than reference"]
    assert bool(named) == found
    assert all("against that of version 1," in one.sentence and one.cause == "performance" for one in named)
    assert (decision.numbers["sums"]["reference"] >= 1) == found


def test_decide_newer_days_of_which_nobody_knows_the_baseline_do_not_hide_a_loss(judge):
    unknown = [day(number, baseline_auc=None) for number in range(15, 30)]
    assert judge([*falling(0.2), *unknown]).action == "retrain"


def test_decide_hard_day_is_hard_for_the_baseline_too(judge):
    assert judge([day(number, auc=0.58, baseline_auc=0.50) for number in range(1, 30)]).action == "nothing"


def test_decide_mean_score_of_three_percent_against_fifty_five_late_is_an_alarm(judge):
    decision = judge([day(1), day(2, expected_rate=0.03, label_rate=0.55)])
    assert decision.action == "warn"
    assert decision.numbers["found"] == ["label shift"]
    assert "the mean score is 3.0%, and 55.0% came true" in decision.reasons[0]
    lasting = judge([day(number, expected_rate=0.03, label_rate=0.55) for number in (1, 2, 3)])
    assert (lasting.action, lasting.wanted) == ("retrain", ("calibration",))


def test_decide_scores_that_keep_their_order_and_lose_their_scale_are_found(judge):
    decision = judge([day(number, expected_rate=0.003, label_rate=0.22) for number in range(1, 4)])
    assert decision.wanted == ("calibration",)
    assert "scores are too low" in decision.reasons[0]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"auc": 0.60}, "concept change"),
        ({"auc": 0.60, "shift": 0.8}, "input shift with loss"),
        ({"expected_rate": 0.05}, "label shift"),
        ({"shift": 0.8}, "input shift"),
        ({"broken": {"weather": ("wind_gust",)}, "auc": 0.60}, "broken pipe"),
        ({"coverage": 0.1}, "few outcomes"),
        ({"outlier_share": 0.12}, "outliers"),
    ],
)
def test_decide_names_what_it_finds(judge, changed, name):
    decision = judge([day(number, **changed) for number in range(1, 15)])
    assert name in decision.numbers["found"]
    assert judge([day(number) for number in range(1, 15)]).numbers["found"] == []


@pytest.mark.parametrize(
    ("shifts", "action"),
    [((0.1, 0.1, 0.6), "nothing"), ((0.6, 0.6, 0.6), "warn"), ((0.9, 0.9, 0.1), "nothing")],
)
def test_decide_shift_must_last_and_asks_for_nothing(judge, shifts, action):
    decision = judge([day(number, shift=shift) for number, shift in enumerate(shifts, 1)])
    assert (decision.action, decision.wanted) == (action, ())


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.14, 0.02, 0.14), ""),
        ((0.02, 0.02, 0.25), "on 2013-03-03 25% of the rows do not belong to their day (limit 20%)"),
        ((0.1, 0.12, 0.15), "on each of 2013-03-01, 2013-03-02, 2013-03-03, at last 15%"),
        ((None, None, None), ""),
    ],
)
def test_decide_outliers_of_one_ordinary_day_say_nothing_many_or_lasting_ones_warn_with_their_columns(
    judge, shares, said
):
    columns = ("wind_gust", "pressure", "distance", "seats", "age")
    days = [
        day(number, outlier_share=share, outlier_columns=columns) for number, share in enumerate(shares, 1)
    ]
    decision = judge(days)
    assert (decision.action, decision.wanted) == ("warn" if said else "nothing", ())
    assert said in decision.reasons[0]
    assert ("most are far off in wind_gust, pressure, distance, seats." in decision.reasons[0]) == bool(said)


def test_decide_broken_pipe_asks_for_nothing_and_is_not_held_against_the_model(judge):
    days = falling(0.3, broken={"weather": ("wind_gust", "pressure")})
    decision = judge(days)
    assert (decision.action, decision.wanted) == ("warn", ())
    assert decision.reasons[0].startswith(
        "Broken pipe: weather. On 2013-03-14 wind_gust, pressure came without"
    )


def test_decide_few_outcomes_are_a_warning_with_coverage_and_maturity(judge):
    decision = judge([day(1, coverage=0.1, labelled=90, maturity_days=1)])
    assert decision.action == "warn"
    assert "2013-03-01 (90 of 900, 10%, after 1 day)" in decision.reasons[0]


def test_decide_days_with_few_outcomes_do_not_count(judge):
    assert judge(falling(0.3)).action == "retrain"
    decision = judge(falling(0.3, labelled=199))
    assert decision.action == "nothing"
    assert decision.reasons[0].startswith("199 outcomes are known; 200 are needed")


def test_decide_a_day_without_outcomes_in_between_does_not_break_the_row(judge):
    days = [*falling(0.3, [1, 2]), day(3, auc=None, labelled=0), day(4, auc=0.5)]
    assert judge(days).action == "retrain"


def test_decide_days_of_the_model_before_do_not_count(judge):
    days = [*falling(0.3, [1, 2], model_version="2"), day(3, auc=0.5)]
    assert judge(days).action == "nothing"


def test_decide_order_and_repeats_of_days_do_not_matter(judge):
    days = [day(number, auc=0.5) for number in (3, 1, 2)]
    assert judge(days).action == "retrain"
    assert judge([day(3, auc=0.5), day(3, auc=0.5), day(3, auc=0.5)]).action == "nothing"
    assert judge([*days, day(3, auc=0.9)]).action == "nothing"


def test_decide_old_model_asks_for_retraining(judge):
    assert judge([day(1)], model_age_days=60).action == "nothing"
    decision = judge([day(1)], model_age_days=61)
    assert decision.action == "retrain"
    assert decision.reasons[0] == "The model is 61 days old (limit 60)."


def test_decide_outcomes_that_never_come_are_a_warning(judge):
    missing = day(1, labelled=0, auc=None)
    assert judge([missing, day(7)]).action == "nothing"
    decision = judge([missing, day(8)])
    assert (decision.action, decision.numbers["outcomes_overdue"]) == ("warn", ["2013-03-01"])


def test_decide_without_champion_says_that_there_is_none(judge):
    decision = judge([day(1, model_version="baseline", auc=0.4)], champion_lead=None, model_age_days=None)
    assert decision.action == "nothing"
    assert "no champion yet" in decision.reasons[0]


def test_decide_no_day_is_an_error(judge):
    with pytest.raises(ValueError, match="no day"):
        judge([])


def test_day_numbers_written_to_json_and_read_are_the_same():
    one = day(1, left_out={"wind_gust": "no value today"}, outlier_share=0.1, outlier_columns=("wind_gust",))
    assert DayNumbers.from_dict(json.loads(json.dumps(one.as_dict()))) == one


@pytest.fixture
def features(rows):
    return rows.filter(pc.equal(rows["ds"], date(2013, 3, 1)))


@pytest.fixture
def predictions(features):
    return score(
        features.to_batches(),
        BaselineModel("carrier_late_rate", 0.2),
        key="flight_id",
        name="m",
        version=None,
        feature_snapshot_id=1,
        run_id="r",
        scored_at=datetime(2013, 3, 1, 9, tzinfo=UTC),
    )


def test_assemble_each_prediction_gets_its_features_and_outcome(features, predictions, config):
    turned = features.take(pa.array(range(features.num_rows - 1, -1, -1)))
    found = assemble(turned, predictions, turned, config)
    assert found["flight_id"].equals(predictions["flight_id"])
    assert found["score"].equals(predictions["score"])
    assert found.select(["dest", "is_late"]).equals(features.select(["dest", "is_late"]))


def test_assemble_outcomes_missing_or_of_other_flights_leave_the_label_null(features, predictions, config):
    assert assemble(features, predictions, None, config)["is_late"].null_count == features.num_rows
    some = assemble(features, predictions, features.slice(0, 10), config)
    assert some["is_late"].slice(10).null_count == features.num_rows - 10
    assert some["is_late"].slice(0, 10).equals(features["is_late"].slice(0, 10))


def test_assemble_prediction_without_features_is_refused(features, predictions, config):
    with pytest.raises(RowsUnusableError, match=f"5 of {features.num_rows} predictions have no features"):
        assemble(features.slice(5), predictions, None, config)


def test_decide_days_on_released_data_are_named_and_not_blamed_on_the_model(judge):
    released = ("arrivals 2013-03-02, released by Ada until 2013-03-05",)
    bad = [day(number, auc=0.5, shift=1.0, released=released) for number in (2, 3, 4)]

    decision = judge([day(1), *bad])

    assert (
        judge([day(1), *(DayNumbers.from_dict({**one.as_dict(), "released": []}) for one in bad)]).action
        == "retrain"
    )
    assert decision.action == "warn"
    (reason,) = decision.reasons
    assert "2013-03-02 (AUC 0.500), 2013-03-03 (AUC 0.500), 2013-03-04 (AUC 0.500)" in reason
    assert reason.count(released[0]) == 1
    assert decision.numbers["days_with_outcomes"] == 1
    assert decision.numbers["days_released"] == ["2013-03-02", "2013-03-03", "2013-03-04"]


def test_decide_forgets_a_released_day_that_is_long_over(judge, monitoring):
    old = day(1, auc=0.5, released=("arrivals 2013-03-01, released by Ada until 2013-03-05",))
    later = [day(number) for number in range(2, 4 + monitoring.outcome_wait_days)]
    assert judge([old, *later]).action == "nothing"


def test_numbers_of_an_earlier_version_rest_on_no_release():
    raw = day(1).as_dict()
    del raw["released"]
    assert DayNumbers.from_dict(raw).released == ()


def test_reference_that_cannot_score_warns_when_that_begins_and_is_said_while_it_lasts(judge):
    lost = {"reference_version": "1", "reference_problem": "Its file is lost.", "reference_failed": True}
    whole = {"reference_version": "1"}
    learned = {**whole, "reference_problem": "It has learned from days to 2013-03-31."}

    def actions(*days) -> list[str]:
        history = [day(number, **about) for number, about in enumerate(days, start=1)]
        found = judge(history).findings
        return [one.action for one in found if one.name == "no reference"]

    assert actions(whole) == actions(learned) == actions(lost, whole) == []
    assert (
        actions(lost) == actions(whole, lost) == actions({**lost, "reference_version": "2"}, lost) == ["warn"]
    )
    assert actions(lost, lost) == ["nothing"]
    said = judge([day(1, **lost)]).reasons
    assert any("version 1, could not score 2013-03-01: Its file is lost." in one for one in said)
