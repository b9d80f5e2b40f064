"""`sluice home` and `sluice migrate`: the home folder as a whole."""

from __future__ import annotations

from pathlib import Path

import click

from sluice.cli.output import Group, as_json, echo, print_json


@click.group(cls=Group)
def home() -> None:
    """Tell where the home folder (SLUICE_HOME) lies, make a copied or moved one independent, or back it up."""


@home.command(name="status")
@as_json
def home_status(as_json: bool) -> None:
    """Tell where the home lies and was made, who may read it, and what of this installation is outside of it."""
    from sluice.local.home import lines, read

    found = read()
    if as_json:
        print_json(found)
        return
    for line in lines(found):
        echo(line)


@home.command(name="adopt")
def home_adopt() -> None:
    """Make a copied or moved home a home of its own: it names nothing of the place where it was made any more."""
    from sluice.local.home import adopt

    for line in adopt():
        echo(line)


@home.command(name="backup")
@click.argument("folder", type=click.Path(path_type=Path))
def home_backup(folder: Path) -> None:
    """Copy the home to FOLDER, a new one, while it is in use."""
    from sluice.local.home import backup

    echo(f"Backed up to {backup(folder)}. docs/operations.md says how to restore it.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def migrate(dry_run: bool) -> None:
    """Bring what an earlier version made to this one: the databases' schemas; take a backup first."""
    from sluice.local import migration

    for line in migration.migrate(dry_run=dry_run):
        echo(line)
