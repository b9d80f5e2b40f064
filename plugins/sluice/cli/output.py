"""What the commands print: a line at a time, in which nothing that was delivered can act on the terminal."""

from __future__ import annotations

import click

from sluice.printable import printable


def echo(line: object, *, err: bool = False) -> None:
    """Print one line, to standard error where `err` says so; a line break inside it, as in a file's name, is shown as an escape."""
    click.echo(printable(str(line)), err=err)
