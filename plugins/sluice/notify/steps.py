"""What the reader of a mail does next: sentences, commands to type, and pages of the Airflow UI to open."""

from __future__ import annotations

from sluice.core.errors import SluiceError
from sluice.core.links import page_url
from sluice.core.partitions import Partition, day_of
from sluice.declare.spec import Pipeline
from sluice.models import roles
from sluice.notify import reader_impact

# Where a person replays.
_FORM = "The page Replay has table and day filled in."


def not_published(spec: Pipeline, table: str) -> tuple[str, ...]:
    """The tables that go without a partition because of a hold of `table`: itself, and what is built from it."""
    return tuple(f"{spec.pipeline}.{name}" for name in (table, *reader_impact.waits_for(spec, table)))


def after_verdict(
    spec: Pipeline,
    table: str,
    partitions: tuple[str, ...],
    *,
    held: bool,
    shows_rows: bool = True,
    lacks_rows: bool = False,
) -> tuple[str, ...]:
    """What to do about a batch that was not published by its gate.

    Args:
        shows_rows: whether the mail has failing rows.
        lacks_rows: whether it is held because days have no rows, and for no rule.
    """
    if not held:
        return (
            "Open the evidence: it names the rule or the step that broke.",
            f"Correct the suite expectations/{spec.pipeline}/{table}.json or its cause, and run `sluice check`.",
            "Replay: the same staged batch is audited again.",
        )
    first = _look(spec, table, shows_rows, lacks_rows)
    declaration = f"dags/pipelines/{spec.pipeline}.yml"
    replay = f"run `sluice check`, and replay. Nothing has to be delivered again. {_FORM}"
    correction = (
        f"If such days are usual: declare `may_be_empty: true` for {table} in {declaration}, {replay}"
        if lacks_rows
        else f"If the rule is wrong: correct it in expectations/{spec.pipeline}/{table}.json, {replay}"
    )
    release = (
        f"If {'there is nothing for that day' if lacks_rows else 'readers must see it all the same'}: release it, with a "
        "reason and a last day, on the page Release; then answer under Browse, Required Actions."
    )
    if table in spec.sources:
        return (
            first,
            f"If the data is wrong: ask {spec.source(table).owner} for a corrected file, and land it. "
            f"{taken_up(spec, table, partitions)}",
            correction,
            release,
        )
    model = f"If the model or its input is wrong: correct it, then replay. {_FORM}"
    return first, model, correction, release


def _look(spec: Pipeline, table: str, shows_rows: bool, lacks_rows: bool) -> str:
    if lacks_rows:
        return f"Find out whether there is really nothing for that day: {spec.owner_of(table)} knows."
    if shows_rows:
        return "Look at the failing rows above, or at more of them in the evidence."
    return "Look at what the rules found, above and in the evidence."


def after_failure(exception: BaseException | None) -> tuple[str, ...]:
    """What to do about a task that failed."""
    todo = exception.todo if isinstance(exception, SluiceError) else ""
    first = todo[0].upper() + todo[1:] + "." if todo else "Read the task's log."
    return (first, "Then clear the task, or trigger the DAG again with the same partition key.")


def way_back(spec: Pipeline, version: str, does: str) -> tuple[str, dict[str, str]]:
    """Where a person rolls back, and the command that does it: none of a critical model, which asks a second person."""
    dag = f"{spec.pipeline}_rollback in the UI"
    if spec.is_critical:
        return f"{dag}, which asks a person to approve it", {}
    return f"the command below, or {dag}", {roles.way_back(spec, version): does}


def taken_up(spec: Pipeline, table: str, partitions: tuple[str, ...]) -> str:
    """How a delivery that has been landed for these partitions of a source goes on, in a sentence."""
    if spec.clock == "wall" and not is_before_starts(spec, table, partitions[0]):
        return "It is taken up by itself, within minutes."
    return f"Then trigger {rerun(spec, table, partitions)}."


def is_before_starts(spec: Pipeline, table: str, day: str) -> bool:
    """Whether a day of a table belongs to a run before the first of a live pipeline, which nothing starts by itself."""
    run_day = spec.run_day(table, day)
    return spec.clock == "wall" and spec.starts is not None and run_day < day_of(spec.starts)


def rerun(spec: Pipeline, table: str, partitions: tuple[str, ...]) -> str:
    """Which run lands these partitions of a source, in words."""
    first, last = (spec.run_day(table, day) for day in (partitions[0], partitions[-1]))
    if first == last and not is_before_starts(spec, table, partitions[0]):
        return f"{spec.pipeline}_ingest again with partition key {first} (Trigger, Advanced Options)"
    return f"{spec.pipeline}_backfill again for {first} to {last}"


def commands(spec: Pipeline, table: str, label: str, *, release: bool = False) -> dict[str, str]:
    """Commands about a held partition, each with what it does."""
    day = Partition.parse(label).first
    name = spec.pipeline
    found: dict[str, str] = {}
    if table in spec.sources:
        found[f"sluice land {name} {table} {day} FILE"] = "put a corrected file into the landing zone"
    found[f"sluice replay {name} {table} {day}"] = "send it through the gate again"
    if release:
        found[f"sluice release {name} {table} {day} --by NAME --why REASON --until DAY"] = (
            "publish it under your waiver, until a day"
        )
    found[f"sluice trace {name} {table} {day}"] = "where its rows went"
    found[f"sluice held {name}"] = "all that is held, with age and owner"
    return found


def operate_links(spec: Pipeline, table: str, label: str, *, release: bool) -> dict[str, str]:
    """The forms that bring a held partition back, filled in."""
    day = Partition.parse(label).first
    actions = {"Replay": "replay", **({"Release": "release"} if release else {})}
    return {name: page_url(action, spec.pipeline, table, day) for name, action in actions.items()}
