"""Bounds proposed again from real published days: some of them damaged, on a waiver, too few, or of people."""

from __future__ import annotations

import json
import re
from datetime import date

import pytest
from click.testing import CliRunner

from sluice import crossing, waivers
from sluice.cli import main
from sluice.core.errors import TableMissingError
from sluice.core.partitions import days_between
from sluice.core.runs import Run
from sluice.gates import suite_text
from sluice.lake import tables
from sluice.scaffold import headroom, proposals

SPAN = {"days": 28, "min_days": 7}
DAYS = days_between("2013-03-01", "2013-04-09")
LAST = DAYS[-1]


@pytest.fixture
def publish(rows, stage):
    """Function: publish the plan of some days as `change` makes it."""

    def make(*days: str, change: str = "*", suffix: str = "") -> None:
        rows_ = rows("schedule", *days, change=change, suffix=suffix)
        tables.publish(stage("schedule", rows_, *days), verdict_id="v")

    return make


@pytest.fixture
def say(pipeline, suite, expect):
    """Function: write the suite of the plan, and propose its bounds; the changed ones by rule and what they are of."""

    def propose(*rules: dict) -> tuple[proposals.Proposal, dict[tuple[str, str], tuple[float, bool]]]:
        suite("schedule", *rules)
        found = proposals.propose(pipeline, "schedule", loosen=True)
        return found, {(one.rule, one.what): (one.new, one.looser) for one in found.changes}

    return propose


def test_bounds_leave_as_much_room_again_as_was_seen_and_each_change_says_its_direction(
    publish, say, expect, year
):
    publish(*DAYS)
    span = "from flights where ds between ? and ?"
    (low, high) = year.execute(f"select min(distance), max(distance) {span}", [DAYS[0], LAST]).fetchall()[0]
    counts = f"select count(*) as n {span} group by ds"
    (fewest, most) = year.execute(f"select min(n), max(n) from ({counts})", [DAYS[0], LAST]).fetchall()[0]
    rows_, groups = "expect_rows_to_satisfy_condition", "expect_groups_to_satisfy_condition"
    counted = {"aggregates": {"flights": "count(*)", "far": "avg(cast(distance > 1000 as int))"}}
    found, changed = say(
        expect(rows_, "miles", condition=["distance between 10 and 100000", "flight >= 0", "length(origin) = 3"]),
        expect(groups, "a_day", condition="flights between 900 and 950", **counted),
        expect("expect_column_values_to_be_between", "native", column="distance", min_value=10, severity="warn"),
        expect("expect_column_value_lengths_to_be_between", "lengths", column="origin", max_value=9),
        expect("expect_table_row_count_to_fit_history", "rows", **SPAN, width=0, slack=0.001),
        expect("expect_column_values_to_not_be_null", "complete", column="carrier"),
    )  # fmt: skip
    wide = headroom.widened(low, high)
    assert changed["miles", "distance, most"] == (pytest.approx(wide[1], rel=0.01), False)
    assert changed["miles", "distance, least"] == (0, True)
    assert changed["a_day", "flights, least"][0] <= headroom.widened(fewest, most)[0]
    assert changed["a_day", "flights, most"] == (
        pytest.approx(headroom.widened(fewest, most)[1], rel=0.01),
        True,
    )
    assert changed["native", "distance"] == (0, True)
    assert changed["lengths", "origin"] == (6, False)
    slack, looser = changed["rows", "slack"]
    assert looser
    assert found.without_bounds == ("complete",)
    # What was measured leaves exactly this room.
    again = json.loads(found.new)["expectations"]
    assert again[0]["kwargs"]["condition"][1:] == ["flight >= 0", "length(origin) = 3"]
    (rows_change,) = (one for one in found.changes if one.rule == "rows")
    assert slack == pytest.approx(2 * rows_change.found, rel=0.01)
    assert rows_change.days == len(DAYS) - SPAN["min_days"]
    summary = list(found.summary())
    assert any(
        "a_day (hold): flights, most 950 to" in line and "LOOSENS A RULE THAT HOLDS" in line
        for line in summary
    )
    assert summary[-1].endswith("these would let more through: miles, a_day, rows")
    assert any(line.startswith("native (warn)") and ", LOOSER;" in line for line in summary)


