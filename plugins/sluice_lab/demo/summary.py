"""What happened on the days of the demo, read from the ledger and the published tables, and whether it is as told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table

from sluice import ledger
from sluice.core.settings import settings
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake import tables
from sluice.ledger import Entry, records

# What the ledger calls a mail that left.
_MAILED = ("sent", "resolved", "digest")


def is_complete(spec: Pipeline, day: str) -> bool:
    """Whether the run day went through to its monitoring decision."""
    return bool(_entries(spec, "decided", spec.model.name, day))


def sentence(spec: Pipeline, day: str) -> str:
    """One run day in a sentence."""
    facts = _facts(spec, day)
    yesterday = spec.data_day(spec.model.outcomes_table, day)
    auc = _auc(spec, yesterday)
    outcome = f"; AUC of {yesterday} turned out {auc}" if auc else ""
    aside = f", {facts['aside']} set aside by a rule" if facts["aside"] else ""
    return (
        f"{facts['published']} rows published{aside}, {facts['predictions']} flights predicted by model version "
        f"{facts['version']}{outcome}; monitoring: {facts['decision']}"
    )


def table(spec: Pipeline, days: Iterable[str]) -> Table:
    """The table that ends the demo: one row a run day."""
    shown = Table(title=f"\n{spec.title}", caption=spec.model.question)
    for name, justify in (
        ("day", "left"),
        ("received", "right"),
        ("published", "right"),
        ("held", "right"),
        ("repaired", "right"),
        ("verdicts", "left"),
        ("predicted", "right"),
        ("model", "right"),
        ("realised AUC", "right"),
        ("monitoring", "left"),
        ("mails", "right"),
    ):
        shown.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for day in days:
        facts = _facts(spec, day)
        shown.add_row(
            day,
            str(facts["received"]),
            str(facts["published"]),
            str(facts["held"]),
            str(facts["repaired"]),
            facts["verdicts"],
            str(facts["predictions"]),
            facts["version"],
            _auc(spec, day) or "not yet",
            facts["decision"],
            str(len(facts["mails"])),
        )
    return shown


def a_key(spec: Pipeline, day: str) -> str:
    """The key of a prediction of a day."""
    return str(tables.scan(spec.pipeline, PREDICTIONS, day, day)[spec.model.key][0].as_py())


def replayed(spec: Pipeline, table: str, partition: str) -> list[Entry]:
    """The replays of a partition, newest first."""
    return _entries(spec, "replayed", table, partition)


def checks(
    spec: Pipeline, days: Sequence[str], *, source: str, held: str, quarantined: str
) -> list[tuple[str, bool]]:
    """What the demo claims, each with whether it is true.

    Args:
        held: partition of `source` whose first delivery is held.
        quarantined: partition of `source` in whose first delivery six rows are wrong.
    """
    everything = [_facts(spec, day) for day in days]
    holds = [entry for facts in everything for entry in facts["holds"]]
    mails = [entry.record.status for entry in reversed(ledger.entries(records.Mail, pipeline=spec.pipeline))]
    aside = [e.record.quarantined for e in reversed(_entries(spec, "published", source, quarantined))]
    kept = list(settings().mail.glob("*.eml"))
    return [
        (
            f"exactly one batch was held: {source} of {held}",
            [(entry.subject, entry.partition) for entry in holds] == [(source, held)],
        ),
        (
            f"{source} of {held} and {quarantined}: readers see the corrected files",
            all(_shows_newest(spec, source, day) for day in (held, quarantined)),
        ),
        (
            f"six rows of {source} of {quarantined} were set aside while the others were published; "
            "the replay repaired all six",
            [sum(counts.values()) for counts in aside] == [6, 0]
            and [entry.record.repaired for entry in replayed(spec, source, quarantined)] == [6],
        ),
        (
            "three mails were sent: the hold, that it is over, and one digest",
            mails == ["sent", "resolved", "digest"] and len(kept) == 3,
        ),
        (
            "every row received was published, set aside, or dropped as a duplicate",
            all(
                facts["received"] == facts["published"] + facts["aside"] + facts["dropped"]
                for facts in everything
            ),
        ),
        (
            f"all {len(days)} days have published predictions of a trained model",
            all(facts["predictions"] > 0 and facts["version"].isdigit() for facts in everything),
        ),
        (
            "outcomes are in for every day but the last, whose report says that they are not",
            all(_auc(spec, day) for day in days[:-1]) and _auc(spec, days[-1]) is None,
        ),
        (f"the ledger's chain of {ledger.verify()} entries is intact", True),
    ]


def _shows_newest(spec: Pipeline, table: str, partition: str) -> bool:
    """Whether readers see the batch that was published last."""
    newest = _entries(spec, "published", table, partition)[:1]
    visible = tables.published(spec.pipeline, table, partition, partition)
    return [p.batch_id for p in visible.values()] == [entry.record.batch_id for entry in newest]


def _facts(spec: Pipeline, day: str) -> dict[str, Any]:
    partitions = {name: spec.data_day(name, day) for name in spec.tables}
    received = published = aside = dropped = 0
    for source in spec.sources:
        for entry in _entries(spec, "published", source, partitions[source])[:1]:
            received += entry.record.received
            published += entry.record.rows
            aside += sum(entry.record.quarantined.values())
            dropped += sum(entry.record.dropped.values())
    holds = [e for name in spec.tables for e in _entries(spec, "held", name, partitions[name])]
    verdicts = [e for name in spec.tables for e in _entries(spec, "verdict", name, partitions[name])]
    outcomes = [entry.record.outcome for entry in (*verdicts, *holds)]
    mails = [
        entry
        for entry in ledger.entries(records.Mail, pipeline=spec.pipeline)
        if entry.record.status in _MAILED and entry.partition == partitions.get(entry.subject, day)
    ]
    predictions = tables.scan(spec.pipeline, PREDICTIONS, day, day, columns=["model_version"])
    decided = _entries(spec, "decided", spec.model.name, day)
    return {
        "received": received,
        "published": published,
        "aside": aside,
        "repaired": sum(
            e.record.repaired for name in spec.sources for e in replayed(spec, name, partitions[name])
        ),
        "dropped": dropped,
        "held": sum(entry.record.rows for entry in holds),
        "holds": holds,
        "mails": mails,
        "verdicts": ", ".join(
            f"{outcomes.count(o)} {o}" for o in ("PASS", "WARN", "HOLD", "ERROR") if o in outcomes
        ),
        "predictions": predictions.num_rows,
        "version": ", ".join(sorted(set(predictions["model_version"].to_pylist()))) or "none",
        "decision": decided[0].record.action if decided else "not yet",
    }


def _auc(spec: Pipeline, day: str) -> str | None:
    """The realised AUC of the predictions of a day, where outcomes have landed."""
    for entry in _entries(spec, "monitored", spec.model.name, day):
        if entry.record.auc is not None:
            return f"{entry.record.auc:.3f}"
    return None


def _entries(spec: Pipeline, kind: str, subject: str, partition: str) -> list[Entry]:
    return ledger.entries(kind=kind, pipeline=spec.pipeline, subject=subject, partition=partition)
