"""Which version of a model has which role: decided in the ledger, shown by MLflow's aliases.

The rule kept here: a role moves by an entry of the ledger, and the aliases follow it. Each entry follows from the one before:
of two that follow from the same one only the first is written, so that a decision acts once, and only on the champion that
it was about. Whoever is killed between entry and alias has decided; a repetition, or the next move, brings the aliases to
what the ledger says. An alias that somebody moved in MLflow itself counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import PromotionRefusedError
from sluice.core.runs import Run
from sluice.ledger import Entry, champion, model_records
from sluice.models import challenger
from sluice.models.config import load_version, registry
from sluice_ml.errors import MlError

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# What a roll-back may name instead of a version: the declared rule scores, and no model.
BASELINE = "baseline"


@dataclass(frozen=True)
class Roles:
    """The versions that have a role now; None where none has it."""

    champion: int | None
    previous: int | None
    # The candidate in shadow or, without one, the newest, until it has been champion.
    challenger: int | None
    # Number of the entry that decided on the champion; 0 before the first.
    since: int


def current(spec: Pipeline, then: datetime | None = None) -> Roles:
    """The roles that the ledger has decided on.

    Args:
        then: as they were at this instant of the pipeline's clock, instead of now; what was decided at that very instant
            came after.
    """
    moves = champion.decided_before(spec, then) if then else _moves(spec)
    candidates = ledger.entries(model_records.Trained, pipeline=spec.pipeline, subject=spec.model.name)
    trained = {entry.record.version for entry in candidates}
    newest = max(trained, default=None)
    version, previous = (moves[0].record.version, previous_of(moves[0])) if moves else (None, None)
    beside = challenger.current(spec)
    waiting = None if newest in {entry.record.version for entry in moves} else newest
    return Roles(
        champion=version,
        previous=previous,
        challenger=beside.record.version if beside else waiting,
        since=moves[0].seq if moves else 0,
    )


def promote(spec: Pipeline, decision: Entry, run: Run, *, by: str = "", why: str = "") -> Entry:
    """Make the version that a decision is about champion, and the champion previous; returns the entry that did.

    Repeating it while its version is champion changes nothing.

    Args:
        decision: entry of kind `audited`; its `champion` is what the version was compared with.
        by: who approved, and `why`, where a person had to.

    Raises:
        PromotionRefusedError: the decision has acted already, or there is another champion than it was compared with.
    """
    now, version = current(spec), decision.record.version
    if now.champion == version:
        set_aliases(spec)
        return _moves(spec)[0]
    acted = next((entry for entry in _moves(spec) if _follows_from(entry, decision)), None)
    if acted is not None:
        raise _refused(
            spec,
            f"The decision of entry {decision.seq} about version {version} acted in entry {acted.seq} already",
            now,
        )
    if decision.record.champion != now.champion:
        compared = named(decision.record.champion)
        raise _refused(spec, f"Version {version} was compared with {compared}", now)
    entry = ledger.append(
        model_records.Promoted(
            **decision.record.stored(),
            decision=decision.seq,
            previous=now.champion,
            **({"by": by, "why": why} if by else {}),
            **champion.decided_now(spec),
        ),
        **_following(spec, now, run),
        partition=decision.partition,
    )
    set_aliases(spec)
    if entry.record.decision != decision.seq:
        raise _refused(spec, f"Version {version} was compared with {named(now.champion)}", current(spec))
    return entry


def roll_back(
    spec: Pipeline,
    to: str,
    *,
    by: str,
    why: str,
    run: Run,
    account: str = "",
    approved_by: str = "",
    since: int | None = None,
    held: str = "",
) -> Entry:
    """Let a version that was champion before score again, or no model at all, as a person or the gate decides; returns the entry.

    Repeating it by the same run while its version is champion changes nothing.

    Args:
        to: the version, or "baseline".
        account: of a command, user of the operating system and host.
        approved_by: who approved it, which a critical model demands, and `since`, the entry that decided on the champion that he
            was asked about.
        held: of a roll-back by the gate, the batch of predictions that it rests on.

    Raises:
        PromotionRefusedError: nobody, no reason, nobody who had to approve it, a version that never was champion or is champion
            now, another champion than a person was asked about, or a run that has rolled back already.
        ModelDamagedError: the version cannot score.
    """
    now = current(spec)
    acted = next(
        (entry for entry in _moves(spec) if entry.kind == "rolled_back" and entry.run == run.run_id), None
    )
    if acted is not None and acted.seq != now.since:
        raise _refused(spec, f"This run rolled back in entry {acted.seq} already", now)
    if acted is not None and to == (BASELINE if now.champion is None else str(now.champion)):
        set_aliases(spec)
        return acted
    if since not in (None, now.since):
        raise _refused(spec, "The roll-back was asked for, and approved, about another champion", now)
    version = require_possible(spec, to, by=by, why=why)
    by, why = by.strip(), why.strip()
    if not held:
        _require_approved(spec, by=by, approved_by=approved_by)
    who = f"{by} (typed by {account})" if account else by
    who += f" (approved by {approved_by})" if approved_by else ""
    said = [f"{named(now.champion).capitalize()} gives way to {named(version)}, says {who}: {why}"]
    if beside := challenger.current(spec):
        said.append(f"Version {beside.record.version}, in shadow until now, is not decided on any more.")
    entry = ledger.append(
        model_records.RolledBack(
            version=version,
            previous=now.champion,
            by=by,
            account=account,
            why=why,
            approved_by=approved_by,
            held=held,
            reasons=said,
            **champion.decided_now(spec),
        ),
        **_following(spec, now, run),
    )
    set_aliases(spec)
    if entry.run != run.run_id or entry.kind != "rolled_back":
        raise _refused(spec, f"The roll-back was about {named(now.champion)}", current(spec))
    return entry


def require_possible(spec: Pipeline, to: str, *, by: str, why: str) -> int | None:
    """Return the version that a roll-back names, None for "baseline", where a person may ask for it; raises as `roll_back`."""
    now, earlier = current(spec), {entry.record.version for entry in _moves(spec)} - {None}
    where = f"model {spec.model.name} of {spec.pipeline}"
    others = [str(one) for one in sorted(earlier - {now.champion})] + [BASELINE] * (now.champion is not None)
    allowed = ", ".join(others) or "none: no version has been champion"
    # As versions are written: "01" or digits of another script name none.
    version = None if to == BASELINE else {str(one): one for one in earlier}.get(to, -1)
    if not by.strip() or not why.strip():
        raise PromotionRefusedError(
            "Somebody has to answer for a roll-back, with a reason.",
            where=where,
            allowed="a name and a sentence",
            todo="say who rolls back (--by) and why (--why)",
        )
    if version is not None and version not in earlier:
        raise PromotionRefusedError(
            f"{to!r} has never been champion.",
            where=where,
            allowed=allowed,
            todo=f"choose one of these; `sluice model show {spec.pipeline}` tells what each is",
        )
    if version == now.champion:
        set_aliases(spec)
        raise PromotionRefusedError(
            f"{named(version).capitalize()} scores already.",
            where=where,
            allowed=allowed,
            todo="nothing, or choose one of those that are allowed",
        )
    if version is not None:
        load_version(spec.model.name, version)
    return version


def _require_approved(spec: Pipeline, *, by: str, approved_by: str) -> None:
    """Refuse a person's roll-back of a critical model that no person, or where two are declared no other, has approved."""
    if not spec.is_critical:
        return
    if not approved_by.strip():
        what = f"Model {spec.model.name} is critical, and nobody has approved this roll-back."
    elif spec.releases.self_approval == "refuse" and approved_by == by:
        what = f"{by} asked for this roll-back, and may not approve it as well (releases.self_approval is refuse)."
    else:
        return
    raise PromotionRefusedError(
        what,
        where=f"model {spec.model.name} of {spec.pipeline}",
        allowed=f"a roll-back that a person approves (dags/pipelines/{spec.pipeline}.yml: model.criticality is critical)",
        todo=f"trigger {spec.pipeline}_rollback in the Airflow UI, or clear its task approve_rollback: it asks",
    )


