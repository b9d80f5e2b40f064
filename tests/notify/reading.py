"""What the tests of several modules do with mails."""

from __future__ import annotations

import pytest

from sluice import crossing, ledger, notify
from sluice.core.errors import ContractBrokenError
from sluice.core.runs import Run
from sluice.ledger import records
from sluice.notify import report
from sluice_lab import feed

RUN_DAY, DATA_DAY = "2013-04-04", "2013-04-03"
TASK_URL = "http://127.0.0.1:8080/dags/flights_ingest"


def body(mail) -> str:
    """The text of a mail in one line."""
    return " ".join(mail.get_body(("plain",)).get_content().split())


def tell(event, smtp):
    return notify.deliver(event, smtp, sender="sluice@localhost", to=["someone@example.com"])


def publication(day, batch="20300101T000000000000-aaaaaa"):
    """Record that a day of arrivals is published."""
    ledger.append(records.Published(batch_id=batch), pipeline="flights", subject="arrivals", partition=day)


def refused(flights, smtp):
    """A delivery of arrivals that cannot be read, mailed as the failed stage task does."""
    feed.deliver(flights, RUN_DAY, sources=["arrivals"], corrupt="missing_column")
    with pytest.raises(ContractBrokenError) as caught:
        crossing.stage(flights, "arrivals", [RUN_DAY], Run(dag_id="flights_ingest", run_id="test"))
    event = report.of_exception(
        flights,
        caught.value,
        task_id="arrivals.stage_arrivals",
        run_id="test",
        partition=RUN_DAY,
        task_url=TASK_URL,
        dag_id="flights_ingest",
    )
    return tell(event, smtp)
