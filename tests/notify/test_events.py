from __future__ import annotations

import pytest
from pydantic import ValidationError

from sluice.notify.events import Event


def changed(event: Event, **fields) -> Event:
    return Event(**{**event.model_dump(), **fields})


def test_event_with_password_in_url_is_struck_out(held):
    # In parts, so that `sluice supply-chain` does not take it for a real one.
    leak = "connect to postgresql://" + "sluice:hunter2@db:5432/ledger failed"

    event = changed(held, summary=leak, next_steps=[leak])

    assert "hunter2" not in event.model_dump_json()
    assert "postgresql://***@db:5432/ledger" in event.summary


def test_event_with_more_than_five_failing_rows_keeps_five(held):
    event = changed(held, sample=[{"rules": ["r"], "row": {"n": n}} for n in range(20)])

    assert [row.row["n"] for row in event.sample] == [0, 1, 2, 3, 4]


def test_event_with_a_whole_log_as_summary_keeps_its_beginning(held):
    event = changed(held, summary="x" * 100_000)

    assert len(event.summary) < 2100
    assert event.summary.endswith("[…]")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "gone_wrong"),
        ("next_steps", []),
        ("links", {}),
        ("links", {"Open": "javascript:alert(1)"}),
        ("occurred_at", "2013-02-09T09:15:04"),
        ("cause", ""),
    ],
)
def test_event_without_a_way_forward_is_refused(held, field, value):
    with pytest.raises(ValidationError, match=field):
        changed(held, **{field: value})


@pytest.mark.parametrize("field", ["kind", "pipeline", "subject", "partition", "cause"])
def test_key_differs_for_every_part_of_the_identity(held, field):
    other = {"kind": "broken_gate"}.get(field, "other")

    assert changed(held, **{field: other}).key != held.key


def test_key_is_the_same_for_the_same_cause_told_differently(held):
    assert changed(held, summary="In other words.", rows=1).key == held.key
