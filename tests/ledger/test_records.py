"""A ledger that an earlier version wrote is read with types, and what is recorded keeps its bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import insert

from sluice import ledger
from sluice.ledger import records
from sluice.ledger.kinds import KINDS
from sluice.ledger.record import Record
from sluice.ledger.schema import HEAD, LEDGER, writing

# Written by the code before kinds had models: entries of its tests, and of kinds that they lacked the same fields by hand.
STORED = [json.loads(line) for line in Path(__file__).with_name("stored.jsonl").read_text().splitlines()]


@pytest.fixture
def stored(home) -> list[ledger.Entry]:
    """The stored ledger in this home, oldest entry first."""
    with writing() as connection:
        connection.execute(insert(LEDGER), STORED)
        connection.execute(insert(HEAD).values(id=1, seq=STORED[-1]["seq"], hash=STORED[-1]["hash"]))
    return ledger.entries()[::-1]


def test_stored_ledger_verifies_and_has_every_kind(stored):
    assert ledger.verify() == len(STORED)
    assert {entry.kind for entry in stored} == set(KINDS)


def test_entry_reads_as_the_model_of_its_kind_and_appends_to_the_same_bytes(stored):
    for entry, row in zip(stored, STORED, strict=True):
        assert type(entry.record) is KINDS[entry.kind]
        again = ledger.append(entry.record, pipeline=entry.pipeline, subject=entry.subject)
        with writing() as connection:
            text = connection.execute(LEDGER.select().where(LEDGER.c.seq == again.seq)).one().data
        assert text == row["data"], entry.kind
    assert ledger.verify() == 2 * len(STORED)


def test_record_with_an_unknown_field_or_a_wrong_type_is_not_made():
    with pytest.raises(ValidationError, match="rows_held"):
        records.Published(batch_id="b", rows_held=3)
    with pytest.raises(ValidationError, match="waiver"):
        records.Published(batch_id="b", waiver="Ada")


def test_entry_of_another_version_is_read_by_what_this_one_knows(home):
    class Later(Record, kind="published"):
        colour: str

    written = ledger.append(Later(batch_id="b", colour="red"), pipeline="flights", subject="arrivals")
    (entry,) = ledger.entries(records.Published)
    assert (entry.record.batch_id, entry.record.partitions) == ("b", {})
    assert entry.data == written.data == {"batch_id": "b", "colour": "red"}


@pytest.mark.parametrize(
    ("text", "how", "names"),
    [
        ("run features,outcomes", "run", ("features", "outcomes")),
        ("succeeded check_the_landing_zone", "succeeded", ("check_the_landing_zone",)),
        ("completed", "completed", ()),
        ("", "", ()),
    ],
)
def test_what_ends_a_fault_is_kept_as_the_text_that_earlier_versions_wrote(text, how, names):
    mail = records.Mail.read({"ends_with": text})
    assert (mail.ends_with.how, mail.ends_with.names) == (how, names)
    assert mail.ends_with == records.EndsWith.of(how, *names)
    assert mail.stored() == {"ends_with": text}
