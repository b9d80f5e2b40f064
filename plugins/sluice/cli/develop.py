"""Commands for those who change a pipeline or this repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sluice.cli import arguments
from sluice.cli.output import Group, as_json, echo, print_json
from sluice.core.progress import timed
from sluice.declare import spec

if TYPE_CHECKING:
    from sluice.lake.inputs import CodeChange


@click.command()
@click.argument("pipeline", type=arguments.DECLARED_NAME, required=False)
def check(pipeline: str | None) -> None:
    """Check settings, pipelines (or one PIPELINE), suites, dbt models and their unit tests; no data is touched.

    What is left for a person to fill in, `"?"`, is counted, and what the model card lacks is named; neither is a problem.
    """
    from sluice.status import machines
    from sluice.status.check import approved_alone, check_all, gaps, unstated

    problems = checked = 0
    for what, error in check_all(pipeline):
        checked += 1
        echo(f"{'ok     ' if error is None else 'PROBLEM'}  {what}{'' if error is None else f': {error}'}")
        problems += error is not None
    for name, left in gaps(pipeline).items():
        echo(f'gaps     pipeline {name}: {left} "?" in {name}.yml for a person to fill in')
    for name, missing in unstated(pipeline).items():
        echo(f"note     model of {name}: not stated, and so missing in its card: {', '.join(missing)}")
    for name in approved_alone(pipeline):
        echo(
            f"note     model of {name}: it is critical, and whoever started its training may approve it (releases.self_approval is allow)"
        )
    if said := machines.sentence():
        echo(f"note     settings {said}")
    if problems:
        raise click.ClickException(f"{problems} of {checked} checks found problems")


@click.command(name="backtest")
@arguments.pipeline
@click.argument("first", type=arguments.DAY)
@click.argument("last", type=arguments.DAY)
@click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another YAML of the pipeline, whose `model` and `monitoring` are tried; default: the declared ones.",
)
@click.option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML list of faults to inject, each alone, to see when and by which name monitoring finds them. Kinds: ranking, power, labels, missing "
    "(docs/models.md, Trying a policy on history, tells what each does).",
)
@click.option(
    "--out",
    type=arguments.OUTPUT_FOLDER,
    help="Folder of `days.csv`, `index.html` and `year.svg`; default: backtest/FIRST_LAST in the home folder.",
)
@as_json
def backtest_command(
    pipeline: spec.Pipeline,
    first: str,
    last: str,
    policy: Path | None,
    faults: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Replay training, promotion and monitoring from FIRST to LAST over published history, under the declared policy or another.

    Each training is said before it begins, and may take minutes. Trained models are kept (backtest/candidates in the home folder): when it is
    interrupted and asked again, it trains only what is not there yet.
    """
    from sluice.core.settings import settings
    from sluice.models import backtest, backtest_faults

    tried = spec.parse(policy, name=pipeline.pipeline) if policy else pipeline
    injected = backtest_faults.read(faults, tried) if faults else []
    folder = out or settings().home / "backtest" / f"{first}_{last}"
    say = timed(lambda line: echo(line, err=True))
    try:
        summary = backtest.run(pipeline, tried, first, last, folder, say, injected)
    except KeyboardInterrupt:
        say(
            "interrupted: nothing is written, and each model that was trained is kept; the same command again goes on with them"
        )
        raise
    if as_json:
        print_json(summary)
    else:
        for line in backtest.lines(summary):
            echo(line)
        echo(folder / backtest.PAGE)


@click.command()
@arguments.pipeline
@click.argument("table", type=arguments.TABLE, required=False)
@as_json
def diff(pipeline: spec.Pipeline, table: str | None, as_json: bool) -> None:
    """Make the last published day of each derived table and of the predictions (or of TABLE) again with the code as it is, and show
    what would change.

    SLUICE_DBT_PROJECT names another dbt project. Ends with 1 where a gate would hold it, or where the day cannot be made.
    """
    from sluice.gates.code_change import sentence
    from sluice.models import code_change as scoring
    from sluice.models import scorer
    from sluice.transform import code_change, project

    made = [name for name in pipeline.tables if name not in pipeline.sources]
    if table and table not in made:
        raise click.UsageError(
            f"{table} is a source, whose rows no code makes. Allowed: {', '.join(made) or 'there is none'}."
        )
    if table != spec.PREDICTIONS and pipeline.derived:
        project.require_unit_tests(pipeline)

    def compare(name: str) -> CodeChange | None:
        if name != spec.PREDICTIONS:
            return code_change.compare(pipeline, name)
        model = scorer.choose(pipeline).model
        return scoring.compare(pipeline, model) if model else None

    found = {name: compare(name) for name in ([table] if table else made)}
    if as_json:
        print_json(found)
    else:
        for name, change in found.items():
            echo(
                f"{name}: {sentence(change, show=pipeline.may_quote(name)) if change else 'nothing with rows is published, or by the baseline'}"
            )
    limits = {name: pipeline.max_changed_by_code(name) for name in found}
    if any(
        change and ((change.problem and not change.inputs_gone) or change.share > limits[name])
        for name, change in found.items()
    ):
        sys.exit(1)


