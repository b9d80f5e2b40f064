"""`python -m benchmarks.monitoring`: measure the clean year, from which the limits of monitoring were chosen.

Three champions, each trained on what was known on its morning, score the days until the next one. Of each day is measured what
monitoring decides from; then years are drawn from these days, in blocks of a week, with the losses that must be found and without.
`SLUICE_HOME` must be an empty folder, or one in which this or `sluice mutate` made the clean year.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from sluice.core.partitions import days_between
from sluice.core.progress import timed
from sluice.declare import spec
from sluice_lab.mutation import year
from sluice_ml.config import CusumConfig, MonitoringConfig
from sluice_ml.cumulated import calibration_gap, lead, of_calibration, of_performance, usual_lead
from sluice_ml.monitored_day import DayNumbers

if TYPE_CHECKING:
    import pyarrow as pa

# The champions' mornings; each scores until the next one's day.
MORNINGS = ("2013-04-01", "2013-07-01", "2013-10-01")
END = "2013-12-29"
# Years that are drawn, days of one, days that are drawn together, and days that the champion's own lead was measured on.
YEARS, DAYS, BLOCK, HELD_OUT = 1000, 365, 7, 14


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--drift-every", default=15, show_default=True, help="Compare the features of each so many days."
)
def main(out: Path, drift_every: int) -> None:
    """Measure the clean year into OUT (JSON lines, one a day) unless it is there, and print what the limits come to."""
    say = timed(click.echo)
    if not out.is_file():
        year.ensure(say)
        flights = spec.load(year.PIPELINE)
        lines = []
        for morning, following in zip(MORNINGS, [*MORNINGS[1:], END], strict=True):
            say(f"champion of {morning}")
            lines += list(_measure(flights, morning, following, drift_every))
        out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    for line in _told(lines):
        click.echo(line)


def _measure(flights: spec.Pipeline, morning: str, end: str, drift_every: int) -> Iterator[dict[str, Any]]:
    import pyarrow.compute as pc

    from sluice.lake import tables
    from sluice.models import trainset
    from sluice.models.config import model_config, monitoring_config
    from sluice_ml.measuring import quality
    from sluice_ml.model import load
    from sluice_ml.monitored_day import assemble
    from sluice_ml.reports import measure
    from sluice_ml.scoring import score
    from sluice_ml.training import fit

    declared, config, monitoring = flights.model, model_config(flights), monitoring_config(flights)

    def scan(table: str, first: str, last: str) -> pa.Table:
        return tables.scan(flights.pipeline, table, first, last)

    names = (declared.features_table, declared.outcomes_table)
    snapshots = {table: tables.snapshot_id(flights.pipeline, table) or 0 for table in names}
    candidate = fit(trainset.read(flights, morning, snapshots).rows, config)
    ahead = candidate.meta.lead
    model = load(candidate.content, candidate.meta, threads=config.threads)
    learned = candidate.meta.fitted_on
    reference = scan(declared.features_table, learned["first"], learned["last"])
    last = (date.fromisoformat(end) - timedelta(days=1)).isoformat()
    features, outcomes = (scan(table, morning, last) for table in names)
    for number, day in enumerate(days_between(morning, last)):
        mine, known = (
            one.filter(pc.equal(one["ds"], date.fromisoformat(day))) for one in (features, outcomes)
        )
        at = datetime.fromisoformat(f"{day}T08:00:00").replace(tzinfo=UTC)
        scored = score(
            mine.to_batches(),
            model,
            key=config.key,
            name=config.name,
            version=1,
            feature_snapshot_id=1,
            run_id="benchmark",
            scored_at=at,
        )
        rows = assemble(mine, scored, known, config)
        if number % drift_every == 0:
            with tempfile.TemporaryDirectory() as folder:
                numbers = measure(
                    rows,
                    reference,
                    model=config,
                    config=monitoring,
                    folder=Path(folder),
                    importance=model.gains(),
                ).as_dict()
                numbers["bytes"] = sum(path.stat().st_size for path in Path(folder).iterdir())
        else:
            labelled = rows.num_rows - rows[config.label].null_count
            numbers = {**_UNCOMPARED, "ds": day, "rows": rows.num_rows, "labelled": labelled}
            numbers |= {"coverage": labelled / rows.num_rows, **quality(rows, config)}
            numbers["score_mean"] = float(rows["score"].to_numpy().mean())
        yield {"morning": morning, "champion_lead": ahead, **numbers}


_UNCOMPARED: dict[str, Any] = {
    "model_version": "1",
    "compared": 0,
    "drift_share": 0.0,
    "left_out": {},
    "sampled_rows": 0,
    "reference_rows": 0,
}


def _told(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the measured days come to, and what the limits that are declared would have done on them."""
    from sluice.models.config import monitoring_config

    limits = monitoring_config(spec.load(year.PIPELINE))
    days = [DayNumbers.from_dict(line) for line in lines]
    leads = np.array([lead(day) for day in days], dtype="float64")
    gaps = np.array([calibration_gap(day) for day in days], dtype="float64")
    own = leads.copy()
    yield f"{len(days)} days; lead over the baseline {_shape(leads)}; calibration of a day {_shape(gaps)}"
    for morning in MORNINGS:
        mine = np.array([line["morning"] == morning for line in lines])
        own[mine] -= leads[mine].mean()
        held_out = lines[int(mine.argmax())]["champion_lead"]
        yield (
            f"champion of {morning}: lead {_shape(leads[mine])}, on its held-out days {held_out:+.3f}; "
            + _as_it_was([day for day, is_mine in zip(days, mine, strict=True) if is_mine], held_out, limits)
        )
    yield f"a day's lead from its champion's mean: {_shape(own)}"
    yield f"coverage: least {min((day.coverage, day.ds) for day in days)}"
    off = [day.estimated_auc - day.auc for day in days if day.estimated_auc and day.auc]
    yield f"estimated less realised AUC: {_shape(np.array(off))}"
    compared = [day for day in days if day.shift is not None]
    yield f"largest shift of {len(compared)} days: {max((day.shift, day.ds) for day in compared)}"
    yield f"broken pipes: {[(day.ds, dict(day.broken)) for day in compared if day.broken]}"
    rng = np.random.default_rng(0)
    known = _draw(own, HELD_OUT + limits.lead_days, rng).mean(axis=1)[:, None]
    losses = known - _draw(own, DAYS, rng)
    yield f"performance: {_share(losses, limits.performance)} of drawn years have an alarm"
    for name, loss in _LOSSES.items():
        yield f"  {name}: {_delay(losses + loss, limits.performance)}"
    for side, sign in (("too low", 1), ("too high", -1)):
        off_by = sign * _draw(gaps, DAYS, rng)
        yield f"calibration, scores {side}: {_share(off_by, limits.calibration)} of drawn years have an alarm"
        for size in (1.4, 2.0, 3.6):
            yield f"  by {size} in log-odds: {_delay(off_by + size, limits.calibration)}"


