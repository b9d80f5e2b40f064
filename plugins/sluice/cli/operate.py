"""Commands with which a person runs a pipeline: deliver, send again, release, give up, clear away, start and stop."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sluice.cli import arguments
from sluice.cli.arguments import DAY, SOURCE, TABLE, TEXT
from sluice.cli.output import as_json, echo, for_each, print_json
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec


@click.command()
@arguments.pipeline
@click.argument("source", type=SOURCE)
@click.argument("day", type=DAY)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--version", type=int, help="Version of the contract that it follows; default: the declared one."
)
def land(pipeline: spec.Pipeline, source: str, day: str, file: Path, version: int | None) -> None:
    """Put a FILE of SOURCE with the data of DAY (YYYY-MM-DD) into the landing zone, with its manifest."""
    from sluice.ingest import deliveries

    echo(f"Landed {deliveries.land(pipeline, source, day, file.read_bytes(), version=version)}")
    echo(_taken_up(pipeline, source, day, day))


@click.command("land-split")
@arguments.pipeline
@click.argument("source", type=SOURCE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--by", "column", type=TEXT, required=True, help="Column with the day or the instant of a row.")
def land_split(pipeline: spec.Pipeline, source: str, file: Path, column: str) -> None:
    """Split a FILE of SOURCE by the days that a column names, and land each day's rows as `sluice land` does, oldest first."""
    from sluice.ingest import deliveries, splitting

    parts = splitting.split(pipeline, source, file.read_bytes(), column)
    echo(f"{len(parts)} days, {min(parts)} to {max(parts)}. All are read before the first is landed.")
    for day, data in parts.items():
        deliveries.count_rows(pipeline, source, day, data)
    for number, (day, data) in enumerate(parts.items(), 1):
        echo(f"Landed {deliveries.land(pipeline, source, day, data)} ({number} of {len(parts)})")
    echo(_taken_up(pipeline, source, min(parts), max(parts)))


def _taken_up(pipeline: spec.Pipeline, source: str, first: str, last: str) -> str:
    """What becomes of deliveries that were landed, and the command that waits for nothing."""
    from sluice.notify import steps

    by_itself = steps.taken_up(pipeline, source, (first, last))
    if steps.is_before_starts(pipeline, source, first):
        return by_itself
    days = " ".join(dict.fromkeys(pipeline.run_day(source, day) for day in (first, last)))
    return f"{by_itself} To run and follow it from here: sluice run {pipeline.pipeline} {days}"


@click.command()
@arguments.pipeline
@click.argument("first", type=DAY)
@click.argument("last", type=DAY, required=False)
@click.option("--train", is_flag=True, help="Train a model as of the last day, when all days are done.")
def run(pipeline: spec.Pipeline, first: str, last: str | None, train: bool) -> None:
    """Run the days FIRST to LAST (YYYY-MM-DD, run days) through the DAGs of the local Airflow, one after the other, and follow them.

    What is published already is left as it is. Ends with 1 where a day is not complete; those after it are not run then.
    """
    from sluice.local import running, stack

    if train and not pipeline.has_model:
        raise click.UsageError(f"{pipeline.pipeline} declares no model: leave --train out.")
    if last and last < first:
        raise click.UsageError(f"LAST, {last}, is before FIRST, {first}.")
    if not running.run_days(pipeline, first, last or first, stack.client(), echo, train=train):
        sys.exit(1)


@click.command()
@arguments.pipeline
@click.argument("table", type=TABLE)
@click.argument("day", type=DAY)
def replay(pipeline: spec.Pipeline, table: str, day: str) -> None:
    """Send what is held of DAY (of the data, as `sluice held` shows it) through the same gate again."""
    from sluice import holds, waivers

    key = _pseudonym_key(pipeline, table)
    run = Run(run_id="sluice replay")
    outcome = holds.replay(pipeline, table, day, run, by=waivers.account(), pseudonym_key=key)
    echo(outcome)
    if outcome.repaired:
        echo(holds.downstream_steps(pipeline, table, day))
    if outcome.reason:
        sys.exit(1)


