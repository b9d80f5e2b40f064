"""Release: a held batch is published as it is, under a waiver that a person signs."""

from __future__ import annotations

from sluice import crossing, waivers
from sluice.core.errors import ReleaseRefusedError
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.holds.listing import Hold, find, open_holds
from sluice.lake import batches
from sluice.lake.tables import Publication
from sluice.ledger import Entry


def request(spec: Pipeline, table: str, day: str, *, why: str, until: str) -> Hold:
    """The held batch that a release of a day (YYYY-MM-DD) of a table's data would publish; nothing is touched.

    Raises:
        SourceUnknownError, DayInvalidError: the pipeline has no such table, or there is no such day.
        ReleaseRefusedError: no reason, no end, or nothing there that can be released.
    """
    where = f"{spec.pipeline}.{table} {day}"
    hold = find(spec, table, day)
    if hold is None:
        held = ", ".join(dict.fromkeys(one.partition for one in open_holds(spec, table))) or "nothing"
        raise ReleaseRefusedError(
            f"Nothing of {where} is held.",
            where=where,
            allowed=f"a day of the table's data that is held; held now: {held}",
            todo=f"look at `sluice held {spec.pipeline}`",
        )
    require_releasable(spec, hold)
    waivers.check_terms(spec, where, why=why, until=until)
    return hold


def require_releasable(spec: Pipeline, hold: Hold) -> None:
    """Refuse what nobody can release.

    Raises:
        ReleaseRefusedError: says why.
    """
    where = f"{spec.pipeline}.{hold.table} {hold.partition}"
    if not hold.is_releasable:
        raise ReleaseRefusedError(
            f"{where} cannot be released: {_why_not(hold)}",
            where=where,
            allowed="a batch that its gate judged and held",
            todo=f"correct the cause, then `sluice replay {spec.pipeline} {hold.table} {hold.days.first}`",
        )


def grant(
    spec: Pipeline,
    hold: Hold,
    *,
    by: str,
    why: str,
    until: str,
    requested_by: str = "",
    account: str = "",
) -> Entry:
    """Record a waiver for a held batch: from now on its crossing publishes it.

    Args: as of `waivers.grant`.

    Raises:
        ReleaseRefusedError: as `request`, or nobody signs it.
    """
    assert hold.batch_id is not None, "only a judged batch can be requested"
    judged = waivers.judgement(spec, hold.table, hold.days, hold.batch_id)
    assert judged is not None, "it was found in the ledger"
    manifest = batches.load(spec.pipeline, hold.table, hold.batch_id)
    return waivers.grant(
        spec,
        hold.table,
        hold.days,
        content_hash=manifest.content_hash,
        batch_id=manifest.batch_id,
        verdict_id=judged.record.verdict_id,
        rules=hold.rules,
        by=by,
        why=why,
        until=until,
        requested_by=requested_by,
        account=account,
    )


def release(spec: Pipeline, table: str, day: str, *, by: str, why: str, until: str, run: Run) -> Publication:
    """Grant a waiver for what is held of a day and publish it, in this process, whose user is recorded.

    Raises: as `request`, `grant` and `sluice.crossing.publish`.
    """
    hold = request(spec, table, day, why=why, until=until)
    waiver = grant(spec, hold, by=by, why=why, until=until, account=waivers.account())
    return crossing.publish(spec, table, waiver.record.batch_id, run)


def _why_not(hold: Hold) -> str:
    if hold.kind == "refused":
        return f"its delivery could not be read, so there are no rows to publish ({hold.reason})"
    if hold.kind == "quarantined":
        return "the rest of it is published, and rows that were set aside come back by a replay"
    return f"its verdict is {hold.outcome}: the gate broke and has not judged the rows"
