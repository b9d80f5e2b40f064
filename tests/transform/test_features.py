"""The models on real rows: what they may see, what they compute, and which of their tests go red."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
import pytest

from sluice.core.errors import TransformFailedError
from sluice.transform import database, project

DAY = "2013-02-08"
AS_OF = date(2013, 2, 8)


def _on(table, day):
    return table.filter(pc.equal(table["ds"], date.fromisoformat(day))).combine_chunks()


def _set(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


def _late(table, where):
    """The same arrivals, ten hours late on the days that `where` selects."""
    return _set(table, "arr_delay", pc.if_else(where, pa.scalar(600), table["arr_delay"]))


def test_models_on_empty_tables_pass_every_unit_test(flights, warm, tmp_path):
    database.create(flights, DAY, DAY, {name: [] for name in flights.sources}, tmp_path / database.FILE)
    results = project.invoke(flights, ["build"], workdir=tmp_path).results
    failed = [
        (result.node.name, result.message) for result in results if result.status not in ("success", "pass")
    ]
    assert failed == []
    parsed = project.manifest(flights)
    tested = {test.model for test in parsed.unit_tests.values()}
    models = {node.name for node in parsed.nodes.values() if node.resource_type == "model"}
    # Another instance of a tested macro: nothing in it can branch.
    assert models - tested == {"int_flights__route_history"}


def test_features_of_a_range_equal_those_of_its_days(raw, built, features):
    whole = built(raw, start="2013-02-07", end=DAY).data
    assert set(whole["ds"].to_pylist()) == {date(2013, 2, 7), AS_OF}
    assert _on(whole, DAY).equals(features.combine_chunks())
    assert _on(whole, "2013-02-07").equals(built(raw, start="2013-02-07").data.combine_chunks())


def test_features_when_the_future_changes_stay_the_same(raw, built, features):
    later = {
        "arrivals": _late(raw["arrivals"], pc.greater_equal(raw["arrivals"]["ds"], AS_OF)),
        "weather": _set(
            raw["weather"],
            "wind_speed",
            pc.if_else(
                pc.greater_equal(raw["weather"]["ds"], AS_OF), pa.scalar(99.0), raw["weather"]["wind_speed"]
            ),
        ),
        "schedule": raw["schedule"].filter(pc.equal(raw["schedule"]["ds"], AS_OF)),
    }
    for register in ("planes", "airports", "airlines"):
        # The version of three days later has lost every row but one.
        newer = _set(raw[register].slice(0, 1), "ds", pa.array([date(2013, 2, 11)]))
        later[register] = pa.concat_tables([raw[register], newer])
    assert built({**raw, **later}).data.equals(features)


def test_features_when_the_past_changes_follow(raw, built, features):
    # The first day of the window is the edge that a wrong comparison would lose.
    arrivals = _late(raw["arrivals"], pc.equal(raw["arrivals"]["ds"], date(2013, 1, 11)))
    weather = _set(raw["weather"], "wind_speed", pa.array([99.0] * len(raw["weather"])))
    planes = _set(raw["planes"], "seats", pa.array([1] * len(raw["planes"])))
    changed = built({**raw, "arrivals": arrivals, "weather": weather, "planes": planes}).data
    for name in ("carrier_late_rate_28d", "wind_speed_mph", "aircraft_seats_count"):
        assert not changed[name].equals(features[name]), name
    assert changed["origin_late_rate_7d"].equals(features["origin_late_rate_7d"])


def test_features_of_a_day_agree_with_a_count_by_hand(raw, features):
    data = features
    rows = raw["arrivals"].to_pylist()
    delays = [
        row["arr_delay"]
        for row in rows
        if row["carrier"] == "B6" and date(2013, 1, 11) <= row["ds"] < AS_OF and row["arr_delay"] is not None
    ]
    of_carrier = data.filter(pc.equal(data["carrier"], "B6"))
    assert set(of_carrier["carrier_flights_count_28d"].to_pylist()) == {len(delays)}
    assert set(of_carrier["carrier_late_rate_28d"].to_pylist()) == {
        sum(d >= 15 for d in delays) / len(delays)
    }
    at_jfk = [
        row for row in raw["weather"].to_pylist() if row["origin"] == "JFK" and row["ds"] == date(2013, 2, 7)
    ]
    last = max(at_jfk, key=lambda row: row["observed_at"])
    assert set(data.filter(pc.equal(data["origin"], "JFK"))["temperature_f"].to_pylist()) == {last["temp"]}
    assert data.num_rows == len(_on(raw["schedule"], DAY))
    assert data["as_of_at"].to_pylist() == [datetime(2013, 2, 8, 9, tzinfo=UTC)] * data.num_rows


def test_features_name_no_person(features):
    makers = set(features["aircraft_manufacturer"].to_pylist())
    assert {"AIRBUS", "EMBRAER"} <= makers
    assert makers <= {
        "AIRBUS",
        "BOEING",
        "BOMBARDIER",
        "CANADAIR",
        "EMBRAER",
        "MCDONNELL DOUGLAS",
        "OTHER",
        None,
    }


def test_features_of_the_first_day_claim_no_history(raw, built, flights):
    nothing = {name: raw[name].slice(0, 0) for name in ("arrivals", "weather")}
    data = built({**raw, **nothing}).data
    assert set(data["carrier_flights_count_28d"].to_pylist()) == {0}
    rates = [name for name in flights.model.features.numeric if "rate" in name]
    for name in [*rates, "aircraft_seats_count", "temperature_f"]:
        assert data[name].null_count == data.num_rows, name


def test_features_of_a_flight_before_the_prediction_are_left_out_and_counted(raw, built):
    result = built(raw, start="2013-07-27")
    assert result.dropped == {"departs_before_prediction": 1}
    assert result.received == len(_on(raw["schedule"], "2013-07-27")) == result.data.num_rows + 1
    assert "2013-07-27|US|1632|EWR|LGA" not in result.data["flight_id"].to_pylist()


def test_features_have_the_columns_that_the_model_uses(features, flights):
    data = features
    used = flights.model.features
    assert {*used.numeric, *used.categorical, flights.model.key, flights.model.baseline, "ds"} <= set(
        data.column_names
    )
    assert {str(data.schema.field(name).type) for name in used.numeric} == {"int64", "double"}
    assert {str(data.schema.field(name).type) for name in ("as_of_at", "scheduled_departure_at")} == {
        "timestamp[us, tz=UTC]"
    }


def test_outcomes_tell_late_cancelled_and_diverted(raw, built):
    data = built(raw, "outcomes").data
    reported = _on(raw["arrivals"], DAY)
    assert data.num_rows == reported.num_rows
    assert pc.sum(data["is_cancelled"]).as_py() == reported["dep_time"].null_count > 0
    assert data["is_late"].null_count == reported["arr_delay"].null_count
    assert pc.sum(data["is_late"]) == pc.sum(pc.greater_equal(reported["arr_delay"], 15))


def _without(table, name, value):
    return table.filter(pc.not_equal(table[name], value))


def _twice(table):
    return pa.concat_tables([table, _on(table, str(table["ds"][0])).slice(0, 3)])


@pytest.mark.parametrize(
    ("change", "tests"),
    [
        (
            lambda raw: {"schedule": _twice(_on(raw["schedule"], DAY)), "planes": _twice(raw["planes"])},
            [
                "test unique_key_stg_flights__schedule_flight_id: Got 3 results",
                "test unique_key_stg_flights__planes_ds__tailnum: Got 3 results",
            ],
        ),
        (
            lambda raw: {
                "airports": _without(_without(raw["airports"], "faa", "BOS"), "faa", "LGA"),
                "airlines": _without(raw["airlines"], "carrier", "VX"),
            },
            [
                "test match_rate_int_flights__departures_1__origin_timezone: Got 1 result",
                "test match_rate_int_flights__departures_0_9__dest_timezone: Got 1 result",
                "test match_rate_int_flights__departures_0_99__carrier_name: Got 1 result",
            ],
        ),
        (
            lambda raw: {"planes": raw["planes"].filter(pc.less(raw["planes"]["year"], 2005))},
            ["test match_rate_int_flights__expected_aircraft_0_7__registered_tailnum: Got 1 result"],
        ),
    ],
    ids=["keys twice", "unknown airports and carriers", "unknown aircraft"],
)
def test_build_on_tables_that_do_not_join_names_each_test(raw, built, change, tests):
    with pytest.raises(TransformFailedError) as error:
        built({**raw, **change(raw)})
    for test in tests:
        assert test in str(error.value)
    assert str(error.value).startswith(f"{len(tests)} of ")


def test_row_count_test_when_a_join_multiplies_rows_goes_red(raw, flights, warm, tmp_path):
    # Without the tests on the registers themselves, which would stop it first.
    files = {}
    for name, rows in {**raw, "airlines": pa.concat_tables([raw["airlines"]] * 2)}.items():
        pa.parquet.write_table(rows, tmp_path / f"{name}.parquet")
        files[name] = [str(tmp_path / f"{name}.parquet")]
    database.create(flights, DAY, DAY, files, tmp_path / database.FILE)
    chosen = [
        "--select",
        "+int_flights__departures",
        "--exclude",
        "test_name:unique_key",
        "resource_type:unit_test",
    ]
    results = project.invoke(flights, ["build", *chosen], workdir=tmp_path).results
    red = [result.node.name for result in results if result.status == "fail"]
    assert red == ["same_row_count_int_flights__departures_ref_stg_flights__schedule_"]


def test_silent_weather_station_is_a_warning(raw, built):
    weather = raw["weather"].filter(pc.not_equal(raw["weather"]["origin"], "JFK"))
    nodes = {node.name: node.status for node in built({**raw, "weather": weather}).nodes}
    assert [name for name, status in nodes.items() if status == "warn"] == [
        name for name in nodes if name.startswith("match_rate_ftr_flights__departure_")
    ]
    assert "warn" in nodes.values()


# Columns that a join uses, by table.
_KEYS = {
    "schedule": ["carrier", "origin", "dest"],
    "arrivals": ["carrier", "origin", "dest", "tailnum"],
    "weather": ["origin"],
    "planes": ["tailnum"],
    "airports": ["faa"],
    "airlines": ["carrier"],
}


def _respelled(tables):
    """15% of the rows of each table with their keys in lower case, blanks before, or blanks after them."""
    changes = [pc.utf8_lower, lambda keys: pc.binary_join_element_wise(" ", keys, "")]
    changes.append(lambda keys: pc.binary_join_element_wise(pc.utf8_swapcase(keys), "\t ", ""))
    respelled = {}
    for name, rows in tables.items():
        chosen = np.random.default_rng(5).random(rows.num_rows) < 0.15
        way = np.arange(rows.num_rows) % len(changes)
        for key in _KEYS[name]:
            for number, change in enumerate(changes):
                where = pa.array(chosen & (way == number))
                rows = _set(rows, key, pc.if_else(where, change(rows[key]), rows[key]))
        respelled[name] = rows
    return respelled


def test_features_of_respelled_keys_are_those_of_the_clean_ones(raw, built, features):
    noisy = _respelled(raw)
    assert len(set(noisy["planes"]["tailnum"].to_pylist()) - set(raw["planes"]["tailnum"].to_pylist())) > 400
    assert built(noisy).data.equals(features)


def test_features_count_the_rows_whose_partner_is_unknown(raw, built, features):
    clean = built(raw)
    gone = set(raw["planes"]["tailnum"].unique().to_pylist()[::40])
    planes = raw["planes"].filter(pc.invert(pc.is_in(raw["planes"]["tailnum"], pa.array(gone))))
    airports = _without(raw["airports"], "faa", "BUF")
    result = built({**raw, "planes": planes, "airports": airports})
    to_buffalo = pc.sum(pc.equal(features["dest"], "BUF")).as_py()
    assert result.unmatched["airports"] - clean.unmatched.get("airports", 0) == to_buffalo > 0
    assert result.data.num_rows == features.num_rows
    lost = result.data["aircraft_seats_count"].null_count - features["aircraft_seats_count"].null_count
    assert result.unmatched["planes"] - clean.unmatched["planes"] == lost > 0
    assert set(result.unmatched) == {"airports", "planes"}


def test_keys_that_are_one_after_normalising_are_named(raw, built):
    planes = raw["planes"]
    twin = _set(planes.slice(0, 1), "tailnum", pc.utf8_lower(planes["tailnum"].slice(0, 1)))
    with pytest.raises(TransformFailedError, match=r"tailnum N10156, row_count 2") as error:
        built({**raw, "planes": pa.concat_tables([planes, twin])})
    assert "unique_key_stg_flights__planes" in str(error.value)