@click.command()
@arguments.pipeline
@click.argument("table", type=TABLE)
@click.argument("day", type=DAY)
@click.option("--by", type=TEXT, default="", help="The person who answers for it.")
@click.option("--why", type=TEXT, default="", help="The reason, in a sentence.")
@click.option(
    "--until", type=DAY, default=None, help="Last day (YYYY-MM-DD) that it is valid, by the pipeline's clock."
)
def release(pipeline: spec.Pipeline, table: str, day: str, by: str, why: str, until: str | None) -> None:
    """Publish what is held of DAY as it is, under a waiver, which is recorded and shown with the data."""
    from sluice import holds

    said = {"by": by, "why": why, "until": until or ""}
    done = holds.release(pipeline, table, day, **said, run=Run(run_id="sluice release"))
    echo(f"Released: batch {done.batch_id} is published in snapshot {done.snapshot_id}.")
    echo(holds.downstream_steps(pipeline, table, day))


@click.command()
@arguments.pipeline
@click.argument("day", type=DAY)
@click.option("--table", "tables", type=TABLE, multiple=True, help="Only these tables; default: all.")
@click.option(
    "--training",
    "is_training",
    is_flag=True,
    help="Instead, the training that monitoring asked for on that day.",
)
@click.option("--by", type=TEXT, default="", help="The person who answers for it.")
@click.option("--why", type=TEXT, default="", help="The reason, in a sentence.")
def skip(
    pipeline: spec.Pipeline, day: str, tables: tuple[str, ...], is_training: bool, by: str, why: str
) -> None:
    """Give up what is not published of the run day DAY: nothing waits for it any more, and the ledger says who said so."""
    from sluice import holds
    from sluice.status import training

    if is_training and tables:
        raise click.UsageError("--training is about no table: leave one of the two out.")
    if is_training:
        training.skip(pipeline, day, by=by, why=why, run=Run(run_id="sluice skip"))
        echo(f"Given up: the training that was asked for on {day}, and those asked for before.")
        return
    for entry in holds.skip(pipeline, day, tables, by=by, why=why, run=Run(run_id="sluice skip")):
        echo(f"Given up: {entry.subject} of {entry.partition}.")


@click.command()
@arguments.any_pipeline
@click.option("--dry-run", is_flag=True, help="Say what would go, and touch nothing.")
@as_json
def maintain(pipeline: spec.Pipeline | None, dry_run: bool, as_json: bool) -> None:
    """Clear away what `retention` declares to be no longer needed, as the maintenance DAG does; mails nothing."""
    from sluice import ledger
    from sluice.watch import maintenance

    run = Run(run_id="sluice maintain")

    found: dict[str, dict[str, object]] = {}

    def clear(declared: spec.Pipeline) -> None:
        entries = ledger.verify() if dry_run else maintenance.check_chain(declared, run)[0]
        gone = maintenance.clear_tables(declared, run, dry_run=dry_run)
        gone += maintenance.clear_evidence(declared, run, dry_run=dry_run)
        found[declared.pipeline] = {"verified": entries, "dry_run": dry_run, "removed": gone}
        if as_json:
            return
        echo(f"{declared.pipeline}:")
        echo(f"  {entries} entries of the ledger, chain intact")
        for line in list(maintenance.lines(gone)) or ["nothing had to go"]:
            echo(f"  {'would go: ' if dry_run and gone else ''}{line}")

    complete = for_each(pipeline, clear)
    if as_json:
        print_json({"pipelines": found})
    if not complete:
        sys.exit(1)


@click.command()
@click.option(
    "--foreground",
    is_flag=True,
    help="Stay until SIGTERM or Ctrl+C, and stop everything then (systemd, containers).",
)
def up(foreground: bool) -> None:
    """Start Airflow and the mail sink under a supervisor, and print where they are and how they do."""
    from sluice.local import stack

    if failed := stack.failing():
        echo(f"FAILED, and tried again now: {', '.join(failed)}")
    if foreground:
        if not stack.run(echo, _say_where):
            sys.exit(1)
        return
    stack.up(echo)
    _say_where()


def _say_where() -> None:
    from sluice.local import stack

    user, password = stack.login()
    for line in stack.status():
        echo(f"  {line}")
    echo(f"Airflow: http://127.0.0.1:{settings().api_port}  (user {user}, password {password})")
    echo(f"Mails:   {settings().mail}")


@click.command()
def down() -> None:
    """Stop what `sluice up` started."""
    from sluice.local import stack

    stack.down(echo)


def _pseudonym_key(pipeline: spec.Pipeline, table: str) -> bytes | None:
    """The key that replaces personal data, for a table that has some: Airflow's, or that of the local stack."""
    if table not in pipeline.sources or not pipeline.sources[table].contract.pseudonymised:
        return None
    from sluice.local import stack
    from sluice.orchestration.secrets import pseudonym_key

    stack.lend_pseudonym_key()
    return pseudonym_key(pipeline, table)
