"""The process that measures the robustness curve, in a home of its own: see `sluice_lab.mutation.command`."""

from __future__ import annotations

from pathlib import Path
from random import Random

import click

from sluice.core.partitions import days_between, days_later
from sluice.core.progress import timed
from sluice.declare import spec
from sluice_lab.mutation import champion, curve, curve_report, year
from sluice_lab.mutation.corruptions import CORRUPTIONS

# The first damaged day is drawn from the four weeks after the champion was trained.
_WITHIN = 28


@click.command()
@click.argument("seed", type=int)
@click.argument("days", type=int)
@click.argument("out", type=click.Path(path_type=Path))
def main(seed: int, days: int, out: Path) -> None:
    say = timed(click.echo)
    year.ensure(say)
    flights = spec.load(year.PIPELINE)
    say(f"training the champion, as of {champion.TRAINED}")
    champion.train(flights, champion.TRAINED)
    chosen = _days(seed, days)
    measured = curve.measure(flights, seed, chosen, list(CORRUPTIONS.values()), say=say)
    curve_report.write(measured, out)
    click.echo("\n" + "\n".join(curve_report.lines(measured)) + f"\n\n{out / 'report.md'}")


def _days(seed: int, count: int) -> list[str]:
    """Run days in a row (YYYY-MM-DD), on which the champion is no older than eight weeks."""
    rng = Random(f"{seed}/days")  # noqa: S311 - reproducible on purpose
    first = days_later(champion.TRAINED, rng.randint(1, _WITHIN))
    return days_between(first, days_later(first, count - 1))


if __name__ == "__main__":
    main()
