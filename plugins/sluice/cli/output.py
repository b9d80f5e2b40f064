"""What the commands print: a line at a time, in which nothing that was delivered can act on the terminal; or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import click
from pydantic_core import to_jsonable_python

from sluice.core.errors import SluiceError
from sluice.core.printable import printable
from sluice.declare import spec

as_json = click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")


def echo(line: object, *, err: bool = False) -> None:
    """Print one line, to standard error where `err` says so; a line break inside it, as in a file's name, is shown as an escape."""
    click.echo(printable(str(line)), err=err)


def print_json(found: object) -> None:
    """Print dataclasses, models, instants and days as JSON; what is not ASCII is escaped."""
    click.echo(json.dumps(to_jsonable_python(found), indent=2))


class Group(click.Group):
    """A group of commands whose help has the summary of each as a whole; click cuts them off at 45 characters or so."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_section(formatter, "Commands", list(self.commands.values()))

    def format_section(
        self, formatter: click.HelpFormatter, title: str, commands: list[click.Command]
    ) -> None:
        with formatter.section(title):
            formatter.write_dl([(str(each.name), each.get_short_help_str(limit=200)) for each in commands])


def for_each(pipeline: spec.Pipeline | None, work: Callable[[spec.Pipeline], None]) -> bool:
    """Work on one pipeline, or on all; return whether it was possible for each.

    Of all, one that cannot be worked on is named on standard error, and the others are worked on.
    """
    problems: dict[str, SluiceError] = (
        {} if pipeline else {each.pipeline: each.error for each in spec.broken_pipelines()}
    )
    for declared in [pipeline] if pipeline else spec.load_all():
        try:
            work(declared)
        except SluiceError as error:
            if pipeline:
                raise
            problems[declared.pipeline] = error
    for name, problem in problems.items():
        echo(f"{name} is left out: {problem}", err=True)
    return not problems
