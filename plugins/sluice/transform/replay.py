"""Features of past days, rebuilt as of their own run: does a model look at what came later?

A run of a day sees of each source what was delivered until then: days up to its own, less the source's lag. A rebuild or a backfill
sees more, and a model that forgets a bound uses it; nothing else tells, because all rows are there and all are right. So days are
built again with today's models on what their run could see, and, if that is not what was published, on all that came later as well.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.core.errors import SluiceError
from sluice.core.partitions import days_later
from sluice.core.settings import settings
from sluice.lake import tables
from sluice.transform import project
from sluice.transform.runner import build_from_files

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice_ml.checks import Finding
    from sluice_ml.checks.replay import Replayed

# What came later: a week after the day has every day of the week, and every weekly delivery.
_LATER_DAYS = 7


def check(spec: Pipeline, run_day: str) -> Finding:
    """Replay the newest day that a training of `run_day` learns from, and the one in the middle of its days; see `sluice_ml.checks.replay`.

    These are days with rows.
    """
    from sluice_ml.checks import Finding, replay

    model = spec.model
    last = spec.data_day(model.outcomes_table, run_day)
    first = days_later(last, 1 - model.training_days)
    shown = tables.published(spec.pipeline, model.features_table, first, last)
    there = sorted(day for day, partition in shown.items() if partition.rows)
    days = sorted({there[len(there) // 2], there[-1]}) if there else []
    try:
        return replay.check({day: _replay(spec, day) for day in days})
    except Exception as error:  # noqa: BLE001 whatever it was, the decision has to record it, and must not promote
        # Another library's message may quote values of people.
        quotes = isinstance(error, SluiceError) or spec.may_quote(None)
        what = f"{type(error).__name__}{f': {error}' if quotes else ''}"
        return Finding("replay", "ERROR", f"replay could not be computed: {what}")


def _replay(spec: Pipeline, day: str) -> Replayed:
    from sluice_ml.checks import replay

    table, model = spec.model.features_table, spec.model
    columns = list(dict.fromkeys([*model.features.numeric, *model.features.categorical, model.baseline]))
    published = tables.scan(spec.pipeline, table, day, day, columns=[model.key, *columns])
    as_of = _build(spec, day, 0)
    unlike = replay.differing(published, as_of, model.key, columns)
    later = replay.differing(as_of, _build(spec, day, _LATER_DAYS), model.key, columns) if unlike else ()
    return replay.Replayed(as_of.num_rows, unlike, later)


def _build(spec: Pipeline, day: str, later_days: int) -> pa.Table:
    """A day of the features, from what its run could see and, if any, what came in so many days after."""
    table = spec.model.features_table
    run_day = spec.run_day(table, day)
    settings().work.mkdir(parents=True, exist_ok=True)
    # Kept where the build fails: the error names what is in it.
    folder, files = Path(tempfile.mkdtemp(prefix=f"{spec.pipeline}-replay-", dir=settings().work)), {}
    for source in project.sources(project.manifest(spec), spec, spec.derived[table].model):
        until = days_later(day, later_days) if later_days else spec.data_day(source, run_day)
        shown = tables.published(spec.pipeline, source, days_later(day, -spec.history_of(table)), until)
        files[source] = tables.local_files(shown, into=folder / "files" / source)
    rows = build_from_files(spec, table, day, day, files, workdir=folder).data
    shutil.rmtree(folder)
    return rows