def test_what_is_written_is_proposed_no_more_and_only_numbers_have_moved(pipeline, publish, say, expect):
    publish(*DAYS)
    mine = expect("expect_rows_to_satisfy_condition", "mine", condition="distance between 1 and 2")
    theirs = expect(
        "expect_column_mode_shares_to_fit_history", "theirs", column_list=["dest"], **SPAN, limit=0.9
    )
    theirs["meta"]["why"] = f"A default. {suite_text.REVIEW}"
    found, _ = say(mine, theirs)
    kept = CliRunner().invoke(main, ["profile", "flights", "schedule", "--write"])
    assert kept.exit_code == 0, kept.output
    assert (
        "mine, distance: not proposed, because it needs `--loosen`: mine (hold): distance, most 2 to"
        in kept.stderr
    )
    assert suite_text.entries(found.path.read_text())[0] == suite_text.entries(found.old)[0]
    done = CliRunner().invoke(main, ["profile", "flights", "schedule", "--write", "--loosen"])
    assert done.exit_code == 0, done.output
    assert found.path.read_text() == found.new
    first, second = suite_text.entries(found.new)
    assert first["meta"] == mine["meta"]
    assert second["meta"]["why"] == (
        f"A default. Its bounds were measured again on {len(DAYS) - 7} published days. {suite_text.REVIEW}"
    )
    assert second["kwargs"] == theirs["kwargs"] | {"limit": second["kwargs"]["limit"]}
    assert second["kwargs"]["limit"] < 0.9
    after = proposals.propose(pipeline, "schedule")
    assert (after.changes, after.diff()) == ((), [])


def test_without_write_the_diff_is_on_standard_output_alone_and_nothing_is_changed(publish, say, expect):
    publish(*DAYS)
    found, _ = say(expect("expect_rows_to_satisfy_condition", "mine", condition="distance between 1 and 2"))
    done = CliRunner().invoke(main, ["profile", "flights", "schedule", "--loosen"])
    assert done.exit_code == 0, done.output
    head, _, *lines = done.stdout.splitlines()
    assert head == f"--- {found.path}"
    assert [line[0] for line in lines if line[0] in "+-"] == ["-", "+"]
    assert "schedule: mine (hold): distance, most 2 to" in done.stderr
    assert found.path.read_text() == found.old
    told = CliRunner().invoke(main, ["profile", "flights", "schedule", "--loosen", "--json"]).stdout
    assert json.loads(told)["schedule"]["changes"]


def test_days_on_a_waiver_do_not_count(pipeline, publish, say, expect, rows, stage):
    publish(*DAYS[:-1])
    rule = expect("expect_rows_to_satisfy_condition", "miles", condition="distance between 1 and 9999")
    _, before = say(rule)
    wall, run = pipeline.model_copy(update={"clock": "wall"}), Run(run_id="r1")
    held = stage("schedule", rows("schedule", LAST, change="* replace (distance * 5 as distance)"), LAST)
    verdict = crossing.audit(wall, "schedule", held.batch_id, run)
    assert verdict.outcome == "HOLD"
    waivers.grant(
        wall, "schedule", LAST, content_hash=held.content_hash, batch_id=held.batch_id, verdict_id=verdict.verdict_id,
        rules=["miles"], by="ann", why="known", until="2099-01-01",
    )  # fmt: skip
    crossing.publish(wall, "schedule", held.batch_id, run)
    assert LAST in tables.published("flights", "schedule")
    assert say(rule)[1] == before


def test_a_day_that_is_beyond_a_bound_counts_and_is_told(publish, say, expect):
    publish(*DAYS[:-1])
    publish(LAST, change="* replace (distance * 5 as distance)")
    found, changed = say(
        expect("expect_rows_to_satisfy_condition", "miles", severity="warn", condition="distance <= 9999")
    )
    assert changed["miles", "distance"][1]
    (line,) = (line for line in found.summary() if line.startswith("miles"))
    assert f"on {LAST}, 1 beyond it now" in line


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (("expect_groups_to_satisfy_condition", {"aggregates": {"share": "avg(cast(origin = 'EWR' as int))"}, "condition": "share <= 1"}), None),
        (("expect_groups_to_satisfy_condition", {"aggregates": {"share": "avg(cast(distance > 0 as int))"}, "condition": "share <= 0.99"}), "too near to all rows"),
        (("expect_column_null_shares_to_fit_history", {"column_list": ["dest"], **SPAN, "width": 0, "slack": 0.1}), "nothing moved"),
        (("expect_column_means_to_fit_history", {"column_list": ["distance"], **SPAN, "width": 1000, "slack": 0.1}), "nothing moved beyond what `width` leaves"),
        (("expect_rows_to_agree_with_table", {"column_list": ["carrier"], "table": "arrivals", "limit": 0.1}), "0 days were compared, 28 are needed"),
        (("expect_table_row_count_to_fit_history", {"days": 28, "min_days": 15, "width": 0, "slack": 0.1}), "25 days were compared, 28 are needed"),
        (("expect_rows_to_satisfy_condition", {"condition": "distance / (flight - flight) <= 5"}), "it is no finite number"),
        (("expect_rows_to_satisfy_condition", {"condition": "abs(distance * 0.1 * 10 - distance * 1.1 / 1.1) <= 0.05"}), "nothing moved"),
        (("expect_rows_to_satisfy_condition", {"condition": "carrier >= 5"}), "ConversionException"),
    ],
)  # fmt: skip
def test_what_makes_no_bound_is_said_and_left(publish, say, expect, rule, why):
    publish(*DAYS)
    kind, arguments = rule
    found, changed = say(expect(kind, "one", **arguments))
    if why is None:
        assert changed
        return
    assert (changed, found.diff()) == ({}, [])
    ((said),) = found.not_proposed.values()
    assert why in said