_LOSSES: dict[str, Any] = {
    "0.07 every day": 0.07,
    "0.13 every second day": 0.13 * (np.arange(DAYS) % 2),
    "0.10 every day": 0.10,
    "0.15 every day": 0.15,
}


def _as_it_was(days: Sequence[DayNumbers], held_out: float, limits: MonitoringConfig) -> str:
    """What a champion's days would have led to, each judged by what was known on it."""
    alarms, highest = [], 0.0
    for number, day in enumerate(days, 1):
        usual = usual_lead(days[:number], held_out, HELD_OUT, limits.lead_days)
        found = of_performance(days[:number], usual, limits.performance)
        highest = max(highest, found.value)
        alarms += [day.ds] if found.is_alarm else []
    endless = replace(limits.calibration, limit=1e9)
    low, high = (
        max(of_calibration(days[:number], endless)[side].value for number in range(1, len(days) + 1))
        for side in (0, 1)
    )
    first = f"first alarm {alarms[0]}" if alarms else "no alarm"
    return f"{first}, highest sum {highest:.2f}; calibration, highest sums {low:.1f} and {high:.1f}"


def _draw(values: np.ndarray, days: int, rng: np.random.Generator) -> np.ndarray:
    """Days of YEARS years, in blocks, so that what lasts for some days lasts in a drawn year too."""
    starts = rng.integers(0, len(values) - BLOCK + 1, (YEARS, -(-days // BLOCK)))
    drawn: np.ndarray = values[starts[:, :, None] + np.arange(BLOCK)].reshape(YEARS, -1)[:, :days]
    return drawn


def _over(losses: np.ndarray, config: CusumConfig) -> np.ndarray:
    """Whether the sum of each day of each year is an alarm."""
    value, found = np.zeros(len(losses)), np.zeros(losses.shape, bool)
    for day in range(losses.shape[1]):
        value = np.clip(value + losses[:, day] - config.slack, 0, 2 * config.limit)
        found[:, day] = value >= config.limit
    return found


def _share(losses: np.ndarray, config: CusumConfig) -> str:
    return f"{_over(losses, config).any(axis=1).mean():.1%}"


def _delay(losses: np.ndarray, config: CusumConfig) -> str:
    over = _over(losses, config)
    days = np.where(over.any(axis=1), over.argmax(axis=1) + 1, np.inf)
    return f"median {np.quantile(days, 0.5, method='higher'):.0f} days, 90% {np.quantile(days, 0.9, method='higher'):.0f} days"


def _shape(values: np.ndarray) -> str:
    return f"{values.mean():+.3f} ± {values.std():.3f} ({values.min():+.3f} to {values.max():+.3f})"


if __name__ == "__main__":
    main()
