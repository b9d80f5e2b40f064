"""The probable cause of a held batch: real days with one known corruption each, beside the four weeks before them."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pytest

from sluice import crossing, ledger
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import contracts, spec
from sluice.gates import causes
from sluice.lake import tables

DAY = "2013-04-05"
BEFORE = [str(date.fromisoformat(DAY) - timedelta(days=back)) for back in range(28, 0, -1)]
SECONDS = "* replace (dep_delay * 60 as dep_delay, arr_delay * 60 as arr_delay, air_time * 60 as air_time)"
TWO_CARRIERS = "case carrier when 'UA' then 'B6' when 'B6' then 'UA' else carrier end"
# Table, the SQL that damages its day, which rows of it are left or added, the cause, and what its sentence says.
KNOWN = {
    "seconds": ("arrivals", SECONDS, "", "another unit", "60 times"),
    "kilometres": (
        "schedule",
        "* replace (cast(distance * 1.609 as bigint) as distance)",
        "",
        "another unit",
        "kilometres instead of miles",
    ),
    "minutes_for_clocks": (
        "schedule",
        "* replace (sched_dep_time // 100 * 60 + sched_dep_time % 100 as sched_dep_time)",
        "",
        "another unit",
        "minutes since midnight",
    ),
    "exchanged": (
        "schedule",
        "* replace (sched_arr_time as sched_dep_time, sched_dep_time as sched_arr_time)",
        "",
        "swapped columns",
        "sched_dep_time",
    ),
    "exchanged_codes": ("schedule", "* replace (origin as dest, dest as origin)", "", "swapped columns", ""),
    "exchanged_with_the_key": (
        "schedule",
        "* replace (flight as distance, distance as flight)",
        "",
        "swapped columns",
        "flight and distance exchanged",
    ),
    "moved_up": (
        "schedule",
        "* replace (sched_arr_time as sched_dep_time, distance as sched_arr_time, sched_dep_time as distance)",
        "",
        "shifted columns",
        "is a field missing",
    ),
    "half": ("arrivals", "*", "where hash(flight, dest) % 2 = 0", "missing rows", "of the usual rows"),
    "an_origin": ("arrivals", "*", "where origin <> 'LGA'", "missing rows", "none of 1 value of origin"),
    "twice": ("arrivals", "*", "union all (from landed limit 200)", "duplicate rows", "key"),
    "another_year": (
        "arrivals",
        "* replace (flight_date - 365 as flight_date)",
        "",
        "wrong dates",
        "flight_date is another day's in 100% of the rows, by about 365 days",
    ),
    "utc": (
        "weather",
        "* replace (observed_at + interval 5 hours as observed_at)",
        "",
        "another time zone",
        "hours outside its day in 21% of the rows",
    ),
    "an_hour_off_in_part": (
        "weather",
        "* replace (if((hour(observed_at) + ascii(origin)) % 6 = 0, observed_at + interval 1 hour, observed_at) as observed_at)",
        "",
        "another time zone",
        "of the keys that there are twice",
    ),
    "weather_moved_up": (
        "weather",
        "* replace (dewp as temp, humid as dewp, wind_dir as humid, wind_speed as wind_dir, wind_gust as wind_speed,"
        " precip as wind_gust, pressure as precip, visib as pressure, temp as visib)",
        "",
        "shifted columns",
        "the next column has",
    ),
    "weather_exchanged": (
        "weather",
        "* replace (humid as pressure, pressure as humid)",
        "",
        "swapped columns",
        "humid and pressure",
    ),
    "pascal": ("weather", "* replace (pressure * 100 as pressure)", "", "another unit", "100 times"),
    "below_zero": ("weather", "* replace (-temp as temp)", "", "wrong sign", "temp has the opposite sign"),
    "made_up": (
        "schedule",
        "*",
        "union all (select * replace (flight + 7000 as flight, lag(dest, 7, 'SEA') over (order by hash(flight)) as dest) from landed limit 400)",
        "another source's rows",
        "unknown keys",
    ),
    "rounded": (
        "schedule",
        "* replace (cast(round(distance / 50) * 50 as bigint) as distance)",
        "",
        "rounded values",
        "multiple of 50",
    ),
    "an_hour_off": (
        "schedule",
        "* replace ((sched_dep_time + 100) % 2400 as sched_dep_time)",
        "",
        "another time zone",
        "1 hours off",
    ),
    "unknown_code": (
        "arrivals",
        "* replace (if(carrier = 'UA', 'U2', carrier) as carrier)",
        "",
        "other codes",
        "",
    ),
    "codes_exchanged": (
        "arrivals",
        f"* replace ({TWO_CARRIERS} as carrier)",
        "",
        "other codes",
        "by carrier alone",
    ),
    "cut_short": (
        "schedule",
        "* replace (dest[:2] as dest)",
        "",
        "cut text",
        "dest has a value that no earlier day",
    ),
    "mojibake": (
        "schedule",
        "* replace (replace(dest, 'A', 'Ã¥') as dest)",
        "",
        "another encoding",
        "no ASCII",
    ),
    "nulls": (
        "arrivals",
        "* replace (if(flight % 3 = 0, null, tailnum) as tailnum)",
        "",
        "missing values",
        "tailnum",
    ),
    "nulls_of_a_group": (
        "arrivals",
        "* replace (if(dest = 'MIA', null, tailnum) as tailnum)",
        "",
        "missing values",
        "in all rows of 1 of",
    ),
    "constant": ("schedule", "* replace (733 as distance)", "", "constant values", "distance"),
    "constant_text": (
        "arrivals",
        "* replace (if(tailnum is null, null, 'N14228') as tailnum)",
        "",
        "constant values",
        "tailnum is one value in all rows",
    ),
    "merged_codes": (
        "weather",
        "* replace (if(origin = 'LGA', 'JFK', origin) as origin)",
        "",
        "other codes",
        "none of 1 value of origin",
    ),
    "cut_off": (
        "schedule",
        "* replace (least(distance, 999) as distance)",
        "",
        "rounded values",
        "cut off",
    ),
    "sign": (
        "schedule",
        "* replace (-distance as distance)",
        "",
        "wrong sign",
        "distance has the opposite sign",
    ),
    "offset": (
        "schedule",
        "* replace (distance + 130 as distance)",
        "",
        "constant offset",
        "is about +130 added?",
    ),
    "shuffled": (
        "schedule",
        "* replace (lag(distance, 40, 500) over (order by hash(flight, dest)) as distance)",
        "",
        "rows mixed up",
        "distance",
    ),
}


@pytest.fixture(scope="module")
def past(rows):
    """The days before, by table."""
    return {table: rows(table, *BEFORE) for table in ("arrivals", "schedule", "weather")}


@pytest.fixture
def cause(pipeline, past, rows):
    """Function: the probable cause of rows as a table's batch; without history if asked for."""

    def find(table: str, data, history=None):
        with duckdb.connect() as con:
            con.execute("set timezone = 'UTC'")
            con.register("batch", data)
            con.register("history", past[table] if history is None else history)
            source = pipeline.sources[table]
            return causes.most_probable(con, source.contract.columns, source.key)

    return find