def test_conditions_that_are_no_plain_range_are_left(publish, say, expect):
    publish(*DAYS)
    conditions = [
        "distance between 1 and 2 or flight < 5", "distance is null or distance <= 5", "flight = 3", "not distance < 5",
        "distance > 1 and distance < 5", "case when flight > 3 then 1 else 2 end <= 5", "distance between 1 and flight",
    ]  # fmt: skip
    found, _ = say(
        expect("expect_rows_to_satisfy_condition", "odd", condition=conditions),
        expect("expect_rows_to_satisfy_condition", "most", condition="distance <= 5", mostly=0.9),
    )
    assert (found.changes, found.not_proposed, found.without_bounds) == ((), {}, ("odd", "most"))


def test_extremes_of_people_are_not_shown(pipeline, publish, suite, expect):
    publish(*DAYS)
    suite(
        "schedule",
        expect("expect_rows_to_satisfy_condition", "miles", condition="distance <= 5"),
        expect(
            "expect_groups_to_satisfy_condition",
            "most",
            aggregates={"far": "max(distance)"},
            condition="far <= 9999",
        ),
    )
    source = pipeline.sources["schedule"].model_copy(update={"pii": "indirect"})
    found = proposals.propose(
        pipeline.model_copy(update={"sources": {**pipeline.sources, "schedule": source}}), "schedule"
    )
    assert found.changes == ()
    why = "its range would show values of people"
    assert found.not_proposed == {"miles, distance": why, "most, far": why}


@pytest.mark.parametrize(
    ("number", "said"), [(5e12, "5000000000000"), (1e-7, "0.0000001"), (3, "3"), (0.25, "0.25")]
)
def test_bound_is_written_as_it_is_read_again(number, said):
    assert proposals._plain(number) == said
    assert re.fullmatch(proposals._NUMBER, said)


def test_end_that_does_not_change_stays_as_it_was_written():
    match = proposals._BETWEEN.fullmatch("ms between 1262304000123 and 4102444800000")
    edits = proposals._rewritten(match, {False: 2, True: 3}, ("condition",))
    assert edits({False: 1262304000123.0, True: 5e12}) == [
        (("condition",), "ms between 1262304000123 and 5000000000000")
    ]


def test_nothing_is_proposed_from_fewer_days_than_four_weeks_or_from_none(pipeline, publish, say, expect):
    rule = expect("expect_rows_to_satisfy_condition", "miles", condition="distance <= 5")
    with pytest.raises(TableMissingError, match=r"Nothing of flights\.schedule is published"):
        say(rule)
    publish(*DAYS[: proposals.FEWEST_DAYS - 1])
    found, _ = say(rule)
    assert found.not_proposed == {"miles, distance": "27 days were compared, 28 are needed"}
    publish(DAYS[proposals.FEWEST_DAYS - 1])
    assert date.fromisoformat(say(rule)[0].changes[0].day) <= date.fromisoformat(LAST)


def test_of_all_tables_those_with_nothing_published_are_named(pipeline, publish, suite, expect):
    publish(*DAYS)
    for table in pipeline.tables:
        suite(table, expect("expect_column_values_to_not_be_null", column="ds"))
    suite("schedule", expect("expect_rows_to_satisfy_condition", "miles", condition="distance <= 5"))
    done = CliRunner().invoke(main, ["profile", "flights", "--loosen"])
    assert done.exit_code == 0, done.output
    assert "Nothing of flights.arrivals is published without a waiver." in done.stderr
    assert "schedule: miles (hold): distance 5 to" in done.stderr
