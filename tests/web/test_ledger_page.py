"""The page of decisions: searched, escaped, of one pipeline only; and an edited record shows."""

from __future__ import annotations

import sqlite3

from sluice import ledger
from sluice.core.settings import settings
from sluice.ledger import records
from tests.web.test_held import ATTACK, DAY, get, started, unmarked

__all__ = ["get", "started"]

PAGE = "/air/evidence/_/ledger/flights"


def test_ledger_is_searched_by_kind_table_and_day_and_leads_to_the_partitions(get):
    about = {"pipeline": "flights", "subject": "weather", "partition": "2013-04-01"}
    ledger.append(records.Refused(what=f"It cannot be read: {ATTACK}"), **about)

    _, headers, page = get(PAGE)
    assert "form-action 'self'" in headers["Content-Security-Policy"]
    assert ATTACK not in page
    assert f'href="/air/evidence/_/partition/flights/arrivals/{DAY}"' in page
    assert unmarked(page).count("<li>") == 3, "staged and held, of arrivals; refused, of weather"
    for query, kinds in (
        ("kind=held", ["held"]),
        ("table=weather", ["refused"]),
        (f"day={DAY}", ["held", "staged"]),
        (f"day={DAY}&kind=refused", []),
    ):
        page = get(f"{PAGE}?{query}")[2]
        assert [
            kind for kind in ("held", "refused", "staged") if f"<strong>{kind}</strong>" in page
        ] == kinds, query
    status, _, page = get(f"{PAGE}?day=yesterday")
    assert (status, "YYYY-MM-DD" in page) == (400, True)


def test_ledger_of_another_pipeline_is_not_there(get):
    assert get(PAGE, cookie="_token=forged")[0] == 401
    status, _, page = get(PAGE, cookie="_token=only-trains")
    assert (status, "arrivals" in page) == (404, False)
    assert "of flights" not in get(PAGE.replace("flights", "trains"), cookie="_token=only-trains")[2]


def test_ledger_that_somebody_edited_is_not_verified_and_names_no_content(get):
    assert "All 4 entries of the ledger are as they were written." in get(f"{PAGE}?verify=1")[2]

    with sqlite3.connect(settings().ledger_url.removeprefix("sqlite:///")) as database:
        database.execute("drop trigger sluice_ledger_no_update")
        database.execute("update sluice_ledger set data = replace(data, '983', '984') where seq = 3")

    page = get(f"{PAGE}?verify=1")[2]
    assert "chain broken" in page
    assert "Entry 3 of the ledger was edited" in page
