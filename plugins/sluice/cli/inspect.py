"""Commands that show what is: each prints text for a person or, with `--json`, the same as JSON."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from sluice.cli import arguments
from sluice.cli.arguments import DAY, KIND, LABEL, RECORDED_PIPELINE, TABLE, TEXT
from sluice.cli.output import as_json, echo, for_each, print_json
from sluice.core.errors import PredictionUnknownError
from sluice.core.partitions import Partition
from sluice.declare import spec


@click.command(name="status")
@arguments.pipeline
@click.option("--first", type=DAY, help="First run day; default: the first that anything is expected of.")
@click.option("--last", type=DAY, help="Last run day; default: today.")
@as_json
def status_command(pipeline: spec.Pipeline, first: str | None, last: str | None, as_json: bool) -> None:
    """Show what should be and what is, for each table and run day of PIPELINE; exits with 1 where something is missing or held.

    What lies in the landing zone and is no delivery is named last.
    """
    from dataclasses import asdict

    from sluice import status, watch
    from sluice.status import as_text

    found = status.of(pipeline, first=first, last=last)
    landing = watch.unexpected_files(pipeline)
    if as_json:
        print_json({**asdict(found), "unexpected_files": landing.entries})
    else:
        for line in [*as_text.lines(found), *landing.lines()]:
            echo(line)
    if found.in_state("missing", "held"):
        sys.exit(1)


@click.command(name="today")
@arguments.any_pipeline
@as_json
def today_command(pipeline: spec.Pipeline | None, as_json: bool) -> None:
    """Say whether the newest predictions are fit for use, and what stands around them; of one PIPELINE, or of all."""
    from sluice.status import today

    found = []

    def say(declared: spec.Pipeline) -> None:
        found.append(today.read(declared))
        if not as_json:
            for line in today.lines(found[-1]):
                echo(line)

    complete = for_each(pipeline, say)
    if as_json:
        print_json(found)
    if not complete:
        sys.exit(1)


@click.command(name="held")
@arguments.any_pipeline
@as_json
def held_command(pipeline: spec.Pipeline | None, as_json: bool) -> None:
    """List what is held, refused or quarantined, with age, owner, probable cause and what waits for it; of one PIPELINE, or of all.

    What lies in the landing zone and is no delivery is named too, and mails that wait.
    """
    from dataclasses import asdict

    from sluice.notify import faults, steps
    from sluice.watch import held

    found: dict[str, dict[str, object]] = {}

    def list_held(declared: spec.Pipeline) -> None:
        listed = held.read(declared)
        if listed.problem:
            echo(f"{declared.pipeline}: {listed.problem}", err=True)
        found[declared.pipeline] = {
            "held": [
                {**asdict(line.hold), "effect": line.effect, "waiting": line.waiting} for line in listed.lines
            ],
            "expired": [
                {"table": table, "day": day, **asdict(one)} for (table, day), one in listed.expired.items()
            ],
            "released": list(listed.released.values()),
            "to_rebuild": listed.to_rebuild,
            "unexpected_files": listed.landing.entries,
        }
        if not as_json:
            echo(f"{declared.pipeline}:")
            for text in held.as_text(listed):
                echo(f"  {text}")
            for oldest in [line.hold for line in listed.lines[:1]]:
                echo("  Next, for the first of them:")
                days = oldest.partition
                known = steps.commands(declared, oldest.table, days, release=oldest.is_releasable)
                del known[f"sluice held {declared.pipeline}"]  # this one
                for command, does in known.items():
                    echo(f"    {command}: {does}")

    complete = for_each(pipeline, list_held)
    waiting = faults.undelivered_lines(pipeline.pipeline if pipeline else None)
    if as_json:
        print_json({"pipelines": found, "undelivered_mails": waiting})
    else:
        for line in waiting:
            echo(line)
    if not complete:
        sys.exit(1)


@click.command()
@arguments.pipeline
@click.argument("what", type=TEXT, metavar="TABLE|PREDICTION")
@click.argument("day", type=DAY, required=False)
@as_json
@click.pass_context
def trace(ctx: click.Context, pipeline: spec.Pipeline, what: str, day: str | None, as_json: bool) -> None:
    """Tell the whole story of the partition of TABLE and DAY: deliveries, rows by what became of them, verdicts, waivers, mails.

    Of a PREDICTION instead, by its id or key: its model, the partitions, deliveries and raw rows it was made of, and waivers.
    """
    if day is None and pipeline.has_model and what not in pipeline.tables:
        from sluice.models import why

        try:
            prediction = why.read(pipeline, what)
        except PredictionUnknownError as error:
            allowed = f"{error.allowed}, or a table with its day: {', '.join(pipeline.tables)}"
            raise PredictionUnknownError(
                error.what, where=error.where, allowed=allowed, todo=error.todo
            ) from error
        if as_json:
            print_json(replace(prediction, reasons=None, base=None, others={}))
            return
        for line in why.traced(prediction):
            echo(line)
        return
    from sluice import holds
    from sluice.holds import show

    table = TABLE.convert(what, None, ctx)
    if day is None:
        raise click.UsageError(
            f"The day of {table} is missing: sluice trace {pipeline.pipeline} {table} YYYY-MM-DD."
        )
    found = holds.trace(pipeline, table, day)
    if as_json:
        print_json(found)
        return
    for line in show.traced(found):
        echo(line)


@click.command(name="why")
@arguments.pipeline
@click.argument("prediction", type=TEXT)
@click.option("--day", type=DAY, help="The day of its data; default: the newest that has such a prediction.")
@as_json
def why_command(pipeline: spec.Pipeline, prediction: str, day: str | None, as_json: bool) -> None:
    """Explain a PREDICTION, by its id or key: who scored it, who let that model in, what moved the score, and the rows it came from."""
    from sluice.models import why

    found = why.read(pipeline, prediction, day)
    if as_json:
        print_json(found)
        return
    for line in why.lines(found):
        echo(line)


@click.command(name="watch")
@arguments.pipeline
@click.option("--days", type=click.IntRange(1), help="Days of history to compare; default: `integrity_days`.")
@as_json
def watch_command(pipeline: spec.Pipeline, days: int | None, as_json: bool) -> None:
    """Look for missed deadlines, rewritten history and lapsed waivers, as the watcher does, and record them; mails nothing."""
    from sluice import watch

    found = watch.findings(pipeline, days)
    if as_json:
        print_json({"pipeline": pipeline.pipeline, "findings": found})
    else:
        for sentence in found or ["Nothing is overdue, and history is as it was published."]:
            echo(sentence)
    if found:
        sys.exit(1)


@click.command(name="catalogue")
@arguments.pipeline
@as_json
@click.option(
    "--impact", "column", type=TEXT, metavar="TABLE.COLUMN", help="Tell what depends on a column instead."
)
def catalogue_command(pipeline: spec.Pipeline, column: str | None, as_json: bool) -> None:
    """Show every source: columns, owner, licence, purpose, freshness, readiness and users; and write it as a page."""
    from sluice.lake import evidence
    from sluice.status import catalogue

    if column is not None:
        found = catalogue.impact(pipeline, column)
        if as_json:
            print_json(found)
        else:
            for line in catalogue.impact_lines(found, pipeline):
                echo(line)
        return
    gathered = catalogue.read(pipeline)
    page = evidence.address(catalogue.write(gathered))
    if as_json:
        parts = {
            "today": gathered.today,
            "sources": gathered.sources,
            "tables": gathered.tables,
            "page": page,
        }
        print_json({"pipeline": pipeline.pipeline, **parts})
        return
    for line in catalogue.lines(gathered):
        echo(line)
    echo("")
    echo(f"As a page: {page}")


class _KindOption(click.Option):
    """Names the kinds where its help is asked for."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from sluice.ledger.kinds import KINDS

        self.help = f"Only entries of this kind: {', '.join(sorted(KINDS))}."
        return super().get_help_record(ctx)


