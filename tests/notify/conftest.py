"""A held batch as it really looks: arrivals sent in seconds instead of minutes. And a real SMTP server to mail it to."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from sluice.notify.events import Event

ROW = {
    "flight_date": "2013-02-08",
    "carrier": "B6",
    "flight": 725,
    "origin": "JFK",
    "dest": "BQN",
    "tailnum": "N509JB",
    "dep_time": 537,
    "dep_delay": -120,
    "arr_time": 1011,
    "arr_delay": -780,
    "air_time": 10980,
    "ds": "2013-02-08",
    "delivery_id": "6f1c2a90be4d7713",
}


@pytest.fixture
def held() -> Event:
    return Event(
        kind="held_batch",
        pipeline="flights",
        subject="arrivals",
        partition="2013-02-08",
        run_day="2013-02-09",
        cause="air_time_in_minutes,delay_in_minutes",
        occurrence="3f9d1c5a7e",
        ends_with="published arrivals",
        batch_id="20130209T091500123456-a1b2c3",
        owner="airport-operations",
        effect="The predictions of 2013-02-09 are not made; readers still see those of 2013-02-08.",
        summary="",
        rows=930,
        rules_total=14,
        rules=[
            {
                "rule": "air_time_in_minutes",
                "severity": "hold",
                "owner": "airport-operations",
                "why": "No flight out of New York is in the air for less than 15 or more than 720 minutes.",
                "observed": "930 of 930 values are outside 15 to 720, for example 10980",
                "columns": ["air_time"],
                "failing_rows": 930,
            },
            {
                "rule": "delay_in_minutes",
                "severity": "hold",
                "owner": "airport-operations",
                "why": "Delays in seconds would look sixty times as long.",
                "observed": "412 values are outside -120 to 1500",
                "columns": ["dep_delay", "arr_delay"],
                "failing_rows": 412,
            },
        ],
        sample=[
            {"rules": ["air_time_in_minutes"], "row": ROW},
            {"rules": ["delay_in_minutes"], "row": {**ROW, "flight": 461, "dest": "ATL", "tailnum": None}},
        ],
        not_published=[
            "flights.arrivals",
            "flights.features",
            "flights.outcomes",
            "flights.predictions",
        ],
        next_steps=[
            "Open the evidence and look at the failing rows.",
            "Ask airport-operations for a corrected file, landed as arrivals_2013-02-08_2.csv.gz.",
            "Start flights_ingest again for 2013-02-09: the corrected file goes through the same gate.",
        ],
        commands={
            "sluice replay flights arrivals 2013-02-08": "send it through the gate again",
            "sluice release flights arrivals 2013-02-08 --by NAME --why REASON --until DAY": "publish it under your waiver",
        },
        links={
            "Open the evidence": "http://127.0.0.1:8080/plugin/evidence/evidence/flights/gates/arrivals/a.html",
            "The failed task": "http://127.0.0.1:8080/dags/flights_ingest/runs/r1/tasks/audit_arrivals",
        },
        occurred_at=datetime(2013, 2, 9, 9, 15, 4, tzinfo=UTC),
    )


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
