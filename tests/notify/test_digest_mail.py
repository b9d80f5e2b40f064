"""The digest: what was published all the same and is worth a look, at most once a pipeline day."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from sluice import crossing, ledger, notify
from sluice.core.runs import Run
from sluice.ingest import deliveries
from sluice.ledger import records
from sluice_lab import feed
from sluice_lab.feed import data as source_data
from sluice_lab.feed.formats import encode
from tests.notify.reading import body, tell

DAY = "2013-04-04"


def test_digest_groups_warnings_once_a_day_and_is_silent_on_a_clean_one(flights, sink, mails):
    smtp, folder, _ = sink
    assert notify.digest(flights, smtp) is None, "before the feed has begun there is no day"
    feed.deliver(flights, "2013-04-01", sources=["schedule"])
    feed.deliver(flights, DAY, sources=["schedule"])
    assert notify.digest(flights, smtp) is None
    warned = {"rule": "few_cancelled", "severity": "warn", "passed": False, "owner": "airport-operations"}
    warned |= {"why": "Storms do that.", "observed": "12 of 900 rows fail", "columns": [], "failing_rows": 12}
    for day in ("2013-04-01", "2013-04-02", "2013-04-03"):
        ledger.append(
            records.Verdict(outcome="WARN", rules=[warned], quarantined={"known_carrier": 2}),
            pipeline="flights",
            subject="arrivals",
            partition=day,
        )

    entry = notify.digest(flights, smtp)

    assert entry.data["status"] == "digest"
    late = {"outcome": "WARN", "rules": [warned | {"rule": "late_rule"}]}
    ledger.append(records.Verdict(**late), pipeline="flights", subject="arrivals", partition="2013-04-03")
    assert notify.digest(flights, smtp) is None, "at most one a pipeline day"
    (mail,) = mails(folder)
    assert mail["Subject"] == "[sluice][DIGEST] flights 2013-04-04: 2 things are worth a look."
    assert "arrivals, few_cancelled: 12 of 900 rows fail. On 2013-04-01, 2013-04-02, 2013-04-03." in body(
        mail
    )
    assert "arrivals, known_carrier: 6 rows are in quarantine" in body(mail)
    feed.deliver(flights, "2013-04-05", sources=["schedule"])
    notify.digest(flights, smtp)
    told = body(mails(folder)[-1])
    assert "late_rule" in told, "what came later is told the next day"
    assert "few_cancelled" not in told, "what was told is not told again"


def test_digest_does_not_repeat_a_fault_that_was_not_seen_again(flights, held, sink, mails):
    smtp, folder, _ = sink
    feed.deliver(flights, DAY, sources=["schedule"])
    for _ in range(2):
        tell(held, smtp)
    assert notify.digest(flights, smtp)
    assert "seen 2 times" in body(mails(folder)[-1])
    feed.deliver(flights, "2013-04-05", sources=["schedule"])
    assert notify.digest(flights, smtp) is None
    tell(held, smtp)
    assert notify.digest(flights, smtp)
    assert "seen 3 times" in body(mails(folder)[-1])


def test_digest_lists_what_no_contract_declares(flights, sink, mails):
    smtp, folder, _ = sink
    rows = source_data.rows("arrivals", date(2013, 4, 3))
    known = rows["tailnum"].to_pylist()
    at = rows.column_names.index("tailnum")
    rows = rows.set_column(at, "tailnum", pa.array(["NULL", "NULL", "", *known[3:]]))
    rows = rows.append_column("gate", pa.repeat("A1", rows.num_rows))
    feed.deliver(flights, DAY, sources=["schedule"])
    deliveries.land(flights, "arrivals", "2013-04-03", encode(rows, "csv.gz"))
    for run in ("first", "again"):
        crossing.stage(flights, "arrivals", [DAY], Run(dag_id="flights_ingest", run_id=run))

    notify.digest(flights, smtp)

    said = body(mails(folder)[-1])
    assert (
        "COLUMNS THAT NO CONTRACT DECLARES * arrivals, gate: delivered but left out. On 2013-04-03." in said
    )
    assert "TEXTS THAT LOOK LIKE A NULL" in said
    assert "* arrivals, tailnum: the text 'NULL', in 2 rows, was kept as it is. On 2013-04-03." in said
    assert "* arrivals, tailnum: an empty text, in 1 rows, was kept as it is. On 2013-04-03." in said
    assert "declare what it means in the `nulls` of the column" in said
