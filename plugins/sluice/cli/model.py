"""`sluice model`: who scores, and the way back to who scored before."""

from __future__ import annotations

import dataclasses
import secrets
import sys
from pathlib import Path

import click

from sluice.cli import arguments
from sluice.cli.arguments import TEXT
from sluice.cli.output import Group, as_json, echo, print_json
from sluice.core.runs import Run
from sluice.declare import spec


@click.group(cls=Group)
def model() -> None:
    """Show which versions of a pipeline's model have or had which role, roll back, or search for other parameters."""


@model.command()
@arguments.pipeline
@as_json
def show(pipeline: spec.Pipeline, as_json: bool) -> None:
    """Show every version with its role, its training day, the decision about it, and whether its files are whole."""
    from sluice.models import roles

    found = roles.read(pipeline)
    if as_json:
        print_json(found)
        return
    for line in roles.lines(found):
        echo(line)


@model.command(name="history")
@arguments.pipeline
@as_json
def history_command(pipeline: spec.Pipeline, as_json: bool) -> None:
    """Show since when which version has been champion, who or what moved it and on what evidence, and what was refused."""
    from sluice.models import history

    found = history.read(pipeline)
    if as_json:
        print_json(found)
        return
    for line in history.lines(found):
        echo(line)


@model.command()
@arguments.pipeline
@click.option(
    "--version", type=click.IntRange(1), help="Default: the champion or, without one, the newest candidate."
)
@click.option("--datasheet", is_flag=True, help="The datasheet of what it was trained on, instead.")
@click.option("--out", type=arguments.OUTPUT_FILE, help="File to write; default: standard output.")
def card(pipeline: spec.Pipeline, version: int | None, datasheet: bool, out: Path | None) -> None:
    """Print the model card of a version, or the datasheet of its training set, as Markdown.

    What only a person can say of it is declared under `model.card`; what is missing says so.
    """
    from sluice.models import cards

    text = cards.markdown("datasheet" if datasheet else "card", pipeline, version)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
        echo(out)
    else:
        click.echo(text, nl=False)


@model.command(name="rebuild")
@arguments.pipeline
@click.argument("version", type=click.IntRange(1))
@as_json
def rebuild_command(pipeline: spec.Pipeline, version: int, as_json: bool) -> None:
    """Train VERSION again from the snapshots that it was trained on, and compare: the same bytes, or what is no longer the same.

    Nothing is registered. Exits with 1 where the file is another one.
    """
    from sluice.core.progress import timed
    from sluice.models import rebuild

    made = rebuild.rebuild(pipeline, version, timed(lambda line: echo(line, err=True)))
    if as_json:
        print_json({**dataclasses.asdict(made), "is_same": made.is_same})
    else:
        for line in rebuild.lines(made):
            echo(line)
    if not made.is_same:
        sys.exit(1)


@model.command(name="tune")
@arguments.pipeline
@click.option(
    "--day",
    type=arguments.DAY,
    help="As of the morning of this day; default: today, by the pipeline's clock.",
)
@as_json
def tune_command(pipeline: spec.Pipeline, day: str | None, as_json: bool) -> None:
    """Search for other parameters within the budget of `model.tuning`, as the DAG of the same name does, and propose them.

    Nothing is changed: the proposal is recorded, and a person puts it into the YAML.
    """
    from sluice.core.partitions import day_of
    from sluice.core.progress import timed
    from sluice.declare import pipeline_clock
    from sluice.models import tuning

    # Each call is a search of its own.
    run = Run(run_id=f"sluice model tune {secrets.token_hex(4)}")
    day = day or day_of(pipeline_clock.today(pipeline))
    entry = tuning.tune(pipeline, day, run, timed(lambda line: echo(line, err=True)))
    if as_json:
        print_json({"entry": entry.seq, **entry.record.model_dump(mode="json")})
        return
    for line in tuning.lines(pipeline, entry):
        echo(line)


@model.command()
@arguments.pipeline
@click.option(
    "--to",
    metavar="VERSION",
    type=TEXT,
    help="A version that was champion before, or `baseline`: the declared rule and no model.  [default: who scored before the champion]",
)
@click.option("--by", type=TEXT, required=True, help="The person who answers for it.")
@click.option("--why", type=TEXT, required=True, help="The reason, in a sentence.")
def rollback(pipeline: spec.Pipeline, to: str | None, by: str, why: str) -> None:
    """Let who scored before the champion, or another version that was champion once, score again."""
    from sluice import status, waivers
    from sluice.models import roles, rolled_back

    # Each call is a decision of its own.
    run = Run(run_id=f"sluice model rollback {secrets.token_hex(4)}")
    to = to or roles.before(pipeline)
    entry = roles.roll_back(pipeline, to, by=by, why=why, run=run, account=waivers.account())
    echo(f"Recorded as entry {entry.seq}: {entry.record.reasons[0]}")
    echo(
        f"The next run of {pipeline.pipeline}_score goes by it, and the next of {pipeline.pipeline}_watch sends the mail (ROLLED BACK) to `mail_to` and `stakeholders`."
    )
    if made := rolled_back.made_before(pipeline, entry):
        echo(
            f"Published predictions of {made[0]} to {made[-1]} ({len(made)} days) were made before it, and say so."
        )
    for day in status.to_score_again(pipeline):
        echo(
            f"{day} is still in time: {pipeline.pipeline}_reconcile has it scored again, or trigger {pipeline.pipeline}_score for it."
        )
