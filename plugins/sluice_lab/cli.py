"""Commands that try things out: the demo, the replayed source system, and faults on purpose."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sluice.cli import arguments
from sluice.cli.arguments import DAY, OUTPUT_FILE, OUTPUT_FOLDER, SOURCE
from sluice.cli.output import echo
from sluice.core.progress import timed
from sluice.declare import spec


@click.command()
def demo() -> None:
    """Run the whole loop on real data under the real scheduler, and check that it happened as told."""
    from rich.console import Console

    from sluice_lab import demo

    # Wide enough for the table where the output is no terminal.
    if not demo.run(Console(highlight=False, width=None if sys.stdout.isatty() else 132)):
        sys.exit(1)


@click.command()
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
    from sluice_lab import feed as source_system

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


@click.command()
@click.argument("scenarios", nargs=-1)
@click.option("--list", "show", is_flag=True, help="Say what there is, and rehearse nothing.")
@click.option("--all", "everything", is_flag=True, help="All of them, one after another.")
@click.option(
    "--days",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Days of a scenario that has no fixed length.",
)
@click.option("--keep", is_flag=True, help="Leave its Airflow running, to look at it and to go on at once.")
@click.option("--stop", is_flag=True, help="Stop an Airflow that --keep left running.")
@click.option("--json", "json_file", type=OUTPUT_FILE, help="Write the results here too.")
def rehearse(
    scenarios: tuple[str, ...],
    show: bool,
    everything: bool,
    days: int,
    keep: bool,
    stop: bool,
    json_file: Path | None,
) -> None:
    """Try SCENARIOS (names, numbers such as S01, or files) on a healthy copy, in an Airflow of its own."""
    from sluice_lab.rehearsal import command, scenario_list

    if stop:
        sys.exit(command.stop())
    if show or not (scenarios or everything):
        for each in scenario_list.all_scenarios():
            echo(f"{each.name:32s} {each.title}")
        return
    names = scenario_list.names() if everything else list(scenarios)
    sys.exit(command.rehearse(names, days=days, keep=keep, json_file=json_file))


@click.command()
@click.argument("pipeline", type=arguments.PIPELINE, required=False)
@click.option(
    "--stage",
    type=click.Choice(["files", "transform", "score"]),
    help="Without a PIPELINE: damage deliveries (files, the default), the SQL of dbt models, or the predictions after they were scored.",
)
@click.option(
    "--seed", default=1, show_default=True, help="The same seed damages the same days in the same ways."
)
@click.option(
    "--mutations",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Deliveries or days to damage.",
)
@click.option(
    "--clean",
    type=click.IntRange(0),
    default=200,
    show_default=True,
    help="Deliveries or days to leave as they are.",
)
@click.option(
    "--out",
    type=OUTPUT_FOLDER,
    help="Folder for report.md, cases.jsonl and, with a PIPELINE, suggestions.json.",
)
def mutate(
    pipeline: spec.Pipeline | None, stage: str | None, seed: int, mutations: int, clean: int, out: Path | None
) -> None:
    """Damage clean data in random ways, and report what share of it is caught, where, and the false alarms.

    With a PIPELINE: the published days of its sources, asked of its own rules, and which rules would see what they miss; nothing is
    published or recorded. Without one: a stage of the example, in a home of its own. Ends with 1 below the goal, or with a false alarm.
    """
    from sluice_lab.mutation import command

    if pipeline is None:
        sys.exit(command.mutate(stage or "files", seed, mutations, clean, out))
    if stage:
        raise click.UsageError("--stage damages the example; leave PIPELINE out, or --stage.")
    found, code = command.mutate_published(pipeline, seed, mutations, clean, out, timed(echo))
    for line in ("", *found.read_text(encoding="utf-8").splitlines(), "", found):
        echo(line)
    sys.exit(code)


@click.command()
@click.option(
    "--seed", default=1, show_default=True, help="The same seed damages the same rows of the same days."
)
@click.option(
    "--days", default=3, show_default=True, type=click.IntRange(1, 28), help="Days in a row to damage."
)
@click.option("--out", type=OUTPUT_FOLDER, help="Folder for report.md, curve.jsonl and curve.svg.")
def robustness(seed: int, days: int, out: Path | None) -> None:
    """Damage days at increasing rates, and report the AUC of the predictions and the rate at which a gate fires."""
    from sluice_lab.mutation import command

    sys.exit(command.robustness(seed, days, out))


@click.command()
@click.option("--osv-url", help="Ask this OSV database for advisories instead of PyPI and OSV.")
def supply_chain(osv_url: str | None) -> None:
    """Check lock and repository: known vulnerabilities, licences, bill of materials, secrets, pickles.

    Ends with 0 if everything was checked and nothing found, 1 if something was found, and 3 if nothing was found but
    not everything could be checked, such as without a way to a database of advisories.
    """
    from sluice_lab.supply_chain import check_all, exit_code

    every = []
    for what, findings in check_all(services=[("osv", "--osv-url", osv_url)] if osv_url else None):
        for finding in findings:
            echo(f"{finding.kind.upper() if finding.kind != 'checked' else 'ok':11s}  {what}: {finding.says}")
        every += findings
    sys.exit(exit_code(every))
