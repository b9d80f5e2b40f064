"""`python -m sluice.transform`: prepare a database for a person who runs dbt by hand (see dbt_project/README.md)."""

from __future__ import annotations

import click

from sluice.core.settings import settings
from sluice.declare import spec
from sluice.transform import database, runner


@click.command()
@click.argument("pipeline")
@click.argument("start")
@click.argument("end")
def prepare(pipeline: str, start: str, end: str) -> None:
    """Write var/work/dbt.duckdb for the days START to END (YYYY-MM-DD) of PIPELINE."""
    declared = spec.load(pipeline)
    path = settings().work / database.FILE
    files, _ = runner.published_files(declared, list(declared.sources), start, end, into=settings().work)
    database.create(declared, start, end, files, path)
    for table, listed in files.items():
        click.echo(f"raw.{table}: {len(listed)} days")
    click.echo(str(path))


if __name__ == "__main__":
    prepare()
