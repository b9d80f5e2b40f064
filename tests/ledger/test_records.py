"""A ledger that an earlier version wrote is read with types, and what is recorded keeps its bytes."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from sqlalchemy import insert

from sluice import ledger
from sluice.core.errors import LedgerEntryInvalidError
from sluice.core.settings import settings
from sluice.ledger import records, store
from sluice.ledger.kinds import KINDS
from sluice.ledger.record import Record
from sluice.ledger.schema import HEAD, LEDGER, writing

# Written by the code before kinds had models: entries of its tests, and of kinds that they lacked or that came later the same fields by hand.
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


def test_record_with_an_unknown_field_or_a_wrong_type_is_not_made_and_the_error_says_which():
    with pytest.raises(LedgerEntryInvalidError) as unknown:
        records.Published(batch_id="b", partition={})
    assert "kind published cannot be recorded: partition: unknown key" in unknown.value.what
    assert "did you mean 'partitions'?" in unknown.value.what
    assert unknown.value.where == "sluice.ledger.records.Published"
    with pytest.raises(LedgerEntryInvalidError, match=r"waiver: must be a whole number.*Next: correct"):
        records.Published(batch_id="b", waiver="Ada")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"batch_id": "b", "rows": "Ada Lovelace"}, "rows: must be a whole number"),
        (
            {"batch_id": "b", "partitions": {"2013-01-01": {"rows": 3}}},
            "partitions.2013-01-01.sha256: Field required",
        ),
        ({}, "batch_id: Field required"),
        (["Ada Lovelace"], "the entry: must be a mapping"),
    ],
)
def test_stored_entry_that_does_not_fit_is_named_with_its_field_and_not_quoted(stored, data, problem):
    seq = _write(stored, json.dumps(data))
    (entry,) = ledger.entries(records.Published, after=len(STORED))
    with pytest.raises(LedgerEntryInvalidError) as caught:
        _ = entry.record
    assert f"Entry {seq} of the ledger, of kind published, cannot be read: {problem}" in caught.value.what
    assert str(settings().home) in caught.value.where
    assert "sluice ledger --verify" in caught.value.todo
    # The whole trace, as a task's log shows it.
    assert "Lovelace" not in "".join(traceback.format_exception(caught.value))


def test_stored_entry_that_is_no_json_is_named(stored):
    seq = _write(stored, '{"batch_id": ')
    with pytest.raises(
        LedgerEntryInvalidError, match=rf"Entry {seq} of the ledger, of kind published, cannot be read"
    ):
        ledger.entries(records.Published)


def _write(stored: list[ledger.Entry], data: str) -> int:
    """Put an entry of kind `published` into the ledger without its model, and return its number."""
    row = {**STORED[-1], "seq": stored[-1].seq + 1, "kind": "published", "data": data, "once": None}
    row["hash"] = store._hash(row)
    with writing() as connection:
        connection.execute(insert(LEDGER), row)
    return row["seq"]


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
    mail = records.Mail.read({"ends_with": text}, "Entry 1")
    assert (mail.ends_with.how, mail.ends_with.names) == (how, names)
    assert mail.ends_with == records.EndsWith.of(how, *names)
    assert mail.stored() == {"ends_with": text}