@pytest.mark.parametrize("name", KNOWN)
def test_most_probable_known_corruption_is_named_with_its_evidence(name, cause, rows):
    table, change, suffix, kind, says = KNOWN[name]
    found = cause(table, rows(table, DAY, change=change, suffix=suffix))
    assert (found.kind, says in found.sentence) == (kind, True), found


@pytest.mark.parametrize("table", ["arrivals", "schedule", "weather"])
def test_most_probable_file_of_an_earlier_day_is_stale(cause, rows, table):
    found = cause(table, rows(table, "2013-04-03", change=f"* replace (date '{DAY}' as ds)"))
    assert (found.kind, found.sentence.endswith("was an earlier file delivered again?")) == (
        "stale file",
        True,
    )


def test_most_probable_rows_of_another_day_are_not_called_duplicates(cause, rows):
    change = f"* replace (date '{DAY}' as ds, date '{DAY}' as flight_date)"
    older = rows("arrivals", "2013-04-02", change=change, suffix="limit 300")
    with duckdb.connect() as con:
        con.register("now", rows("arrivals", DAY))
        con.register("older", older)
        data = con.sql("from now union all from older").to_arrow_table()
    assert cause("arrivals", data).kind == "another day's rows"


@pytest.mark.parametrize("table", ["arrivals", "schedule", "weather"])
def test_most_probable_clean_day_has_no_cause(cause, rows, table):
    found = cause(table, rows(table, DAY))
    assert (found.kind, found.is_clear) == ("not clear", False), found


def test_most_probable_two_corruptions_that_explain_as_much_are_not_clear(cause, rows):
    change = (
        "* replace (distance * 60 as distance, sched_arr_time * 60 as sched_dep_time, 5 as sched_arr_time)"
    )
    found = cause("schedule", rows("schedule", DAY, change=change))
    assert found.kind == "not clear"
    assert len(found.evidence) > 1


def test_most_probable_without_earlier_days_says_so(cause, rows, past):
    found = cause("arrivals", rows("arrivals", DAY, change=SECONDS), past["arrivals"].slice(0, 0))
    assert found.sentence == "Not clear: no earlier day was read that it could be compared with."


@pytest.mark.parametrize("table", ["schedule", "arrivals"])
def test_most_probable_never_shows_a_value_of_a_row(cause, rows, table):
    """Whatever is wrong with it: the sentences must be fit for tables about persons."""
    change = "* replace ('SECRET' as dest, 987654321 as flight)"
    found = cause(table, rows(table, DAY, change=change))
    said = " ".join([found.sentence, *found.evidence])
    assert "SECRET" not in said
    assert "987654321" not in said.replace(",", "")