def before(spec: Pipeline) -> str:
    """Who scored before the champion: its version, or "baseline"."""
    previous = current(spec).previous
    return BASELINE if previous is None else str(previous)


def way_back(spec: Pipeline, version: str) -> str:
    """How a person rolls back to a version: the command, or of a critical model the DAG that asks for an approval."""
    if spec.is_critical:
        return f"{spec.pipeline}_rollback in the Airflow UI, to {version}, which a person has to approve"
    return f"sluice model rollback {spec.pipeline} --to {version} --by NAME --why REASON"


def set_aliases(spec: Pipeline) -> Roles:
    """Set MLflow's aliases to what the ledger says; return it."""
    models = registry()
    while True:
        now = current(spec)
        models.set_roles(spec.model.name, _as_aliases(now))
        # Somebody may have decided while this process was slow: what it has just shown would then be the past.
        if current(spec) == now:
            return now


def show_decision(spec: Pipeline, decided: Entry) -> None:
    """Say in MLflow what was decided about a version, if that is still there, and set the aliases."""
    name, version = spec.model.name, decided.record.version
    if version in {one.version for one in registry().versions(name)}:
        said = {"decision": decided.kind, "decision_reasons": " ".join(decided.record.reasons)}
        registry().tag(name, version, said)
    set_aliases(spec)


