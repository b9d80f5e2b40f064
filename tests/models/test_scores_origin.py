"""Predictions against what they were made of: whatever is lost, added or altered after the features is held, and named."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import duckdb
import pyarrow as pa
import pytest

from sluice import gates
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.gates.verdict import Verdict
from sluice.lake import batches, inputs
from sluice.lake.batches import Manifest
from sluice.models import roles
from sluice.models.config import registry
from sluice.models.scoring import stage_predictions
from sluice_ml import linear
from sluice_ml.model import LINEAR, encode
from sluice_ml.training import Candidate
from tests.models.conftest import DAY, RUN, flights_rows, small_config
from tests.models.test_scorer import model_file, publish_features

pytestmark = pytest.mark.slow

KEYS, SCORES = "one_row_for_each_of_features", "scores_are_reproduced"
RANKS, MAKING = "scores_rank_like_others", "rows_say_what_made_them"
TRAINING = "rows_say_what_training_knew"
RULES = (KEYS, SCORES, MAKING, TRAINING)


@pytest.fixture
def champion(flights, trained, audited) -> spec.Pipeline:
    roles.promote(flights, audited(trained(), None), RUN)
    return flights


@pytest.fixture
def staged(champion) -> Manifest:
    """Predictions of 40 flights, by version 1."""
    return stage_predictions(champion, [publish_features(champion, flights_rows(champion))], RUN)


def altered(manifest: Manifest, change: str = "*", suffix: str = "") -> Manifest:
    """The batch again, its rows as `change`, a SQL select list, makes them."""
    rows = pa.parquet.read_table(manifest.files[manifest.partitions[0]], partitioning=None)
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        made = con.from_arrow(rows).query("rows", f"select {change} from rows {suffix}").to_arrow_table()
    return batches.stage(
        "flights", spec.PREDICTIONS, made, partitions=manifest.partitions, received=made.num_rows, dropped={},
        inputs=manifest.inputs, run=RUN, sort_by=["flight_id"],
    )  # fmt: skip


@pytest.fixture
def audit(champion) -> Callable[[Manifest], Verdict]:
    return lambda manifest: gates.run(champion, manifest)


def failed(verdict: Verdict) -> dict[str, str]:
    return {one.rule: one.observed for one in verdict.failed if one.holds and one.rule in RULES}


def test_predictions_as_scoring_made_them_pass(staged, audit):
    verdict = audit(staged)
    assert {one.rule: one.passed for one in verdict.rules if one.rule in RULES} == dict.fromkeys(RULES, True)
    assert verdict.outcome != "ERROR"


@pytest.mark.parametrize(
    ("name", "said"), [("is_supported", "not is_supported"), ("unseen_categories", "'{}'")]
)
def test_prediction_that_says_something_else_of_what_training_knew_is_held(staged, audit, name, said):
    verdict = audit(altered(staged, f"* replace (if(flight_id = 'flight 1570', {said}, {name}) as {name})"))
    assert verdict.outcome == "HOLD"
    assert set(failed(verdict)) == {TRAINING}
    assert (
        f"1 of 40 values of {name} on 2013-03-30 are not what version 1 gives by `{name}`, such as flight 1570"
        in failed(verdict)[TRAINING]
    )


_SHUFFLED = "* replace ((list(score) over (order by flight_id rows between unbounded preceding and unbounded following))[1 + row_number() over (order by flight_id) % 40] as score)"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("* replace (1 - score as score)", "they are inverted, each 1 less what it should be"),
        ("* replace (score / 2 as score)", "each of them is 0.5 times what it should be"),
        (_SHUFFLED, "they are the right scores, of other rows"),
        (
            "* replace (0.2 as score)",
            "40 of 40 scores of 2013-03-30 are not what version 1 gives for the same rows: each of them is 0.2",
        ),
        ("* replace (if(hash(flight_id) % 5 = 0, 0.0, score) as score)", "each of them is 0,"),
        ("* replace (cast(null as double) as score)", "they are no numbers"),
        ("* replace ('nan'::double as score)", "they are no numbers"),
        ("* replace (if(hash(flight_id) % 2 = 0, score * score, score) as score)", "their mean is"),
    ],
)
def test_score_that_its_model_does_not_give_again_is_held_and_told_how(staged, audit, change, says):
    verdict = audit(altered(staged, change))
    assert verdict.outcome == "HOLD"
    assert says in failed(verdict)[SCORES]
    assert set(failed(verdict)) == {SCORES}


def test_difference_of_a_single_score_is_held_and_its_key_named(staged, audit):
    verdict = audit(
        altered(staged, "* replace (if(flight_id = 'flight 1570', score + 0.001, score) as score)")
    )
    assert failed(verdict)[SCORES].startswith("1 of 40 scores of 2013-03-30 are not what version 1 gives")
    assert ", such as flight 1570 0." in failed(verdict)[SCORES]


@pytest.mark.parametrize(
    ("suffix", "says"),
    [
        ("where flight_id <> 'flight 1570'", "1 of 40 rows of features have no row here on 2013-03-30, such as flight 1570"),
        ("where hash(flight_id) % 10 >= 3", "of 40 rows of features have no row here on 2013-03-30, such as flight"),
        ("union all by name select * from rows where flight_id = 'flight 1570'", "2 rows are for the same rows of features as others on 2013-03-30, such as flight 1570"),
        ("union all by name select * replace ('flight x' as flight_id) from rows where flight_id = 'flight 1570'", "1 rows are made of no row of features on 2013-03-30, such as flight x"),
    ],
)  # fmt: skip
def test_prediction_that_is_lost_or_added_is_held_and_named(staged, audit, suffix, says):
    verdict = audit(altered(staged, suffix=suffix))
    assert verdict.outcome == "HOLD"
    assert says in failed(verdict)[KEYS]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("model_version", "'11'", "40 of 40 rows of 2013-03-30 do not have model_version 1, which was recorded when they were made, such as 11"),
        ("model_version", "cast(null as varchar)", "model_version 1, which was recorded when they were made, such as null"),
        ("model_name", "'another'", "such as another"),
        ("is_baseline", "true", "is_baseline false, which was recorded when they were made, such as true"),
        ("feature_snapshot_id", "feature_snapshot_id - 1", "such as"),
        ("run_id", "'another'", "such as another"),
        ("input_age_days", "1", "input_age_days 0, which was recorded when they were made, such as 1"),
        ("is_stale", "true", "is_stale false"),
    ],
)  # fmt: skip
def test_row_that_says_another_making_than_was_recorded_is_held(staged, audit, name, value, says):
    verdict = audit(altered(staged, f"* replace ({value} as {name})"))
    assert verdict.outcome == "HOLD"
    assert says in failed(verdict)[MAKING]
    assert set(failed(verdict)) == {MAKING}


@pytest.mark.parametrize("late", [True, False])
def test_row_that_says_another_lateness_than_the_clock_is_held(staged, audit, late):
    clock = inputs.Clock(today=DAY, day=DAY, deadline=staged.created_at, made_late=late)
    clocked = staged.model_copy(update={"inputs": (*staged.inputs, clock.record())})
    assert MAKING not in failed(audit(altered(clocked, f"* replace ({late} as made_late)")))
    assert (
        "39 of 40 rows"
        in failed(audit(altered(clocked, f"* replace ((flight_id = 'flight 1570') = {late} as made_late)")))[
            MAKING
        ]
    )


def test_all_of_a_segment_is_named(champion, audit):
    rows = flights_rows(champion)
    day = publish_features(champion, rows)
    staged = stage_predictions(champion, [day], RUN)
    lost = rows.filter(pa.compute.equal(rows["origin"], "b"))["flight_id"].to_pylist()
    listed = ", ".join(f"'{one}'" for one in lost)
    said = failed(audit(altered(staged, suffix=f"where flight_id not in ({listed})")))[KEYS]
    assert "have no row here on 2013-03-30, among them all of origin b, such as flight" in said


def of_people(flights: spec.Pipeline) -> spec.Pipeline:
    sources = {name: one.model_copy(update={"pii": "direct"}) for name, one in flights.sources.items()}
    return flights.model_copy(update={"sources": sources})


def test_values_of_people_are_not_in_the_reason(champion, staged):
    verdict = gates.run(
        of_people(champion),
        altered(staged, "* replace (score / 2 as score)", "where flight_id <> 'flight 1570'"),
    )
    assert failed(verdict) == {
        KEYS: "1 of 40 rows of features have no row here on 2013-03-30",
        SCORES: "39 of 40 scores of 2013-03-30 are not what version 1 gives for the same rows; "
        "1 of 40 rows of 2013-03-30 that were scored again have no score here under their key",
    }


def check_reproduced(flights: spec.Pipeline, manifest: Manifest, model: str) -> None:
    assert failed(gates.run(flights, manifest)) == {}
    said = failed(gates.run(flights, altered(manifest, "* replace (score / 2 as score)")))[SCORES]
    assert f"are not what {model} gives for the same rows: each of them is 0.5 times" in said


def straight(flights: spec.Pipeline, candidate: Candidate, rows: pa.Table, *, inverted: bool = False) -> int:
    """Register a linear model of the rows, or of the opposite of their label; returns its version."""
    meta = candidate.meta
    matrix = encode(rows, meta.numeric, meta.categorical, meta.vocabulary)
    sizes = [len(meta.vocabulary[name]) for name in meta.categorical]
    label = rows["is_late"].to_numpy(zero_copy_only=False) != inverted
    content = linear.fit(matrix, label, small_config(flights), sizes)
    digest, described = hashlib.sha256(content).hexdigest(), dataclasses.replace(meta, algorithm=LINEAR)
    with registry().training(flights.model.name, {"as_of": DAY}) as run_id:
        return registry().log(run_id, Candidate(content, digest, described, candidate.test))


def ranks(flights: spec.Pipeline, day: str) -> str:
    """What the rule about ranks says of the day's predictions; all that is older must pass."""
    verdict = gates.run(flights, stage_predictions(flights, [day], RUN))
    assert failed(verdict) == {}
    (found,) = (one for one in verdict.rules if one.rule == RANKS)
    assert found.holds is not found.observed.startswith("not unlike")
    return found.observed


