"""What a person has given up, and until when."""

from __future__ import annotations

import pytest

from sluice import ledger
from sluice.ledger import records, skips

DAY, NEXT = "2013-04-01", "2013-04-02"


def say(record, subject="features", partition=DAY):
    return ledger.append(record, pipeline="flights", subject=subject, partition=partition)


@pytest.mark.parametrize("origin", [None, "schedule"])
def test_day_is_given_up_until_it_is_published_or_what_its_rows_come_from_is(home, origin):
    published = records.Published(batch_id="b")
    say(published)
    say(records.Skipped(by="Ada", rows_from=origin))
    say(published, "features", NEXT)
    say(published, "schedule", NEXT)
    assert [*skips.given_up("flights")] == [("features", DAY)]
    say(published, origin or "features")
    assert skips.given_up("flights") == {}
    again = say(records.Skipped(by="Ada"))
    assert skips.given_up("flights") == {("features", DAY): again}