@dataclass(frozen=True)
class Version:
    """A registered version."""

    version: int
    # champion, previous, challenger or "".
    role: str
    as_of: str
    # promoted; passed, where it has not become champion; refused; not decided.
    decision: str
    # What is wrong with its files; "" where they are whole.
    problem: str
    rows_left_out: str


@dataclass(frozen=True)
class Versions:
    """Who scores, and every version."""

    model: str
    roles: Roles
    # How the challenger stands, in sentences.
    in_shadow: tuple[str, ...]
    # Newest first.
    versions: tuple[Version, ...]
    # What MLflow's aliases name although it was not decided.
    other_aliases: dict[str, int | None]


def read(spec: Pipeline) -> Versions:
    """Read every version, and look whether its files are whole."""
    now, models, name = current(spec), registry(), spec.model.name
    held = {version: role for role, version in _as_aliases(now).items() if version is not None}
    beside = challenger.current(spec)
    promoted = {move.record.version for move in _moves(spec) if move.kind == "promoted"}
    found = []
    for known in models.versions(name):
        problem = ""
        try:
            load_version(spec.model.name, known.version)
            # It scores without its held-out rows, but cannot be judged again.
            models.candidate(name, known.version)
        except MlError as error:
            problem = error.what
        tags = known.tags
        day, decided = tags.get("as_of", "?"), tags.get("decision", "not decided")
        if decided == "audited":
            decided = "promoted" if known.version in promoted else "passed"
        left_out = tags.get("rows_left_out", "")
        found.append(Version(known.version, held.get(known.version, ""), day, decided, problem, left_out))
    shown = models.roles(name)
    return Versions(
        model=name,
        roles=now,
        in_shadow=challenger.standing(spec, beside) if beside else (),
        versions=tuple(found),
        other_aliases={
            alias: shown.get(alias)
            for alias, version in _as_aliases(now).items()
            if shown.get(alias) != version
        },
    )


def lines(found: Versions) -> Iterator[str]:
    """The same for a terminal: every version in a line, then what is shown elsewhere although it was not decided."""
    now = found.roles
    since = f", by entry {now.since} of the ledger" if now.since else ""
    yield f"{found.model}: {named(now.champion)} scores{since}"
    yield from (f"  {sentence}" for sentence in found.in_shadow)
    for one in found.versions:
        state = one.problem or "files are whole"
        yield f"  {one.version:4d}  {one.role:10s}  as of {one.as_of}  {one.decision:11s}  {state}"
        if one.rows_left_out:
            yield f"        rows left out of its training, with a number that a model cannot hold: {one.rows_left_out}"
    for alias, shown in found.other_aliases.items():
        decided = _as_aliases(now)[alias]
        yield f"  MLflow's alias {alias} names {shown or 'nothing'}; decided is {decided or 'nothing'}"


def _as_aliases(now: Roles) -> dict[str, int | None]:
    return {"champion": now.champion, "previous": now.previous, "challenger": now.challenger}


def _following(spec: Pipeline, now: Roles, run: Run) -> dict[str, Any]:
    """What an entry says that follows from `now`: of several only the first is written, and the others are given that one."""
    return {
        "pipeline": spec.pipeline,
        "subject": spec.model.name,
        "run": run.run_id,
        "once": f"champion:{spec.pipeline}:{spec.model.name}:{now.since}",
    }


def _moves(spec: Pipeline) -> list[Entry]:
    """Entries that decided on a champion, newest first."""
    return champion.decisions(spec.pipeline, spec.model.name)


def previous_of(move: Entry) -> int | None:
    """Entries of earlier versions name only what the champion was compared with."""
    return move.record.previous if "previous" in move.record.model_fields_set else move.record.champion


def _follows_from(move: Entry, decision: Entry) -> bool:
    """Entries of earlier versions are the decision's data, word for word."""
    if isinstance(move.record, model_records.Promoted) and move.record.decision is not None:
        return move.record.decision == decision.seq
    return (
        move.kind == "promoted"
        and move.seq > decision.seq
        and move.record.stored() == decision.record.stored()
    )


def named(version: int | None) -> str:
    return "the baseline" if version is None else f"version {version}"


def _refused(spec: Pipeline, what: str, now: Roles) -> PromotionRefusedError:
    since = f", since entry {now.since} of the ledger" if now.since else ""
    return PromotionRefusedError(
        f"{what}; now {named(now.champion)} is champion{since}.",
        where=f"model {spec.model.name} of {spec.pipeline}",
        allowed="a decision about the champion that there is, once",
        todo=f"nothing, if that is right; else run audit_candidate again in the run of {spec.pipeline}_train that made it, or "
        f"roll back: {way_back(spec, 'VERSION')}",
    )