@click.command(name="ledger")
@click.option("--kind", type=KIND, cls=_KindOption)
@click.option("--pipeline", type=RECORDED_PIPELINE, help="Only entries of this pipeline.")
@click.option(
    "--partition", "days", type=LABEL, help="Only entries about this day (YYYY-MM-DD), or about first..last."
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest entries to show."
)
@click.option("--verify", is_flag=True, help="Check the whole hash chain instead.")
@as_json
def show_ledger(
    kind: str | None,
    pipeline: str | None,
    days: Partition | None,
    limit: int,
    verify: bool,
    as_json: bool,
) -> None:
    """Show the record of decisions, newest first, or verify that nobody edited it."""
    from sluice import ledger

    if verify:
        entries = ledger.verify()
        if as_json:
            print_json({"verified": entries})
        else:
            echo(f"{entries} entries, chain intact")
        return
    found = ledger.entries(kind=kind, pipeline=pipeline, days=days, limit=limit)
    if as_json:
        print_json(found)
        return
    for entry in found:
        reasons = " ".join(entry.record.reasons)
        echo(
            f"{entry.seq:6d}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.kind:10s} "
            f"{entry.pipeline}.{entry.subject} {entry.partition or ''}  {reasons}"
        )
    if not found:
        echo("No entry of the ledger is about that.")
