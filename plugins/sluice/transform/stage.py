"""Stage of a derived table: build its partitions with dbt, then write them where no reader looks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice import schedule
from sluice.core.errors import DayNotExpectedError, InputAwaitedError, TableMissingError
from sluice.core.partitions import Partition, date_of, days_from, days_later
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import stale_input
from sluice.lake.inputs import Freshness
from sluice.ledger import skips
from sluice.transform import code_change, project
from sluice.transform.runner import build

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice.lake.missing import MissingHistory


def stage_derived(spec: Pipeline, table: str, run_days: Sequence[str], run: Run) -> Manifest:
    """Build `table` for the runs of `run_days` and stage it.

    Raises:
        DayNotExpectedError: no such day is expected, and nothing came for it.
        TableMissingError: an input is not published; as InputAwaitedError, where the pipeline marks stale input and
            this table has to wait for it.
        TransformFailedError: a model or a test failed; the attempt's folder, named in the error, is kept.
    """
    from sluice.lake import batches, missing, waived
    from sluice.schedule import missing_history
    from sluice.waivers import inherited

    run_days = _expected(spec, table, run_days)
    partitions = [spec.data_day(table, day) for day in run_days]
    ages = _require_days(spec, table, run_days)
    if spec.missing_history_of(table).missing == "refuse":
        _require_history(spec, table, partitions)
    code = code_change.record(spec, table)
    settings().work.mkdir(parents=True, exist_ok=True)
    workdir = Path(tempfile.mkdtemp(prefix=f"{spec.pipeline}-{table}-", dir=settings().work))
    result = build(spec, table, partitions[0], partitions[-1], workdir=workdir)
    on_waivers = inherited.of_inputs(spec, table, partitions, result.inputs)
    lacking = missing_history.of_inputs(spec, table, partitions, result.inputs)
    where = f"{spec.pipeline}.{table}"
    manifest = batches.stage(
        spec.pipeline,
        table,
        missing.mark(waived.mark(result.data, on_waivers, where), lacking, where),
        partitions=partitions,
        received=result.received,
        dropped=result.dropped,
        unmatched=result.unmatched,
        rows_by_model=result.rows_by_model,
        inputs=[*result.inputs, *ages, code],
        waived_inputs=on_waivers,
        missing_history=lacking,
        run=run,
        sort_by=spec.derived[table].key,
    )
    shutil.rmtree(workdir)
    return manifest


def _expected(spec: Pipeline, table: str, run_days: Sequence[str]) -> list[str]:
    """Those of some run days whose day of a table is expected, or of whose day something is published all the same."""
    from sluice.lake import tables

    declared = schedule.read(spec)
    days = {run_day: spec.data_day(table, run_day) for run_day in run_days}
    own = origins(spec, table)
    found = [
        run_day
        for run_day, day in days.items()
        if declared.expects(table, date_of(run_day))
        or any(tables.published(spec.pipeline, name, day, day) for name in own)
    ]
    if not found:
        raise DayNotExpectedError(
            f"{spec.pipeline}.{table} has no {', '.join(days.values())}: its calendar does not expect it.",
            where=f"dags/pipelines/{spec.pipeline}.yml, `expected`",
            todo="nothing; or correct `expected`, if there should be data",
        )
    return found


def origins(spec: Pipeline, table: str) -> list[str]:
    """The tables of which one day makes a day of a derived table, also where none is expected."""
    if declared := spec.rows_from(table):
        return [declared]
    return [name for name in daily_sources(spec, table) if spec.lag_days(name) <= spec.lag_days(table)]


def daily_sources(spec: Pipeline, table: str) -> list[str]:
    """The daily sources that a derived table is built from."""
    return [
        name for name in reads(spec, table) if name in spec.sources and spec.sources[name].cadence == "daily"
    ]


def reads(spec: Pipeline, table: str) -> list[str]:
    """The published tables that a derived table is built from."""
    return project.sources(project.manifest(spec), spec, spec.derived[table].model)


def history_lacking(spec: Pipeline, table: str, partitions: Sequence[str]) -> list[MissingHistory]:
    """What further back than the newest day of each input is due, and may still come; whether the newest may be missing is
    `_require_days`' affair."""
    from sluice.schedule import missing_history

    first, run_day = days_later(partitions[0], -spec.history_of(table)), spec.run_day(table, partitions[-1])
    newest = {name: _newest(spec, name, spec.data_day(name, run_day)) for name in daily_sources(spec, table)}
    reads = [
        {
            "kind": "snapshot",
            "table": name,
            "snapshot_id": None,
            "first": first,
            "last": newest.get(name) or partitions[-1],
        }
        for name in project.sources(project.manifest(spec), spec, spec.derived[table].model)
    ]
    return missing_history.awaited(spec, missing_history.of_inputs(spec, table, partitions, reads))


