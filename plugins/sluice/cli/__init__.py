"""The `sluice` command. Each subcommand is a thin shell around a function that has its own tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from ml.errors import MlError
from sluice import clock, spec
from sluice.cli import arguments, home, live, local, proof, supply_chain
from sluice.cli.arguments import (
    DAY,
    KIND,
    LABEL,
    RECORDED_PIPELINE,
    SOURCE,
    TABLE,
    TEXT,
)
from sluice.cli.model import model
from sluice.cli.output import echo
from sluice.errors import SluiceError


class _Group(click.Group):
    """Shows an error of ours as one plain message, without a traceback."""

    def invoke(self, ctx: click.Context):
        try:
            if notice := clock.notice():
                echo(notice, err=True)
            return super().invoke(ctx)
        except (SluiceError, MlError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.version_option(package_name="sluice")
def main() -> None:
    """Every row, model and prediction is published with evidence, or held with a reason and a way back."""


for command in (
    home.home,
    model,
    live.status,
    live.skip,
    local.demo,
    local.up,
    local.down,
    local.airflow,
    supply_chain.audit,
    supply_chain.traces,
    proof.rehearse,
    proof.mutate,
    proof.robustness,
):
    main.add_command(command)


@main.command()
def check() -> None:
    """Check pipelines, suites, the dbt project and settings without running anything."""
    from sluice.check import check_all

    problems = 0
    for what, error in check_all():
        echo(f"{'ok     ' if error is None else 'PROBLEM'}  {what}{'' if error is None else f': {error}'}")
        problems += error is not None
    if problems:
        raise click.ClickException(f"{problems} problem(s)")


@main.command()
@arguments.pipeline
@click.argument("first", type=DAY)
@click.argument("last", type=DAY, required=False)
@click.option("--corrupt", help="Damage the delivery in a realistic way: seconds, shifted, truncated, ...")
@click.option("--source", "sources", type=SOURCE, multiple=True, help="Only these sources.")
@click.option(
    "--number",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Delivery number; a higher one corrects a lower one.",
)
def feed(
    pipeline: spec.Pipeline, first: str, last: str | None, corrupt: str | None, sources, number: int
) -> None:
    """Let the replayed source system deliver the day FIRST, or all days to LAST, into the landing zone."""
    from sluice import feed as source_system

    if last and (corrupt is not None or sources or number != 1):
        raise click.UsageError("--corrupt, --source and --number are for one day: leave out LAST.")
    if last:
        names = source_system.deliver_range(pipeline, first, last)
    else:
        names = source_system.deliver(
            pipeline, first, corrupt=corrupt, sources=list(sources) or None, number=number
        )
    echo(f"Delivered {len(names)} file(s) into {pipeline.landing_url}")
    for name in names[:10]:
        echo(f"  {name}")


@main.command()
@arguments.pipeline
@click.argument("source", type=SOURCE)
@click.argument("day", type=DAY)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--version", type=int, help="Version of the contract that it follows; default: the declared one."
)
def land(pipeline: spec.Pipeline, source: str, day: str, file: Path, version: int | None) -> None:
    """Put a FILE of SOURCE with the data of DAY (YYYY-MM-DD) into the landing zone, with its manifest."""
    from sluice.ingest.deliveries import land as land_file

    echo(f"Landed {land_file(pipeline, source, day, file.read_bytes(), version=version)}")


@main.command()
@arguments.any_pipeline
def held(pipeline: spec.Pipeline | None) -> None:
    """List what is held, refused or quarantined, with age and owner, and mails that wait; of one PIPELINE, or of all."""
    from sluice import holds, missing_history
    from sluice.holds import show
    from sluice.notices import faults
    from sluice.waivers import inherited

    def list_held(declared: spec.Pipeline) -> None:
        released = holds.active_waivers(declared)
        after_waivers, after_holes = inherited.rebuilds(declared), missing_history.rebuilds(declared)
        for line in show.held(holds.open_holds(declared), released, (*after_waivers, *after_holes)):
            echo(f"  {line}")

    complete = _for_each(pipeline, list_held)
    for line in faults.undelivered_lines(pipeline.pipeline if pipeline else None):
        echo(line)
    if not complete:
        sys.exit(1)


@main.command()
@arguments.pipeline
@click.argument("table", type=TABLE)
@click.argument("day", type=DAY)
def replay(pipeline: spec.Pipeline, table: str, day: str) -> None:
    """Send what is held of DAY (of the data, as `sluice held` shows it) through the same gate again."""
    from sluice import holds

    key = _pseudonym_key(pipeline, table)
    outcome = holds.replay(pipeline, table, day, {"run_id": "sluice replay"}, pseudonym_key=key)
    echo(outcome)
    if outcome.repaired:
        echo(holds.onwards(pipeline, table, day))
    if outcome.reason:
        sys.exit(1)


@main.command()
@arguments.pipeline
@click.argument("table", type=TABLE)
@click.argument("day", type=DAY)
@click.option("--by", type=TEXT, default="", help="The person who answers for it.")
@click.option("--why", type=TEXT, default="", help="The reason, in a sentence.")
@click.option(
    "--until", type=DAY, default=None, help="Last day (YYYY-MM-DD) that it is valid, by the pipeline's clock."
)
def release(pipeline: spec.Pipeline, table: str, day: str, by: str, why: str, until: str | None) -> None:
    """Publish what is held of DAY as it is, on a person's word, which is recorded and shown with the data."""
    from sluice import holds

    said = {"by": by, "why": why, "until": until or ""}
    done = holds.release(pipeline, table, day, **said, run={"run_id": "sluice release"})
    echo(f"Released: batch {done.batch_id} is published in snapshot {done.snapshot_id}.")
    echo(holds.onwards(pipeline, table, day))


