"""`sluice demo`, `up`, `down` and `airflow`: the stack on one machine."""

from __future__ import annotations

import sys

import click

from sluice.cli.output import echo
from sluice.settings import settings


@click.command()
def demo() -> None:
    """Run the whole loop on real data under the real scheduler, and check that it happened as told."""
    from rich.console import Console

    from sluice.local import demo

    # Wide enough for the table where the output is no terminal.
    if not demo.run(Console(highlight=False, width=None if sys.stdout.isatty() else 132)):
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

    if failed := stack.given_up():
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


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def airflow(arguments: tuple[str, ...]) -> None:
    """Run Airflow's own command line against the local stack, for example `sluice airflow dags list`."""
    from sluice.local import stack

    sys.exit(stack.airflow(*arguments))