@click.group(cls=Group)
def suite() -> None:
    """Show the rules of a table, take those of an existing suite, or measure how close published days came to their limits."""


@suite.command()
@arguments.pipeline
@click.argument("table", type=arguments.TABLE)
@as_json
def show(pipeline: spec.Pipeline, table: str, as_json: bool) -> None:
    """Show each rule of a table's suite with its severity, owner, type and arguments; `--json` has the reasons, too."""
    from sluice.gates import listing

    found = listing.rules(pipeline, table)
    if as_json:
        print_json({"pipeline": pipeline.pipeline, "table": table, "rules": found})
    else:
        for line in listing.lines(found):
            echo(line)


@suite.command()
@arguments.pipeline
@click.argument("table", type=arguments.TABLE)
@as_json
def measure(pipeline: spec.Pipeline, table: str, as_json: bool) -> None:
    """Ask each rule that compares with history about all published days: how close each came to its limit, and how often it fails."""
    from sluice.gates import measuring

    found = measuring.measure(pipeline, table)
    if as_json:
        print_json({"pipeline": pipeline.pipeline, "table": table, "rules": list(found)})
        return
    one = None
    for one in found:
        echo(one.sentence())
    if one is None:
        echo(f"No rule of {pipeline.pipeline}.{table} compares with history or with another table.")


@suite.command("import")
@arguments.pipeline
@click.argument("table", type=arguments.TABLE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@as_json
def import_suite(pipeline: spec.Pipeline, table: str, file: Path, as_json: bool) -> None:
    """Add the expectations of FILE, a suite of Great Expectations (1.x or 0.18), to the suite of TABLE, as rules that only warn.

    Rules that are there are not touched. Ends with 1 where an expectation was not taken.
    """
    from sluice.scaffold import importing

    found = importing.take(pipeline, table, file)
    if as_json:
        print_json(found)
    else:
        for what, names in (("taken", found.taken), ("there already", found.already)):
            for name in names:
                echo(f"{what}: {name}")
        for one in found.refused:
            echo(f"NOT TAKEN: {one.sentence()}")
        echo(
            f"{len(found.taken)} taken into {found.path}, {len(found.already)} there already, {len(found.refused)} not taken."
        )
    if found.refused:
        sys.exit(1)


@click.command()
@arguments.pipeline
@click.argument("table", type=arguments.TABLE, required=False)
@click.option("--write", is_flag=True, help="Change the suites; otherwise the diff is only printed.")
@click.option("--loosen", is_flag=True, help="Propose what would let more through, too.")
@as_json
def profile(pipeline: spec.Pipeline, table: str | None, write: bool, loosen: bool, as_json: bool) -> None:
    """Propose the numeric bounds of the rules of TABLE, or of all tables, again from what is published, as a diff of the suites.

    Standard output has the diff; standard error says of each bound from what to what it changes, and of others why not.
    """
    from sluice.core.errors import TableMissingError
    from sluice.gates import suite_text
    from sluice.scaffold import proposals

    found = {}
    for name in [table] if table else pipeline.tables:
        try:
            found[name] = proposals.propose(pipeline, name, loosen=loosen)
        except TableMissingError as error:
            if table:
                raise
            echo(error, err=True)
    for name, one in found.items():
        for line in [] if as_json else one.diff():
            echo(line)
        for line in one.summary():
            echo(f"{name}: {line}", err=True)
        if write and one.changes:
            echo(f"wrote {suite_text.write(pipeline, name, one.new)}", err=True)
    if as_json:
        print_json(found)


@click.command()
@arguments.pipeline
def docs(pipeline: spec.Pipeline) -> None:
    """Render the dbt documentation as one page that the Airflow UI serves."""
    from sluice import transform
    from sluice.lake import evidence

    echo(evidence.address(transform.docs(pipeline)))


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def airflow(arguments: tuple[str, ...]) -> None:
    """Run Airflow's own command line against the local stack, for example `sluice airflow dags list`."""
    from sluice.local import stack

    stack.airflow(*arguments)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def find_value(folder: Path) -> None:
    """Name every place under FOLDER that knows a value, such as a person's name; it is read from standard input.

    Ends with 1 if there is one. Tables, databases, archives and mails are read as what they are.
    """
    from sluice.local.find_value import SHORTEST, find_value

    # As bytes: a name must not depend on the terminal's locale.
    try:
        value = sys.stdin.buffer.readline().decode().strip()
    except UnicodeDecodeError as error:
        raise click.ClickException("The value on standard input must be text in UTF-8.") from error
    if len(value) < SHORTEST:
        raise click.ClickException(f"The value on standard input must have {SHORTEST} characters or more.")
    places = find_value(folder, {"the value": value})
    for place in places:
        echo(place)
    if places:
        sys.exit(1)
    echo(f"Nothing under {folder} knows it.")
