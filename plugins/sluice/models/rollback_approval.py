"""A person's answer to a roll-back of a critical model (`model.criticality`), which the Airflow UI asks for.

The rule kept here: what is approved is what was shown. It says which champion gives way to whom, why, and which days are scored again;
where another is champion when the answer comes, nothing moves (`roles.roll_back`, `since`). Whoever rejects it is an entry of the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.core.links import page_url
from sluice.core.printable import as_code, printable
from sluice.core.runs import Run
from sluice.ledger import Entry
from sluice.ledger.model_records import ROLLBACK_ANSWER_WITHIN, RollbackRejected
from sluice.models import roles, rolled_back

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

_HOURS = ROLLBACK_ANSWER_WITHIN // timedelta(hours=1)


@dataclass(frozen=True)
class Asked:
    """A roll-back that a person is asked to approve."""

    # The version that shall score again, and the champion; None: the baseline.
    version: int | None
    champion: int | None
    # The entry that decided on the champion.
    since: int
    by: str
    why: str
    # Days whose published predictions the champion has made, oldest first, and those, also held ones, that are made again.
    made: Sequence[str]
    again: Sequence[str]


def ask(spec: Pipeline, to: str, *, by: str, why: str, held: Sequence[str]) -> Asked:
    """What a person is asked; nothing is recorded.

    Args:
        to: the version that shall score again, or "baseline".
        by: who asks.
        held: days whose predictions are held.

    Raises:
        PromotionRefusedError, ModelDamagedError: it is not possible, as `roles.roll_back` says.
    """
    version, now = roles.require_possible(spec, to, by=by, why=why), roles.current(spec)
    again = {
        *rolled_back.would_be_made_again(spec, version),
        *(day for day in held if rolled_back.is_in_time(spec, day)),
    }
    return Asked(
        version=version,
        champion=now.champion,
        since=now.since,
        by=by.strip(),
        why=why.strip(),
        made=rolled_back.made_in_reign(spec, now.since),
        again=sorted(again),
    )


def question(spec: Pipeline, asked: Asked) -> str:
    """The same in Markdown; what others wrote is in it as code, which nothing acts on."""
    champion, second = roles.named(asked.champion), spec.releases.self_approval == "refuse"
    return "\n\n".join(
        [
            f"{as_code(asked.by)} asks that **{roles.named(asked.version)}** of `{spec.model.name}` scores again, in place of "
            f"**{champion}**: {as_code(asked.why)}",
            _days(asked),
            f"Owner: {as_code(spec.owner)}. Without an answer within {_HOURS} hours {champion} goes on.",
            f"[Evidence]({page_url('model', spec.pipeline)})",
            "Whoever approves answers for it: the name is recorded. A reason can be given, and is recorded of a rejection."
            + (f" It has to be another person than {as_code(asked.by)}." if second else ""),
        ]
    )


def reject(spec: Pipeline, asked: Asked, *, by: str, why: str, run: Run) -> Entry[RollbackRejected]:
    """Record that a person rejected it, or that nobody answered (`by` is ""); repeating it by the same run changes nothing."""
    to, why = roles.named(asked.version), why.strip()
    said = f"Nobody decided within {_HOURS} hours on the roll-back to {to} that {asked.by} asked for."
    if by:
        given = f": {printable(why)}" if why else ", and gave no reason."
        said = f"{by} rejected the roll-back to {to} that {asked.by} asked for{given}"
    return ledger.append(
        RollbackRejected(
            version=asked.version,
            champion=asked.champion,
            by=by,
            why=why,
            requested_by=asked.by,
            requested_why=asked.why,
            reasons=[said],
        ),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        run=run.run_id,
        once=f"rollback_rejected:{spec.pipeline}:{spec.model.name}:{run.run_id}",
    )


def _days(asked: Asked) -> str:
    champion = roles.named(asked.champion)
    if not asked.made and not asked.again:
        return f"Nothing that is published was made by {champion}, and no day is scored again."
    days = f"{asked.made[0]} to {asked.made[-1]}" if asked.made[1:] else "".join(asked.made)
    made = f"Published predictions of {days or 'no day'} were made by {champion}. "
    again = ", ".join(asked.again)
    return made + (
        f"Scored again, because there is time: **{again}**."
        if again
        else "No day is scored again: their time is over."
    )
