"""`python -m benchmarks`: run the benchmarks and end with one table."""

from __future__ import annotations

import importlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figure, Lab, Sample
from sluice.core.progress import timed

NAMES = ("parsing", "models", "gate", "age", "status", "day")


@click.command()
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Run this one only; may be repeated.")
@click.option("--quick", is_flag=True, help="Fewer repetitions, two days, no ten million rows.")
def main(only: tuple[str, ...], quick: bool) -> None:
    """Measure what the platform costs, as ratios against a floor in the same run. See docs/performance.md."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # In a file or a pipe the table is as wide as it needs to be.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)

    say = timed(lambda text: console.print(text, markup=False))
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as base:
        lab = Lab(Path(base), quick, say)
        for name in only or NAMES:
            figures += importlib.import_module(f"benchmarks.{name}").run(lab)
    console.print(_table(figures))


def _table(figures: list[Figure]) -> Table:
    shown = Table(
        title="Medians. Memory: peak, and in brackets what of it was added after the clock was started.",
        title_justify="left",
    )
    for name in ("measured / floor", "ratio", "measured", "memory", "floor", "memory", ""):
        shown.add_column(name, justify="left" if name in ("", "measured / floor") else "right")
    for figure in figures:
        shown.add_row(
            figure.name, f"{figure.ratio:.2f}", *_side(figure.measured), *_side(figure.floor), figure.says
        )
    return shown


def _side(samples: Sequence[Sample]) -> tuple[str, str]:
    seconds, start, peak = (
        median(getattr(s, name) for s in samples) for name in ("seconds", "start", "peak")
    )
    return f"{seconds:.3g} s", f"{peak:,.0f} MiB (+{peak - start:,.0f})"


if __name__ == "__main__":
    main()