def test_model_that_is_wrong_itself_is_held_until_it_is_rolled_back(flights, candidate, audited, home):
    rows = flights_rows(flights)
    last = rows.slice(rows.num_rows - 240)
    days = pa.array([rows["ds"][-1].as_py()] * last.num_rows, pa.date32())
    day = publish_features(flights, last.set_column(last.column_names.index("ds"), "ds", days))
    first = straight(flights, candidate, rows)
    roles.promote(flights, audited(first, None), RUN)
    baseline = "the baseline, carrier_late_rate_28d"
    assert ranks(flights, day) == f"not unlike {baseline}, of days with 200 rows or more"

    second = straight(flights, candidate, rows, inverted=True)
    roles.promote(flights, audited(second, first), RUN)
    said = f"scores do not rank 240 rows of {day} as version {first}, champion before it does: rank correlation -1.00, at least 0.19 expected"
    assert ranks(flights, day).endswith(said)

    path = model_file(flights, home, first, "linear.json")
    whole = path.read_bytes()
    path.write_bytes(b"not a model")
    assert "champion before it" not in ranks(flights, day)
    path.write_bytes(whole)

    roles.roll_back(flights, str(first), by="Ada", why="It is the wrong way round.", run=RUN)
    assert ranks(flights, day) == f"not unlike {baseline}, of days with 200 rows or more"


