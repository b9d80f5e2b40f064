"""The gate of predictions: what a model may publish."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sluice import gates
from sluice.gates.verdict import Verdict
from sluice.lake.inputs import Model, Snapshot

DAY = "2013-04-05"
_PREDICTIONS = """
    select
        'p|' || carrier || flight || origin as prediction_id, carrier || flight || origin || dest as flight_id, ds,
        0.1 + 0.8 * (hash(flight) % 1000) / 1000.0 as score, 'flights_late_arrival' as model_name,
        'baseline' as model_version, true as is_baseline, cast(7 as bigint) as feature_snapshot_id, 'r1' as run_id,
        timestamptz '2013-04-05 08:00Z' as scored_at, 0::bigint as input_age_days, false as is_stale,
        true as is_supported, cast(null as varchar) as unseen_categories
    from flights where ds = date '2013-04-05'
"""


@pytest.fixture
def audit_predictions(pipeline, year, stage):
    """Function: the verdict on a day's predictions, which the baseline made, as `change`, a SQL select list, makes them."""

    def run(change: str, given: str = "score") -> Verdict:
        scored = f"select flight_id, ds, {given} as {pipeline.model.baseline} from ({_PREDICTIONS})"
        features = stage("features", year.sql(scored).to_arrow_table(), DAY)
        read = Snapshot(table="features", snapshot_id=7, batches={DAY: features.batch_id})
        made_by = Model(name=pipeline.model.name, version=None)
        data: pa.Table = year.sql(f"select {change} from ({_PREDICTIONS})").to_arrow_table()
        inputs = [read.record(), made_by.record()]
        return gates.run(pipeline, stage("predictions", data, DAY, inputs=inputs))

    return run


def test_run_predictions_pass(audit_predictions):
    assert audit_predictions("*").outcome == "PASS"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("* replace (score + 0.5 as score)", "score_is_a_probability"),
        ("* replace (if(flight_id like 'UA%', 'nan'::double, score) as score)", "score_is_a_number"),
        ("* replace (cast(null as double) as score)", "complete"),
        ("* replace (0.2 as score, false as is_baseline)", "scores_differ"),
        ("* replace (score / 100 as score)", "mean_is_possible"),
        ("* replace (if(flight_id like 'UA%', '2', 'baseline') as model_version)", "rows_say_what_made_them"),
        ("* replace (cast(null as varchar) as run_id)", "rows_say_what_made_them"),
        ("* replace ('UA1' as flight_id)", "one_row_for_each_of_features"),
    ],
)
def test_run_bad_predictions_hold_by_the_rule_meant_for_them(audit_predictions, change, rule):
    verdict = audit_predictions(change)
    assert verdict.outcome == "HOLD"
    assert rule in [failed.rule for failed in verdict.failed]


def test_run_constant_baseline_of_a_first_day_warns(audit_predictions):
    verdict = audit_predictions("* replace (0.2 as score)", given="null::double")
    assert (verdict.outcome, [one.rule for one in verdict.failed]) == ("WARN", ["baseline_scores_differ"])
