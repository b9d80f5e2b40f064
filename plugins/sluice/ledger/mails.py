"""What the ledger's entries of kind `mail` are about."""

from __future__ import annotations

from sluice.declare.spec import Pipeline
from sluice.ledger.records import Mail
from sluice.ledger.store import Entry


def table_of(spec: Pipeline, mail: Entry[Mail]) -> str:
    """The table that an entry of kind `mail` is about; "" where it is about none.

    Earlier versions recorded only the subject: the table, or the task that is named after it.
    """
    task_of = mail.subject.partition("_")[2]
    return mail.record.table or next((name for name in (mail.subject, task_of) if name in spec.tables), "")