def test_baseline_and_linear_model_are_computed_again(flights, candidate, audited):
    rows = flights_rows(flights)
    day = publish_features(flights, rows)
    check_reproduced(flights, stage_predictions(flights, [day], RUN), "the baseline, carrier_late_rate_28d,")

    version = straight(flights, candidate, rows)
    roles.promote(flights, audited(version, None), RUN)
    check_reproduced(flights, stage_predictions(flights, [day], RUN), f"version {version}")


def test_model_that_was_damaged_since_is_an_error_and_one_out_of_reach_judges_nothing(
    champion, staged, home, monkeypatch
):
    path = model_file(champion, home, 1)
    whole = path.read_bytes()
    path.write_bytes(b"not a model")
    verdict = gates.run(champion, staged)
    assert verdict.outcome == "ERROR"
    assert "is not the file that was registered" in verdict.reasons[0]
    assert "Next: train again as of the same day, which puts the file back" in verdict.reasons[0]
    assert gates.run(of_people(champion), staged).reasons == verdict.reasons
    path.write_bytes(whole)

    monkeypatch.setenv("SLUICE_MLFLOW_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # of seven, which take four minutes
    settings.cache_clear()
    with pytest.raises(ConnectionError, match="does not answer"):
        gates.run(champion, staged)


def test_batch_that_does_not_say_what_it_was_made_of_is_an_error(champion, staged):
    for kind in ("snapshot", "model"):
        less = staged.model_copy(
            update={"inputs": tuple(one for one in staged.inputs if one["kind"] != kind)}
        )
        verdict = gates.run(champion, less)
        assert verdict.outcome == "ERROR"
        assert "does not say" in verdict.reasons[0]