def _require_history(spec: Pipeline, table: str, partitions: Sequence[str]) -> None:
    """Refuse a build over a hole."""
    lacking = history_lacking(spec, table, partitions)
    if lacking:
        run_days = [spec.run_day(each.table, day) for each in lacking for day in each.missing]
        raise TableMissingError(
            f"History that is due is not published: {'; '.join(each.named for each in lacking)}.",
            where=f"{spec.pipeline}.{table} {Partition.of(partitions)}, which looks back on it",
            allowed="a published day, with or without rows, for every day that is due",
            todo=f"look at the run of {spec.pipeline}_ingest for {min(run_days)}; or give the day up: `sluice skip {spec.pipeline} "
            f"{min(run_days)} --by NAME --why REASON`; {table} is then built without it, and says so",
        )


def _require_days(spec: Pipeline, table: str, run_days: Sequence[str]) -> list[dict[str, Any]]:
    """Refuse a build that lacks the newest day of a daily source: it was held, or is not there yet.

    Without this, a run that somebody starts by hand would publish features that look one day further back. A pipeline
    that declares `stale_input: mark` goes on with what is published of a source that lags behind the table, and records
    how old that is; so does every pipeline without a day that a person gave up.

    Returns: for the manifest, one `Freshness` a daily source.
    """
    ages = []
    for name in daily_sources(spec, table):
        expected, newest = newest_expected(spec, name, run_days[-1])
        if (newest or "") < expected:
            _refuse_unless_marked(spec, table, name, run_days, expected, newest)
        age = max(0, days_from(newest or expected, expected))
        ages.append(Freshness(table=name, expected=expected, newest=newest, age_days=age).record())
    return ages


def newest_expected(spec: Pipeline, source: str, run_day: str) -> tuple[str, str | None]:
    """The newest day of a source that its calendar has for a run day, and the newest that is published; the day of the run itself,
    where the calendar has none in the history."""
    declared, day = schedule.read(spec), spec.data_day(source, run_day)
    back = (days_later(day, -offset) for offset in range(spec.history_days + 1))
    expected = next(
        (one for one in back if declared.expects(source, date_of(spec.run_day(source, one)))), day
    )
    return expected, _newest(spec, source, day)


def _newest(spec: Pipeline, source: str, day: str) -> str | None:
    """The newest published day of a source that a build looks back on, up to one."""
    from sluice.lake import tables

    return max(
        tables.published(spec.pipeline, source, days_later(day, -spec.history_days), day), default=None
    )


def _refuse_unless_marked(
    spec: Pipeline, table: str, source: str, run_days: Sequence[str], expected: str, newest: str | None
) -> None:
    given_up = (source, expected) in skips.given_up(spec.pipeline)
    goes_on = stale_input.goes_on_without(spec, table, source, given_up=given_up)
    # Of several days, only the last would be marked.
    if newest and goes_on and len(run_days) == 1:
        return
    awaited = stale_input.may_lag(spec, source) and not goes_on
    raise (InputAwaitedError if awaited else TableMissingError)(
        f"{spec.pipeline}.{source} of {expected} is not published.",
        where=f"{spec.pipeline}.{table} of {spec.data_day(table, run_days[-1])}, which is built from it",
        todo=f"look at the run of {spec.pipeline}_ingest for {spec.run_day(source, expected)}: it is held, or has not run yet",
    )
