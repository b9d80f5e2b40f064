"""Commands about the state of a pipeline: what should be, what is, and what a person gives up."""

from __future__ import annotations

import json
import sys

import click

from sluice import spec
from sluice.cli import arguments
from sluice.cli.arguments import DAY, TABLE, TEXT
from sluice.cli.output import echo


@click.command()
@arguments.pipeline
@click.option("--first", type=DAY, help="First run day; default: the first that anything is expected of.")
@click.option("--last", type=DAY, help="Last run day; default: today.")
@click.option("--json", "as_json", is_flag=True, help="Print every item as JSON.")
def status(pipeline: spec.Pipeline, first: str | None, last: str | None, as_json: bool) -> None:
    """Show what should be and what is, for each table and run day of PIPELINE; exits with 1 where something is missing or held."""
    from sluice import status as state
    from sluice.status import show

    found = state.of(pipeline, first=first, last=last)
    if as_json:
        now = found.now.isoformat() if found.now else None
        items = [item.as_dict() for item in found]
        click.echo(json.dumps({"pipeline": found.pipeline, "now": now, "items": items}, indent=2))
    else:
        for line in show.lines(found):
            echo(line)
    if found.in_state("missing", "held"):
        sys.exit(1)


@click.command()
@arguments.pipeline
@click.argument("day", type=DAY)
@click.option("--table", "tables", type=TABLE, multiple=True, help="Only these tables; default: all.")
@click.option("--by", type=TEXT, default="", help="The person who answers for it.")
@click.option("--why", type=TEXT, default="", help="The reason, in a sentence.")
def skip(pipeline: spec.Pipeline, day: str, tables: tuple[str, ...], by: str, why: str) -> None:
    """Give up what is not published of the run day DAY: nothing waits for it any more, and the ledger says who said so."""
    from sluice import holds

    for entry in holds.skip(pipeline, day, tables, by=by, why=why, run={"run_id": "sluice skip"}):
        echo(f"Given up: {entry.subject} of {entry.partition}.")
