"""`sluice new`: a pipeline from a sample of its data."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from sluice.cli.arguments import TEXT
from sluice.cli.output import echo
from sluice.core.errors import SampleRefusedError

# A source's name before its file.
_NAMED = re.compile(r"([a-z][a-z0-9_]*)=(.+)", re.DOTALL)
_OF_SOURCE = "; with several sources: SOURCE=..."


@click.command()
@click.argument("name", type=TEXT)
@click.option(
    "--from",
    "samples",
    type=TEXT,
    multiple=True,
    required=True,
    help="A sample file, or SOURCE=FILE; once a source.",
)
@click.option("--data-only", is_flag=True, help="Without a model; nothing else can be written yet.")
@click.option("--timezone", "zone", type=TEXT, default="UTC", show_default=True, help="Zone of its days.")
@click.option(
    "--day-column", type=TEXT, multiple=True, help=f"Column with the day of a row, or none{_OF_SOURCE}."
)
@click.option("--key", type=TEXT, multiple=True, help=f"Columns of the key, with commas{_OF_SOURCE}.")
@click.option("--cadence", type=TEXT, multiple=True, help=f"daily or weekly{_OF_SOURCE}.")
@click.option(
    "--lag-days", type=TEXT, multiple=True, help=f"Days from the data to the run that lands it{_OF_SOURCE}."
)
@click.option(
    "--as-text", type=TEXT, multiple=True, help=f"Column that is text whatever it holds{_OF_SOURCE}."
)
@click.option("--owner", type=TEXT, default="", help="Who owns it.")
@click.option("--mail", "mails", type=TEXT, multiple=True, help="Address that its mails go to.")
@click.option(
    "--clock",
    type=click.Choice(["wall", "feed"]),
    help="Default: wall, or feed where the sample is older than a week.",
)
def new(
    name: str,
    samples: tuple[str, ...],
    data_only: bool,
    zone: str,
    day_column: tuple[str, ...],
    key: tuple[str, ...],
    cadence: tuple[str, ...],
    lag_days: tuple[str, ...],
    as_text: tuple[str, ...],
    owner: str,
    mails: tuple[str, ...],
    clock: str | None,
) -> None:
    """Write the pipeline NAME from samples of its data: its YAML, its suites and a README with the next commands.

    What no flag says is asked, with a proposal that is measured; without a terminal the proposals count.
    """
    from sluice import scaffold

    if not data_only:
        raise SampleRefusedError(
            "A pipeline with a model cannot be written yet.",
            allowed="--data-only",
            todo="add --data-only; docs/add-a-pipeline.md says how a model is added by hand",
        )
    scaffold.require_free(name)
    files = _files(samples)

    def one_each(flag: str, values: tuple[str, ...]) -> dict[str, str]:
        return {source: found[-1] for source, found in scaffold.by_source(flag, values, files).items()}

    given = scaffold.Given(
        owner=owner,
        mails=mails,
        zone=zone,
        clock=clock or "",
        day_columns=one_each("--day-column", day_column),
        keys=one_each("--key", key),
        cadences=one_each("--cadence", cadence),
        lags=one_each("--lag-days", lag_days),
        as_text=scaffold.by_source("--as-text", as_text, files),
    )
    answers = scaffold.collect_answers(name, files, given, _ask)
    written = scaffold.write(answers)
    for path in written:
        echo(f"wrote {path}")
    echo(f"{written[1]} says what comes next: the three commands, and what a person has to review.")


def _ask(question: str, proposal: str) -> str:
    """Ask a person; without a terminal the proposal is the answer."""
    if not sys.stdin.isatty():
        echo(f"{question}: {proposal or '(no answer)'}")
        return proposal
    return click.prompt(question, default=proposal or None, type=TEXT)


def _files(samples: tuple[str, ...]) -> dict[str, Path]:
    from sluice import scaffold

    files: dict[str, Path] = {}
    for given in samples:
        named = None if Path(given).exists() else _NAMED.fullmatch(given)
        path = Path(named[2] if named else given)
        source = named[1] if named else scaffold.source_name(path)
        if source in files:
            raise SampleRefusedError(
                f"Two samples are of the source {source!r}: {files[source]} and {path}.",
                allowed="one sample a source",
                todo="name them: --from one=FILE --from other=FILE",
            )
        files[source] = path
    return files