@main.command()
@arguments.pipeline
@click.argument("table", type=TABLE)
@click.argument("day", type=DAY)
def trace(pipeline: spec.Pipeline, table: str, day: str) -> None:
    """Tell the whole story of a partition: deliveries, rows by what became of them, verdicts, waivers, mails."""
    from sluice import holds
    from sluice.holds import show

    for line in show.traced(holds.trace(pipeline, table, day)):
        echo(line)


@main.command()
@arguments.pipeline
@click.option("--days", type=click.IntRange(1), help="Days of history to compare; default: `integrity_days`.")
def watch(pipeline: spec.Pipeline, days: int | None) -> None:
    """Look for missed deadlines, rewritten history and lapsed waivers, as the watcher does; mails nothing."""
    from sluice import watch as watcher

    found = watcher.findings(pipeline, days)
    for sentence in found:
        echo(sentence)
    if found:
        sys.exit(1)
    echo("Nothing is overdue, and history is as it was published.")


@main.command()
@arguments.any_pipeline
@click.option("--dry-run", is_flag=True, help="Say what would go, and touch nothing.")
def maintain(pipeline: spec.Pipeline | None, dry_run: bool) -> None:
    """Clear away what `retention` declares to be no longer needed, as the maintenance DAG does; mails nothing."""
    from sluice import ledger, upkeep

    run = {"run_id": "sluice maintain"}

    def clear(declared: spec.Pipeline) -> None:
        entries = ledger.verify() if dry_run else upkeep.check_chain(declared, run)[0]
        echo(f"  {entries} entries of the ledger, chain intact")
        gone = upkeep.clear_tables(declared, run, dry_run=dry_run)
        gone += upkeep.clear_evidence(declared, run, dry_run=dry_run)
        for line in list(upkeep.lines(gone)) or ["nothing had to go"]:
            echo(f"  {'would go: ' if dry_run and gone else ''}{line}")

    if not _for_each(pipeline, clear):
        sys.exit(1)


@main.command()
@arguments.pipeline
@click.option(
    "--impact", "column", type=TEXT, metavar="TABLE.COLUMN", help="Tell what depends on a column instead."
)
def catalogue(pipeline: spec.Pipeline, column: str | None) -> None:
    """Show every source: columns, owner, licence, purpose, freshness, readiness and users; and write it as a page."""
    from sluice import catalogue as shelf

    if column is not None:
        found = shelf.impact(pipeline, column)
        text, page = shelf.told(found, pipeline), None
    else:
        gathered = shelf.read(pipeline)
        text, page = shelf.lines(gathered), shelf.write(gathered)
    for line in text:
        echo(line)
    if page:
        echo("")
        echo(f"As a page: {page}")


@main.command()
@arguments.pipeline
def docs(pipeline: spec.Pipeline) -> None:
    """Render the dbt documentation as one page that the Airflow UI serves."""
    from sluice import transform

    echo(transform.docs(pipeline))


@main.command(name="ledger")
@click.option("--kind", type=KIND, help="Only entries of this kind, for example held.")
@click.option("--pipeline", type=RECORDED_PIPELINE, help="Only entries of this pipeline.")
@click.option(
    "--partition", "days", type=LABEL, help="Only entries about this day (YYYY-MM-DD), or about first..last."
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest entries to show."
)
@click.option("--verify", is_flag=True, help="Check the whole hash chain instead.")
def show_ledger(
    kind: str | None, pipeline: str | None, days: tuple[str, str] | None, limit: int, verify: bool
) -> None:
    """Show the record of decisions, newest first, or verify that nobody edited it."""
    from sluice import ledger

    if verify:
        echo(f"{ledger.verify()} entries, chain intact")
        return
    found = ledger.entries(kind=kind, pipeline=pipeline, days=days, limit=limit)
    for entry in found:
        reasons = " ".join(entry.data.get("reasons", []))
        echo(
            f"{entry.seq:6d}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.kind:10s} "
            f"{entry.pipeline}.{entry.subject} {entry.partition or ''}  {reasons}"
        )
    if not found:
        echo("No entry of the ledger is about that.")


def _for_each(pipeline: spec.Pipeline | None, work: Callable[[spec.Pipeline], None]) -> bool:
    """Work on one pipeline, or on all; return whether it was possible for each.

    Of all, one that cannot be worked on is named on standard error, and the others are worked on.
    """
    problems: dict[str, SluiceError] = (
        {} if pipeline else {each.pipeline: each.error for each in spec.broken_pipelines()}
    )
    for declared in [pipeline] if pipeline else spec.load_all():
        echo(f"{declared.pipeline}:")
        try:
            work(declared)
        except SluiceError as error:
            if pipeline:
                raise
            problems[declared.pipeline] = error
    for name, problem in problems.items():
        echo(f"{name} is left out: {problem}", err=True)
    return not problems


def _pseudonym_key(pipeline: spec.Pipeline, table: str) -> bytes | None:
    """The key that replaces personal data, for a table that has some: Airflow's, or that of the local stack."""
    if table not in pipeline.sources or not pipeline.sources[table].contract.pseudonymised:
        return None
    from sluice.local import stack
    from sluice.orchestration.secrets import pseudonym_key

    stack.lend_pseudonym_key()
    return pseudonym_key(pipeline, table)