def test_run_held_batch_has_its_cause_in_verdict_page_and_ledger(home, rows, stage):
    flights = spec.load("flights")
    tables.publish(stage("schedule", rows("schedule", *BEFORE), *BEFORE), verdict_id="v")
    change = "* replace (cast(distance * 1.609 as bigint) as distance)"
    held = stage("schedule", rows("schedule", DAY, change=change), DAY)

    verdict = crossing.audit(flights, "schedule", held.batch_id, Run(run_id="r1"))

    assert (verdict.outcome, verdict.cause.kind) == ("HOLD", "another unit")
    assert verdict.cause.sentence in (settings().home / "reports" / verdict.report).read_text()
    (entry,) = ledger.entries(ledger.records.Held, pipeline="flights")
    assert entry.record.cause["sentence"] == verdict.cause.sentence


def test_run_clean_batch_is_not_asked_for_a_cause(home, rows, stage, monkeypatch):
    def ask(*_):
        raise AssertionError("a clean day must not pay for it")

    monkeypatch.setattr(causes, "most_probable", ask)
    verdict = crossing.audit(
        spec.load("flights"),
        "schedule",
        stage("schedule", rows("schedule", DAY), DAY).batch_id,
        Run(run_id="r1"),
    )
    assert (verdict.publishes, verdict.cause) == (True, None)


COLUMNS = {
    "at": contracts.Column(type="timestamp"),
    "id": contracts.Column(type="integer"),
    "opened": contracts.Column(type="date"),
    "status": contracts.Column(type="string", nullable=True),
    "gate": contracts.Column(type="string", nullable=True),
    "amount": contracts.Column(type="number", nullable=True),
}
# 200 rows of the same things on each of 15 days: a date that stays, a status that is seldom another one, a column that is not filled yet.
DRAWN = f"""
    select ds, ds + interval (i) minute as at, i as id, date '2012-01-01' + i::int as opened,
        if(hash(i, ds) % 400 = 0, 'CANCELLED', 'OK') as status, null::varchar as gate, 100.0 + i + hash(i, ds) % 7 as amount
    from (select unnest(generate_series(date '{DAY}' - 14, date '{DAY}', interval 1 day))::date as ds), range(200) as t(i)
"""


@pytest.fixture
def drawn():
    """Function: the probable cause of a drawn day as a SQL select list makes it, beside some of the days before it."""

    def find(change: str, *, suffix: str = "", days: int = 14, key=("id",)):
        with duckdb.connect() as con:
            con.execute(f"create table drawn as {DRAWN}")
            con.execute(f"create table batch as select {change} from drawn where ds = date '{DAY}' {suffix}")
            con.execute(
                f"create table history as from drawn where ds < date '{DAY}' and ds >= date '{DAY}' - {days}"
            )
            return causes.most_probable(con, COLUMNS, key)

    return find


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("* replace (if(id % 5 < 2, null, amount) as amount)", "missing values"),
        ("* replace (amount * 60 as amount)", "another unit"),
        ("* replace (amount * 60 as amount, 'OK' as status, 'B' || id % 9 as gate)", "another unit"),
        ("* replace (amount * 60 as amount, 'Zürich' as gate)", "another unit"),
    ],
)
def test_most_probable_is_not_what_is_so_on_every_day(drawn, change, kind):
    """A date that stays what it was, a status that is nearly always one, a column that is filled for the first time."""
    found = drawn(change)
    assert found.kind == kind, found


def test_most_probable_of_a_second_day_does_not_know_what_is_usual(drawn):
    found = drawn("* replace (if(id % 3 = 0, -amount, amount) as amount)", days=1)
    assert found.kind not in ("stale file", "another day's rows"), found


def test_most_probable_says_of_each_column_what_is_so_of_it(drawn):
    found = drawn(
        "* replace (if(id % 5 < 2, null, amount) as amount, if(id % 20 = 0, null, status) as status)"
    )
    assert found.sentence.startswith("amount is missing in 40% of the rows"), found
    assert any(one.startswith("status is missing in 5") for one in found.evidence), found


def test_most_probable_where_the_key_is_an_instant_is_asked(drawn):
    found = drawn("*", suffix="union all (from drawn where ds = date '2013-04-05' limit 60)", key=("at",))
    assert "failed" not in found.sentence, found
    assert found.kind == "duplicate rows", found


def test_most_probable_never_keeps_a_verdict_from_being_made(drawn, monkeypatch):
    monkeypatch.setattr(causes, "MOST_ROWS", 100)
    assert "of more than 100 rows" in drawn("*").sentence
    monkeypatch.undo()

    def broken(seen):
        raise MemoryError

    monkeypatch.setattr(causes.rows, "missing_rows", broken)
    assert drawn("*").sentence == "Not clear: the comparison with earlier days failed with MemoryError."


def test_most_probable_asks_about_the_unit_that_is_declared_and_once_of_each_column(cause, rows):
    """57.3 times explains the day's air time as well as 60 times: degrees for radians is no question about minutes."""
    found = cause("arrivals", rows("arrivals", DAY, change=SECONDS))
    told = [found.sentence, *found.evidence]
    assert all("seconds instead of minutes" in sentence for sentence in told), told
    assert sorted(sentence.split()[0] for sentence in told) == ["air_time", "arr_delay", "dep_delay"]
