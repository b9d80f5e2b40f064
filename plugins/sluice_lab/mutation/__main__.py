"""The process that runs mutations, in a home of its own: see `sluice_lab.mutation.command`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sluice.core.progress import timed
from sluice.declare import spec
from sluice_lab.mutation import run, scores, transforms, year
from sluice_lab.mutation.command import GOALS
from sluice_lab.mutation.report import Report

# What damages a stage: `prepare` makes what it starts from, `mutate` and `clean` judge one case.
STAGES = {"files": run, "transform": transforms, "score": scores}


@click.command()
@click.argument("stage", type=click.Choice(list(STAGES)))
@click.argument("seed", type=int)
@click.argument("mutations", type=int)
@click.argument("clean", type=int)
@click.argument("out", type=click.Path(path_type=Path))
def main(stage: str, seed: int, mutations: int, clean: int, out: Path) -> None:
    say = timed(click.echo)
    chosen = STAGES[stage]
    chosen.prepare(say)
    flights = spec.load(year.PIPELINE)
    tried, drawn = [], []
    for number in range(mutations):
        case = chosen.mutate(flights, seed, number)
        tried.append(case)
        found = f"{case.stage} {case.outcome} {', '.join(case.rules[:2])}"
        share = "     " if case.share is None else f"{case.share:5.0%}"
        say(
            f"{number + 1:4d}/{mutations} {case.source} {case.run_day} {share} {case.mutator}: {case.did}: {found}"
        )
    for number in range(clean):
        case = chosen.clean(flights, seed, number)
        drawn.append(case)
        say(
            f"clean {number + 1:4d}/{clean} {case.source} {case.run_day} {case.outcome} {', '.join(case.rules)}"
        )
    report = Report(seed, tuple(tried), tuple(drawn), stage)
    report.write(out)
    click.echo("\n" + "\n".join(report.lines()) + f"\n\n{out / 'report.md'}")
    if report.caught_share < GOALS[stage] or report.false_alarms:
        sys.exit(1)


if __name__ == "__main__":
    main()
