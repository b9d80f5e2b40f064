"""The process that rehearses, in an environment of its own: see `sluice_lab.rehearsal.command`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from sluice.core.errors import SluiceError
from sluice.core.progress import timed
from sluice.core.settings import settings
from sluice_lab.rehearsal import bench, runner, scenario_list


@click.command()
@click.argument("names", nargs=-1)
@click.option("--days", default=30)
@click.option("--keep", is_flag=True)
@click.option("--stop", is_flag=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path))
def main(names: tuple[str, ...], days: int, keep: bool, stop: bool, json_file: Path | None) -> None:
    started, say = time.monotonic(), timed(click.echo)
    try:
        if stop:
            bench.stop(settings().home.parent)
            return
        scenarios = [scenario_list.find(name) for name in names]
        results = []
        with bench.Bench(say, keep=keep) as stage:
            for scenario in scenarios:
                say(f"{scenario.name}: {scenario.title}")
                results.append(runner.rehearse(stage, scenario, say=say, days=days))
    except SluiceError as error:
        raise click.ClickException(str(error)) from error
    for result in results:
        click.echo(f"\n{result.report()}")
    if json_file:
        json_file.write_text(json.dumps([result.as_json() for result in results], indent=2), encoding="utf-8")
    failed = [result.scenario.name for result in results if not result.passed]
    click.echo(
        f"\n{len(results) - len(failed)} of {len(results)} passed in {time.monotonic() - started:.0f} s"
    )
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
