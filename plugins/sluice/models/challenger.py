"""Which candidate scores in shadow, read from the ledger alone.

The rule kept here: a challenger is one beside the champion that it was compared with. Whatever moves the champion ends its
shadow by that very entry, and so does a refusal of the challenger; a newer candidate that passes the gate takes its place. Nothing has
to be cleared, and nothing can be left over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice import ledger
from sluice.core.errors import PromotionRefusedError
from sluice.core.runs import Run
from sluice.ledger import Entry, champion, model_records, records
from sluice.ledger.model_records import ApprovalRequested, EnteredShadow
from sluice.ledger.store import Filters

# Why a candidate that passed everything becomes no champion.
EXPERIMENT = "It passed, and does not become champion: `model.criticality` is experiment."

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice_ml.promotion import Must


def current(spec: Pipeline) -> Entry[EnteredShadow] | None:
    """The entry with which the candidate entered shadow that is there now; None also where `model.shadow_days` is 0."""
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name}
    newest = ledger.entries(EnteredShadow, **about) if spec.model.shadow_days else []
    if not newest or newest[0].record.since != _champion(spec)[1]:
        return None
    refused = (one for one in ledger.entries(records.Refused, **about) if one.seq > newest[0].seq)
    if any(one.record.version == newest[0].record.version for one in refused):
        return None
    return newest[0]


def begin(spec: Pipeline, decision: Entry, run: Run) -> Entry[EnteredShadow]:
    """Let the version that a decision is about score in shadow; repeating it while it does changes nothing.

    Raises:
        PromotionRefusedError: there is another champion than it was compared with, or its shadow by this decision is over.
    """
    beside, version = current(spec), decision.record.version
    now, since = _champion(spec)
    if decision.record.champion == now and (beside is None or beside.record.version != version):
        who = "the baseline" if now is None else f"version {now}"
        replaced = beside.record.version if beside else None
        said = f"Version {version} scores in shadow beside {who}, until {spec.model.shadow_days} days that count have outcomes."
        ended = f"Version {replaced}, in shadow until now, is not decided on any more."
        ledger.append(
            EnteredShadow(
                version=version,
                champion=now,
                since=since,
                decision=decision.seq,
                days=spec.model.shadow_days,
                reasons=[said, *([ended] if replaced else [])],
            ),
            pipeline=spec.pipeline,
            subject=spec.model.name,
            partition=decision.partition,
            run=run.run_id,
            once=f"entered_shadow:{spec.pipeline}:{spec.model.name}:{decision.seq}",
        )
        beside = current(spec)
    if beside is None or beside.record.version != version:
        raise PromotionRefusedError(
            f"Version {version} cannot enter shadow by the decision of entry {decision.seq}: its shadow by that is over, or another "
            "is champion now than it was compared with.",
            where=f"model {spec.model.name} of {spec.pipeline}",
            allowed="a decision about the champion that there is, once",
            todo="nothing, if that is right; else run audit_candidate of this run again",
        )
    return beside


def waiting(spec: Pipeline) -> Entry[ApprovalRequested] | None:
    """The request to a person to decide on the challenger; None where there is none (see `sluice.models.approval`)."""
    if (beside := current(spec)) is None:
        return None
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": beside.seq}
    found = ledger.entries(ApprovalRequested, **about)
    return next((one for one in found if one.record.entered_shadow == beside.seq), None)


def must(spec: Pipeline, beside: Entry[EnteredShadow]) -> Must:
    """What the gate found the challenger to be: another recipe must beat the champion, a refresh must keep up with it."""
    decided = ledger.entries(model_records.Audited, pipeline=spec.pipeline, subject=spec.model.name)
    numbers = next(one.record.numbers for one in decided if one.seq == beside.record.decision)
    return "beat" if numbers.get("is_recipe_change", True) else "keep_up"


def standing(spec: Pipeline, beside: Entry[EnteredShadow]) -> tuple[str, ...]:
    """How the challenger stands by the last run of monitoring, or since when it waits for a person, in sentences."""
    if asked := waiting(spec):
        said = f"Version {beside.record.version} waits for a person since {asked.at:%Y-%m-%d %H:%M} UTC ({spec.pipeline}_promote)."
        changed = f"The model is not critical any more: the next run of {spec.pipeline}_monitor decides without a person."
        return (said, *asked.record.reasons) if spec.is_critical else (said, changed)
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "after": beside.seq}
    found = ledger.entries(model_records.ShadowStanding, **about)
    mine = [one.record.reasons for one in found if one.record.entered_shadow == beside.seq]
    return mine[0] if mine else beside.record.reasons


def _champion(spec: Pipeline) -> tuple[int | None, int]:
    """The champion (None: the baseline), and the entry that decided on it; 0 before the first."""
    moves = champion.decisions(spec.pipeline, spec.model.name)
    return (moves[0].record.version, moves[0].seq) if moves else (None, 0)
