"""What of the days before a batch is its history: the window's edges, columns that were added later, days that are waived."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import crossing, gates, waivers
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.gates import engine, history, suites
from sluice.lake import tables
from tests.gates.test_history import DAY, staged

_BACK, _SPAN = 7, {"days": 7, "min_days": 1}
_COMPARING = {
    "row_count": ("expect_table_row_count_to_fit_history", {"width": 1, "slack": 0.1}),
    "means": ("expect_column_means_to_fit_history", {"column_list": ["x"], "width": 1, "slack": 0.1}),
    "nulls": ("expect_column_null_shares_to_fit_history", {"column_list": ["x"], "width": 1, "slack": 0.1}),
    "sizes": ("expect_column_magnitudes_to_fit_history", {"column_list": ["x"], "limit": 2}),
    "mix": ("expect_column_distributions_to_fit_history", {"column_list": ["name"], "limit": 0.1}),
    "known": ("expect_column_categories_to_be_known_from_history", {"column_list": ["name"], "limit": 0.1}),
    "spikes": ("expect_column_values_not_to_spike", {"column_list": ["name"], "limit": 0.1}),
    "modes": ("expect_column_mode_shares_to_fit_history", {"column_list": ["name"], "limit": 0.1}),
    "differs": ("expect_rows_to_differ_from_earlier_days", {"column_list": ["x", "name"], "limit": 1}),
    "agrees": ("expect_rows_to_agree_with_history", {"column_list": ["name"], "limit": 0.1}),
}


@pytest.mark.parametrize("together", [True, False], ids=["together", "alone"])
def test_earlier_day_exactly_days_back_is_compared_and_the_one_before_it_is_not(
    tmp_path, pipeline, suite, expect, monkeypatch, together
):
    suite("arrivals", *(expect(kind, rule, **_SPAN, **given) for rule, (kind, given) in _COMPARING.items()))
    rules = suites.load(pipeline, "arrivals").rules
    if not together:
        monkeypatch.setattr(engine.fused_queries, "ask", lambda con, rules: engine.fused_queries.Answers())

    def write(back: int) -> str:
        path = tmp_path / f"{back}.parquet"
        day = date.fromisoformat(DAY) - timedelta(days=back)
        columns = {"ds": [day] * 4, "x": [1.0, 2.0, 3.0, 4.0], "name": ["a", "a", "b", "b"]}
        pq.write_table(pa.table(columns), path)
        return str(path)

    for back, said in ((_BACK, "compared with 1 earlier days"), (_BACK + 1, "not compared: 0 earlier days")):
        with engine.opened({DAY: write(0)}, [write(back)]) as staged:
            found = {one.result.rule: one.result for one in staged.evaluate(rules, show_rows=True)}
        assert [rule for rule, one in found.items() if said not in one.observed] == [], back
        assert all(one.passed for one in found.values())


@pytest.mark.parametrize("together", [True, False], ids=["together", "alone"])
def test_column_that_no_earlier_day_has_a_value_of_is_compared_with_nothing(
    tmp_path, pipeline, suite, expect, monkeypatch, together
):
    """A column that was added later: history shows nothing of it, which is no past that a clean day could differ from."""
    of_names = {rule: one for rule, one in _COMPARING.items() if one[1].get("column_list") == ["name"]}
    of_names.pop("agrees")
    suite("arrivals", *(expect(kind, rule, **_SPAN, **given) for rule, (kind, given) in of_names.items()))
    rules = suites.load(pipeline, "arrivals").rules
    if not together:
        monkeypatch.setattr(engine.fused_queries, "ask", lambda con, rules: engine.fused_queries.Answers())

    def write(back: int, names: list[str | None]) -> str:
        path = tmp_path / f"{back}.parquet"
        day = date.fromisoformat(DAY) - timedelta(days=back)
        columns = {"ds": [day] * 4, "name": pa.array(names, pa.string())}
        pq.write_table(pa.table(columns), path)
        return str(path)

    def judged(earlier: list[str | None]) -> dict[str, tuple[bool, bool]]:
        with engine.opened({DAY: write(0, ["a", "a", "a", "b"])}, [write(2, earlier)]) as staged:
            found = [one.result for one in staged.evaluate(rules, show_rows=True)]
        return {one.rule: (one.passed, "not compared" in one.observed) for one in found}

    assert judged([None] * 4) == dict.fromkeys(of_names, (True, True))
    with_a_value = judged(["c", None, None, None])
    assert not any(not_compared for _, not_compared in with_a_value.values())
    assert not any(passed for passed, _ in with_a_value.values())


def test_waived_days_are_no_history_and_what_compares_nothing_for_them_is_told(
    pipeline, rows, tmp_path, monkeypatch, suite, expect
):
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "waived"))
    own = settings().expectations
    monkeypatch.delenv("SLUICE_EXPECTATIONS")
    settings.cache_clear()
    run = Run(run_id="r1")
    wall = pipeline.model_copy(update={"clock": "wall"})
    for day, change in ((DAY, "*"), ("2013-04-06", "* replace (pressure * 100 as pressure)")):
        manifest = staged("weather", rows("weather", day, change=change))
        verdict = crossing.audit(wall, "weather", manifest.batch_id, run)
        if not verdict.publishes:
            names = {"batch_id": manifest.batch_id, "content_hash": manifest.content_hash}
            word = {"by": "ann", "why": "the sensor is known", "until": "2099-01-01"}
            waivers.grant(
                wall,
                "weather",
                day,
                **names,
                **word,
                verdict_id=verdict.verdict_id,
                rules=["readings_possible"],
            )
        crossing.publish(wall, "weather", manifest.batch_id, run)
    assert list(tables.published("flights", "weather", DAY, "2013-04-06")) == [DAY, "2013-04-06"]
    with history.files(pipeline, staged("weather", rows("weather", "2013-04-07")), 7) as found:
        assert [path[-18:-8] for path in found] == [DAY]

    counted = {
        f"at_least_{n}": expect(
            "expect_table_row_count_to_fit_history", f"at_least_{n}", days=7, min_days=n, width=9, slack=9
        )
        for n in (1, 2, 3)
    }
    suite("weather", *counted.values())
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(own))
    settings.cache_clear()
    verdict = gates.run(wall, staged("weather", rows("weather", "2013-04-07")))
    assert (verdict.outcome, verdict.reasons) == (
        "WARN",
        (
            "Too many of the days before were published on a waiver, so that these rules compared nothing: at_least_2.",
        ),
    )
