"""The `sluice` command. Each subcommand is a thin shell around a function that has its own tests."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sluice import spec
from sluice.errors import SluiceError
from sluice.settings import settings


class _Group(click.Group):
    """Shows an error of ours as one plain message, without a traceback."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except SluiceError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.version_option(package_name="sluice")
def main() -> None:
    """Every row, model and prediction is published with evidence, or held with a reason and a way back."""


@main.command()
def demo() -> None:
    """Run the whole loop on real data under the real scheduler, and check that it happened as told."""
    from rich.console import Console

    from sluice.local import demo

    # Wide enough for the table where the output is no terminal.
    if not demo.run(Console(highlight=False, width=None if sys.stdout.isatty() else 120)):
        sys.exit(1)


@main.command()
def up() -> None:
    """Start Airflow and the mail sink, and print where they are."""
    from sluice.local import stack

    stack.up(click.echo)
    user, password = stack.login()
    click.echo(f"Airflow: http://127.0.0.1:{settings().api_port}  (user {user}, password {password})")
    click.echo(f"Mails:   {settings().mail}")


@main.command()
def down() -> None:
    """Stop what `sluice up` started."""
    from sluice.local import stack

    stack.down(click.echo)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def airflow(arguments: tuple[str, ...]) -> None:
    """Run Airflow's own command line against the local stack, for example `sluice airflow dags list`."""
    from sluice.local import stack

    sys.exit(stack.airflow(*arguments))


@main.command()
def check() -> None:
    """Check pipelines, suites, the dbt project and settings without running anything."""
    from sluice.check import check_all

    problems = 0
    for what, error in check_all():
        click.echo(
            f"{'ok     ' if error is None else 'PROBLEM'}  {what}{'' if error is None else f': {error}'}"
        )
        problems += error is not None
    if problems:
        raise click.ClickException(f"{problems} problem(s)")


@main.command()
@click.argument("pipeline")
@click.argument("first")
@click.argument("last", required=False)
@click.option("--corrupt", help="Damage the delivery in a realistic way: seconds, shifted, truncated, ...")
@click.option("--source", "sources", multiple=True, help="Only these sources.")
@click.option(
    "--number", default=1, show_default=True, help="Delivery number; a higher one corrects a lower one."
)
def feed(pipeline: str, first: str, last: str | None, corrupt: str | None, sources, number: int) -> None:
    """Let the replayed source system deliver the day FIRST, or all days to LAST, into the landing zone."""
    from sluice import feed as source_system

    declared = spec.load(pipeline)
    if last:
        names = source_system.deliver_range(declared, first, last)
    else:
        names = source_system.deliver(
            declared, first, corrupt=corrupt, sources=list(sources) or None, number=number
        )
    click.echo(f"Delivered {len(names)} file(s) into {declared.landing_url}")
    for name in names[:10]:
        click.echo(f"  {name}")


@main.command()
@click.argument("pipeline")
@click.argument("source")
@click.argument("day")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def land(pipeline: str, source: str, day: str, file: Path) -> None:
    """Put a FILE of SOURCE with the data of DAY (YYYY-MM-DD) into the landing zone, with its manifest."""
    from sluice.ingest.deliveries import land as land_file

    click.echo(f"Landed {land_file(spec.load(pipeline), source, day, file.read_bytes())}")


@main.command()
@click.argument("pipeline")
def docs(pipeline: str) -> None:
    """Render the dbt documentation as one page that the Airflow UI serves."""
    from sluice import transform

    click.echo(transform.docs(spec.load(pipeline)))


@main.command(name="ledger")
@click.option("--kind", help="Only entries of this kind, for example held.")
@click.option("--pipeline", help="Only entries of this pipeline.")
@click.option("--partition", help="Only entries of this day.")
@click.option("--limit", default=20, show_default=True, help="Newest entries to show.")
@click.option("--verify", is_flag=True, help="Check the whole hash chain instead.")
def show_ledger(
    kind: str | None, pipeline: str | None, partition: str | None, limit: int, verify: bool
) -> None:
    """Show the record of decisions, newest first, or verify that nobody edited it."""
    from sluice import ledger

    if verify:
        click.echo(f"{ledger.verify()} entries, chain intact")
        return
    for entry in ledger.entries(kind=kind, pipeline=pipeline, partition=partition, limit=limit):
        reasons = "; ".join(entry.data.get("reasons", []))
        click.echo(
            f"{entry.seq:6d}  {entry.at:%Y-%m-%d %H:%M:%S}  {entry.kind:10s} "
            f"{entry.pipeline}.{entry.subject} {entry.partition or ''}  {reasons}"
        )
