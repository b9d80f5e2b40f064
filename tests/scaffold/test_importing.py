"""Suites of other projects, in the forms of Great Expectations 0.18 and 1.x, taken into a table's own, and asked about real flights."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import gates
from sluice.cli import main
from sluice.core.errors import SpecInvalidError
from sluice.gates import suite_text, suites
from sluice.scaffold import importing

OLD = {
    "expectation_suite_name": "flights.warning",
    "data_asset_type": "Dataset",
    "evaluation_parameters": {},
    "expectations": [
        {"expectation_type": "expect_column_values_to_not_be_null", "kwargs": {"column": "tailnum", "mostly": 0.99, "result_format": "BASIC"},
            "meta": {"notes": {"format": "markdown", "content": ["Planes are\nregistered."]}}},
        {"expectation_type": "expect_column_values_to_be_between", "kwargs": {"column": "air_time", "min_value": 20, "max_value": 700, "parse_strings_as_datetimes": False}},
        {"expectation_type": "expect_column_values_to_match_regex", "kwargs": {"column": "carrier", "regex": "^[A-Z0-9]{2}$"}, "meta": {}},
        {"expectation_type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 600, "max_value": 1200}},
        {"expectation_type": "expect_column_mean_to_be_between", "kwargs": {"column": "air_time", "min_value": 100, "max_value": None, "strict_min": True}},
        {"expectation_type": "expect_multicolumn_values_to_be_unique", "kwargs": {"column_list": ["origin", "dest"]}},
    ],
    "ge_cloud_id": None,
    "meta": {"great_expectations_version": "0.18.12"},
}  # fmt: skip
NAMES = (
    "tailnum_not_be_null",
    "air_time_be_between",
    "carrier_match_regex",
    "table_row_count_to_be_between",
    "air_time_mean_to_be_between",
    "multicolumn_values_to_be_unique",
)


@pytest.fixture
def file(tmp_path):
    """Function: write a suite to be imported."""

    def write(found) -> str:
        path = tmp_path / "theirs.json"
        path.write_text(found if isinstance(found, str) else json.dumps(found))
        return path

    return write


@pytest.fixture
def own(suite, expect):
    """The suite of arrivals as somebody has written it."""
    path = suite("arrivals", expect("expect_column_values_to_not_be_null", "theirs_before", column="origin"))
    path.write_text(path.read_text().replace('{"name"', '{ "meta": {"a": [1, "]"]},\n\n  "name"'))
    return path


def one(type: str, /, **kwargs) -> dict:
    return {"expectations": [{"type": type, "kwargs": kwargs}]}


def test_a_suite_of_018_is_taken_with_what_ours_needs_and_no_character_of_the_own_rules_moves(
    pipeline, own, file
):
    before = own.read_text()
    found = importing.take(pipeline, "arrivals", file(OLD))

    assert (found.taken, found.already, found.refused) == (NAMES, (), ())
    after = own.read_text()
    end = before.rindex("}]")
    assert after.startswith(before[: end + 1])
    assert after.endswith(before[end + 1 :])
    first, *_ = new = suite_text.entries(after)[1:]
    assert [entry["meta"]["rule"] for entry in new] == list(NAMES)
    assert {(entry["meta"]["severity"], entry["meta"]["owner"]) for entry in new} == {
        ("warn", "airport-operations")
    }
    assert first["kwargs"] == {"column": "tailnum", "mostly": 0.99}
    assert first["meta"]["why"] == (
        "Imported from theirs.json, a suite of Great Expectations 0.18.12. It says: Planes are registered. "
        + suite_text.REVIEW
    )
    assert new[-1]["type"] == "expect_select_column_values_to_be_unique_within_record"


def test_a_suite_of_1_gives_the_same_rules(pipeline, own, file):
    importing.take(pipeline, "arrivals", file(OLD))
    first = suite_text.entries(own.read_text())
    newer = json.loads(json.dumps(OLD).replace('"expectation_type"', '"type"'))
    for each in newer["expectations"]:
        each |= {"id": "8f0a", "severity": "critical", "rendered_content": None}

    again = importing.take(pipeline, "arrivals", file(newer))

    assert (again.taken, again.already, again.refused) == ((), NAMES, ())
    assert suite_text.entries(own.read_text()) == first


def test_what_is_taken_is_asked_of_each_day_and_only_warns(pipeline, own, file, rows, stage):
    importing.take(pipeline, "arrivals", file(OLD))
    days = ["2013-04-01", "2013-04-02"]
    clean = gates.run(pipeline, stage("arrivals", rows("arrivals", *days), *days))
    assert clean.outcome == "PASS"
    wrong = (
        "* replace (case when flight % 2 = 0 then null else tailnum end as tailnum, lower(carrier) as carrier,"
        " case when ds = date '2013-04-02' then -air_time else air_time end as air_time, dest as origin)"
    )
    damaged = rows("arrivals", *days, change=wrong, suffix="where ds = '2013-04-01' or flight < 500")
    verdict = gates.run(pipeline, stage("arrivals", damaged, *days))
    assert (verdict.outcome, {rule.rule for rule in verdict.failed}) == ("WARN", set(NAMES))


def test_a_rule_that_is_there_is_never_overwritten(pipeline, own, file, expect):
    importing.take(pipeline, "arrivals", file(one("expect_column_values_to_be_unique", column="tailnum")))
    own.write_text(own.read_text().replace('"warn"', '"hold"'))
    reviewed = own.read_text()
    again = importing.take(
        pipeline,
        "arrivals",
        file(
            {
                "expectations": [
                    *one("expect_column_values_to_be_unique", column="tailnum", mostly=0.5)["expectations"],
                    *one("expect_column_values_to_be_unique", column="tailnum", mostly=0.6)["expectations"],
                ]
            }
        ),
    )
    (refused,) = again.refused
    assert "a rule tailnum_be_unique is there, and differs" in refused.sentence()
    assert again.taken == ("tailnum_be_unique_2",)
    assert suite_text.entries(own.read_text())[:2] == suite_text.entries(reviewed)


def test_a_table_without_a_suite_gets_one(pipeline, suite, file):
    path = suite("arrivals")
    path.unlink()
    assert importing.take(pipeline, "arrivals", file(OLD)).taken == NAMES
    assert json.loads(path.read_text())["name"] == "flights.arrivals"
    assert len(suites.load(pipeline, "arrivals").rules) == len(NAMES)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (one("expect_column_values_to_not_be_null", column="carier"), "no column 'carier'; did they mean 'carrier'"),
        (one("expect_column_values_to_not_be_null", column=["a"]), "no column ['a']"),
        (one("expect_column_values_to_not_be_null", column="a\x1b[2J\n"), "no column 'a\\x1b[2J\\n'"),
        (one("expect_compound_columns_to_be_unique", column_list=["carrier", "hour"]), "no column 'hour'"),
        (one("expect_column_values_to_not_be_null", column="carrier", row_condition="origin == 'EWR'", condition_parser="pandas"), "on which no row fulfils that"),
        (one("expect_column_values_to_be_between", column="air_time", min_value={"$PARAMETER": "low"}), "a parameter of its suite"),
        (one("expect_column_values_to_be_between", column="air_time", min_value=float("nan")), "is no number"),
        (one("expect_column_values_to_be_in_set", column="origin", value_set=["\ud800"]), "is no number or no text"),
        (one("expect_column_values_to_be_in_set", column="origin", value_set=None), "value_set: field required"),
        (one("expect_column_values_to_be_between", column="carrier", min_value=1), "the gate would break"),
        (one("expect_column_values_to_be_between", column="flight_date", min_value="2013-01-01", parse_strings_as_datetimes=True), "no argument parse_strings"),
        (one("expect_column_values_to_match_regex", column="carrier", regex="(?=A)"), "the gate would break"),
        (one("expect_column_values_to_match_regex", column="carrier"), "takes a column, a regex"),
        (one("expect_column_values_to_be_increasing", column="flight"), "the gate would break: No provider found"),
        (one("expect_column_max_to_be_between", column="air_time", min_value="'); drop table batch; --"), "the gate would break"),
        (one("expect_column_mean_to_be_between", column="air_time"), "no bound"),
        (one("expect_column_mean_to_be_between", column="air_time", min_value=[1]), "no bound"),
        (one("expect_column_mean_to_be_between", column="air_time", min=1), "no argument 'min'"),
        (one("expect_column_mean_to_be_between", min_value=1), "the gate would break"),
        (one("expect_column_to_exist", column="carrier"), "the contract says it"),
        (one("expect_column_values_to_be_of_type", column="carrier", type_="object"), "the contract says it"),
        (one("expect_rows_to_satisfy_condition", condition="true"), "it is SQL"),
        (one("unexpected_rows_expectation", unexpected_rows_query="select * from {batch}"), "it is SQL"),
        (one("expect_table_row_count_to_equal_other_table", other_table_name="planes"), "about another table"),
        (one("expect_column_chisquare_test_p_value_to_be_greater_than", column="carrier", p=0.05), "not found"),
        (one("expect_column_values_to_not_be_null", column="carrier", mostly=7), "mostly: ensure this value is less"),
        (one("expect_column_values_to_not_be_null", column="carrier", colour=7), "no argument 'colour'"),
        ({"expectations": ["text"]}, "it is not an object"),
        ({"expectations": [{"type": 5, "kwargs": {}}]}, "it is not an object"),
        ({"expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": [1]}]}, "it is not an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_with_what_to_do_and_nothing_is_written(
    pipeline, own, file, given, why
):
    before = own.read_text()
    found = importing.take(pipeline, "arrivals", file(given))
    assert (found.taken, found.already) == ((), ())
    (refused,) = found.refused
    assert why in refused.sentence().encode("unicode_escape").decode() or why in refused.sentence()
    assert refused.todo
    assert own.read_text() == before


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"expectations": []}', '{"expectations": {}}', "[" * 100_000, "\x00"])  # fmt: skip
def test_a_file_that_is_no_suite_is_refused(pipeline, own, file, text):
    with pytest.raises(SpecInvalidError, match=r"not a suite of Great Expectations.*Allowed: a JSON file"):
        importing.take(pipeline, "arrivals", file(text))


def test_an_own_suite_that_cannot_be_used_is_corrected_first(pipeline, own, file):
    own.write_text(own.read_text().replace("because", ""))
    broken = own.read_text()
    with pytest.raises(SpecInvalidError, match=r"meta\.why"):
        importing.take(pipeline, "arrivals", file(OLD))
    assert own.read_text() == broken


def test_a_text_that_sluice_check_would_refuse_does_not_become_the_suite(pipeline, own):
    before = own.read_text()
    with pytest.raises(SpecInvalidError, match="no column 'gate'"):
        suite_text.write(pipeline, "arrivals", before.replace('"origin"', '"gate"'))
    assert own.read_text() == before
    assert [path.name for path in own.parent.iterdir()] == [own.name]


def test_the_command_says_what_was_taken_and_what_not_and_ends_with_1_where_something_was_not(own, file):
    def ask(found: dict, *options: str, code: int) -> str:
        words = ["suite", "import", "flights", "arrivals", str(file(found)), *options]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == code, done.output
        return done.output

    said = ask(OLD, code=0)
    assert said.splitlines()[0] == "taken: tailnum_not_be_null"
    assert f"6 taken into {own}, 0 there already, 0 not taken." in said
    assert len(json.loads(ask(OLD, "--json", code=0))["already"]) == 6
    refused = ask(one("expect_column_values_to_not_be_null", column="a\x1b"), code=1)
    assert refused.startswith(
        "NOT TAKEN: expectation 1, expect_column_values_to_not_be_null of a\\x1b: the table has"
    )
    assert "Next: name one of flight_date, carrier" in refused


def test_patterns_with_colons_and_rows_without_a_value_mean_what_they_meant(pipeline, own, file, rows, stage):
    """SQLAlchemy takes `:word` for a parameter; and a row of which one value is missing was left out of a pair."""
    found = [
        one("expect_column_values_to_match_regex", column="carrier", regex="^(?:UA|AA):{0}:00|x$"),
        one("expect_column_pair_values_a_to_be_greater_than_b", column_A="dep_delay", column_B="dep_delay", or_equal=True, ignore_row_if="either_value_is_missing"),
    ]  # fmt: skip
    listed = [expectation for each in found for expectation in each["expectations"]]
    taken = importing.take(pipeline, "arrivals", file({"expectations": listed}))
    assert (len(taken.taken), taken.refused) == (2, ())
    verdict = gates.run(pipeline, stage("arrivals", rows("arrivals", "2013-04-02"), "2013-04-02"))
    result = {one.rule: one for one in verdict.rules}
    pattern, pair = (result[name] for name in taken.taken)
    assert not any(one.broken for one in verdict.rules), verdict.reasons
    assert (pattern.passed, pair.passed) == (False, True)
    assert verdict.sample
