"""A person's answer to a challenger of a critical model (`model.criticality`), which the Airflow UI asks for.

The rule kept here: a challenger waits as the last part of its shadow. So what ends a shadow, another champion or a newer
candidate, ends the waiting, and an answer that comes later changes nothing. What an approval rests on is asked again when it is given.
The answer is one entry of the ledger: `promoted` with who approved and why, or `refused` with who rejected and why, with what has changed, or
with that nobody answered. Of an approval and a refusal at once the one that is recorded first counts (`_answer_once`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from sluice import ledger
from sluice.core import clock, dag_ids
from sluice.core.errors import PromotionRefusedError
from sluice.core.links import page_url
from sluice.core.printable import as_code, printable
from sluice.core.runs import Run
from sluice.ledger import Entry, model_records, records
from sluice.ledger.model_records import ANSWER_WITHIN, ApprovalRequested
from sluice.models import challenger, roles, training

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.ledger.store import Filters

# Monitoring gives up a request a day after the DAG that asks should have: nobody was asked, because it is paused or broken.
_GIVEN_UP = ANSWER_WITHIN + timedelta(days=1)


def ask(spec: Pipeline, decision: Entry, run: Run) -> Entry[ApprovalRequested]:
    """Record that a challenger, by a decision that ends its shadow, waits for a person; repeating it changes nothing."""
    version = decision.record.version
    return ledger.append(
        ApprovalRequested(
            version=version,
            decision=decision.seq,
            entered_shadow=decision.record.numbers["entered_shadow"],
            reasons=[
                f"Version {version} passed the gate and its shadow. The model is critical: it becomes champion when a person approves it."
            ],
        ),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=decision.partition,
        run=run.run_id,
        once=f"approval_requested:{spec.pipeline}:{spec.model.name}:{decision.seq}",
    )


def read(spec: Pipeline, entry: int) -> Entry[ApprovalRequested]:
    """The request that is an entry of the ledger."""
    found = ledger.entries(ApprovalRequested, pipeline=spec.pipeline, subject=spec.model.name)
    return next(one for one in found if one.seq == entry)


def request(spec: Pipeline, decision: Entry) -> Entry[ApprovalRequested] | None:
    """The request that followed from a decision; None where nobody was asked."""
    found = ledger.entries(
        ApprovalRequested, pipeline=spec.pipeline, subject=spec.model.name, after=decision.seq
    )
    return next((one for one in found if one.record.decision == decision.seq), None)


def is_shown_by(
    spec: Pipeline, asked: Entry[ApprovalRequested], run: Run, *, is_running: Callable[[str], bool]
) -> bool:
    """Whether a run is the one that asks a person about a request: one at a time does.

    Args:
        is_running: whether another run, by its id, has not ended.
    """
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": asked.seq}
    earlier = [
        one for one in ledger.entries(model_records.ApprovalShown, **about) if one.record.request == asked.seq
    ]
    if earlier and (earlier[0].run == run.run_id or is_running(earlier[0].run or "")):
        return earlier[0].run == run.run_id
    # Of several runs that begin at once the one that is recorded asks.
    shown = ledger.append(
        model_records.ApprovalShown(request=asked.seq),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=asked.partition,
        run=run.run_id,
        once=f"approval_shown:{spec.pipeline}:{spec.model.name}:{asked.seq}:{len(earlier)}",
    )
    return shown.run == run.run_id


def question(spec: Pipeline, asked: Entry[ApprovalRequested]) -> str:
    """What a person is asked, in Markdown; what others wrote or delivered is in it as code, which nothing acts on."""
    decision, trained = _decision(spec, asked), training.trained(spec, asked.record.version)
    started_by = (trained.record.asked_by if trained else "") or "monitoring"
    second = spec.releases.self_approval == "refuse"
    return "\n\n".join(
        [
            f"Shall **version {asked.record.version}** of `{spec.model.name}` score in place of {roles.named(decision.record.champion)}? "
            f"Its training was started by {as_code(started_by)}. It passed the gate, and in shadow:",
            "\n".join(f"- {as_code(reason)}" for reason in decision.record.reasons),
            f"Owner: {as_code(spec.owner)}. Without an answer until {asked.at + ANSWER_WITHIN:%Y-%m-%d %H:%M} UTC it is refused.",
            f"[Evidence]({page_url('model', spec.pipeline)})",
            "Whoever approves answers for it, and has to give a reason: both are recorded."
            + (f" It has to be another person than {as_code(started_by)}." if second else ""),
        ]
    )


def approve(spec: Pipeline, asked: Entry[ApprovalRequested], *, by: str, why: str, run: Run) -> Entry | None:
    """Let a challenger become champion on a person's word, or refuse it, where what it rests on holds no more.

    Repeating it returns what was decided then.

    Returns: the entry of kind `promoted` or `refused`; None where it is not waited for any more.
    Raises:
        PromotionRefusedError: nobody, no reason, or who may not approve it.
    """
    if (done := answer(spec, asked)) or not _waits(spec, asked):
        return done
    version = asked.record.version
    trained = training.trained(spec, version)
    where = f"model {spec.model.name} of {spec.pipeline}, version {version}"
    todo = f"clear approve_promotion of this run of {spec.pipeline}_promote: it asks again"
    if not by.strip() or not why.strip():
        raise PromotionRefusedError(
            "Somebody has to answer for an approval, with a reason.",
            where=where,
            allowed="a person whom Airflow knows, and a sentence in the form's field `why`",
            todo=todo,
        )
    if spec.releases.self_approval == "refuse" and trained and trained.record.asked_by == by:
        raise PromotionRefusedError(
            f"{by} started the training of version {version}, and may not approve it as well.",
            where=where,
            allowed=f"another person (dags/pipelines/{spec.pipeline}.yml: releases.self_approval is refuse)",
            todo=f"{todo}, another person",
        )
    decision = _decision(spec, asked)
    if spec.model.criticality == "experiment":
        return refuse(spec, decision, challenger.EXPERIMENT, run, by=by, why=why, outcome="experiment")
    if problem := training.no_longer_sound(spec, version):
        said = f"{by} approved version {version} ({printable(why.strip())}), but it cannot become champion any more: {problem}"
        return refuse(spec, decision, said, run, by=by, why=why)
    if not _waits(spec, asked):  # what it rests on took a while to ask
        return answer(spec, asked)
    approved = model_records.Approved(version=version, decision=decision.seq, by=by, why=why)
    return _answer_once(spec, decision, approved, run)


def reject(spec: Pipeline, asked: Entry[ApprovalRequested], *, by: str, why: str, run: Run) -> Entry | None:
    """Refuse a challenger because a person rejected it, or nobody answered (`by` is ""); returns as `approve`."""
    if (done := answer(spec, asked)) or not _waits(spec, asked):
        return done
    version = asked.record.version
    said = f"Nobody decided on version {version} within {ANSWER_WITHIN.days} days."
    if by:
        said = f"{by} rejected version {version}{f': {printable(why.strip())}' if why.strip() else ', and gave no reason.'}"
    return refuse(spec, _decision(spec, asked), said, run, by=by, why=why)


def give_up(spec: Pipeline, asked: Entry[ApprovalRequested], run: Run) -> Entry | None:
    """Refuse a challenger that nobody has decided on although the time is over; None while it is not.

    An approval whose run was killed before the promotion is completed.
    """
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": asked.seq}
    for given in ledger.entries(model_records.Approved, **about):
        if given.record.decision == asked.record.decision:
            return _answer_once(spec, _decision(spec, asked), given.record, run)
    if clock.utc_now() - asked.at <= _GIVEN_UP:
        return None
    return reject(spec, asked, by="", why="", run=run)


def answer(spec: Pipeline, asked: Entry[ApprovalRequested]) -> Entry | None:
    """The entry with which a request was answered; None where it was not."""
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": asked.seq}
    promoted = ledger.entries(model_records.Promoted, **about)
    refused = ledger.entries(records.Refused, **about)
    answers: list[Entry] = [
        *(one for one in promoted if one.record.decision == asked.record.decision),
        *(one for one in refused if one.record.numbers.get("approval") == asked.seq),
    ]
    return answers[0] if answers else None


def _waits(spec: Pipeline, asked: Entry[ApprovalRequested]) -> bool:
    now = challenger.waiting(spec)
    return now is not None and now.seq == asked.seq


def _decision(spec: Pipeline, asked: Entry[ApprovalRequested]) -> Entry[model_records.Audited]:
    found = ledger.entries(model_records.Audited, pipeline=spec.pipeline, subject=spec.model.name)
    return next(one for one in found if one.seq == asked.record.decision)


def refuse(
    spec: Pipeline,
    decision: Entry,
    said: str,
    run: Run,
    *,
    by: str = "",
    why: str = "",
    outcome: Literal["refuse", "experiment"] = "refuse",
) -> Entry:
    """Refuse a challenger that has passed its shadow, once, with the reason first; returns the entry."""
    decided, asked = decision.record, request(spec, decision)
    refused = records.Refused(
        version=decided.version,
        champion=decided.champion,
        reasons=[said, *decided.reasons],
        numbers={
            **decided.numbers,
            "outcome": outcome,
            "stage": dag_ids.parts(run.dag_id or "_")[1],
            **({"approval": asked.seq} if asked else {}),
            "by": by,
            "why": why,
        },
        outcome=outcome,
    )
    return _answer_once(spec, decision, refused, run)


def _answer_once(
    spec: Pipeline, decision: Entry, said: model_records.Approved | records.Refused, run: Run
) -> Entry:
    """Record an answer, unless there is one, and do what follows from that which is recorded; returns the entry that does."""
    entry: Entry = ledger.append(
        said,
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=decision.partition,
        run=run.run_id,
        once=f"approval_answered:{spec.pipeline}:{spec.model.name}:{decision.seq}",
    )
    if entry.kind == "approved":
        return roles.promote(spec, decision, run, by=entry.record.by, why=entry.record.why)
    roles.show_decision(spec, entry)
    return entry
