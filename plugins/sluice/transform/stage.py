"""Stage of a derived table: build its partitions with dbt, then write them where no reader looks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.errors import TableMissingError
from sluice.settings import settings
from sluice.transform import project
from sluice.transform.runner import build

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest
    from sluice.spec import Pipeline


def stage_derived(spec: Pipeline, table: str, run_days: Sequence[str], run: dict[str, str]) -> Manifest:
    """Build `table` for the runs of `run_days` and stage it.

    Raises:
        TableMissingError: an input is not published.
        TransformFailedError: a model or a test failed; the attempt's folder, named in the error, is kept.
    """
    from sluice.lake import batches

    partitions = [spec.data_day(table, day) for day in run_days]
    _require_days(spec, table, run_days)
    settings().work.mkdir(parents=True, exist_ok=True)
    workdir = Path(tempfile.mkdtemp(prefix=f"{spec.pipeline}-{table}-", dir=settings().work))
    result = build(spec, table, partitions[0], partitions[-1], workdir=workdir)
    manifest = batches.stage(
        spec.pipeline,
        table,
        result.data,
        partitions=partitions,
        received=result.received,
        dropped=result.dropped,
        inputs=result.inputs,
        run=run,
        sort_by=spec.derived[table].key,
    )
    shutil.rmtree(workdir)
    return manifest


def _require_days(spec: Pipeline, table: str, run_days: Sequence[str]) -> None:
    """Refuse a build that lacks the newest day of a daily source: it was held, or is not there yet.

    Without this, a run that somebody starts by hand would publish features that look one day further back.
    """
    from sluice.lake import tables

    for name in project.sources(project.manifest(), spec, spec.derived[table].model):
        if name not in spec.sources or spec.sources[name].cadence != "daily":
            continue
        day = spec.data_day(name, run_days[-1])
        if not tables.published(spec.pipeline, name, day, day):
            raise TableMissingError(
                f"{spec.pipeline}.{name} of {day} is not published.",
                where=f"{spec.pipeline}.{table} of {spec.data_day(table, run_days[-1])}, which is built from it",
                todo=f"look at the run of {spec.pipeline}_ingest for {run_days[-1]}: it is held, or has not run yet",
            )
