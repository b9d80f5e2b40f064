"""What a change of the dbt models changes: a published day, built again by today's models from the same inputs.

The rule kept here: what a person merges is seen in rows before readers see it. A batch of a derived table records a fingerprint of the
project that made it. Where that of the table's last publication is another one, its day is built again first, and the gate
holds the new batch where more has changed than is declared (`max_changed_by_code`), until somebody releases it. A project whose unit
tests do not pass makes no batch at all.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import BatchUnknownError, TableMissingError, TransformFailedError
from sluice.core.settings import settings
from sluice.lake import columns, diff, inputs, tables
from sluice.lake.inputs import CodeChange
from sluice.transform import project
from sluice.transform.runner import build_from_files, published_files

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest


def record(spec: Pipeline, table: str) -> dict[str, Any]:
    """For the manifest of a batch that is built now: the code that makes it, and what it changes where it is another one.

    Raises:
        TransformFailedError: its unit tests do not pass.
    """
    code, last = project.fingerprint(spec), tables.last_publication(spec.pipeline, table)
    change = None
    if spec.max_changed_by_code(table) < 1:
        project.require_unit_tests(spec)
        if last and any(made.fingerprint != code for made in inputs.of(last, inputs.Code)):
            change = compare(spec, table)
    return inputs.Code(fingerprint=code, change=change).record()


def compare(spec: Pipeline, table: str) -> CodeChange | None:
    """Build the last day that was published of a derived table again, from its inputs, with the models as they are now.

    Returns: what differs; None where nothing with rows is published, or it was cleared away.
    """
    last = tables.last_publication(spec.pipeline, table)
    if last is None:
        return None
    day = max((one for one in last.partitions if last.rows_by_partition[one]), default=last.partitions[-1])
    settings().work.mkdir(parents=True, exist_ok=True)
    # Kept where the build fails: the error names what is in it.
    folder = Path(tempfile.mkdtemp(prefix=f"{spec.pipeline}-code-", dir=settings().work))
    try:
        read = {
            one.table: tables.local_files(
                tables.published_to(last, one.table), into=folder / "files" / one.table
            )
            for one in inputs.of(last, inputs.Snapshot)
        }
        # What the models did not read then is read as it is published now.
        named = project.sources(project.manifest(spec), spec, spec.derived[table].model)
        others = [one for one in named if one not in read]
        back = spec.history_of(table)
        read |= published_files(spec, others, day, day, into=folder / "files", history_days=back)[0]
        rows = build_from_files(spec, table, day, day, read, workdir=folder).data
        found = _difference(spec, last, day, rows, folder)
    except TransformFailedError as error:
        return CodeChange(day=day, problem=str(error))
    except (BatchUnknownError, TableMissingError, FileNotFoundError) as error:
        found = CodeChange(day=day, problem=str(error), inputs_gone=True)
    shutil.rmtree(folder)
    return found


def _difference(spec: Pipeline, last: Manifest, day: str, rows: Any, folder: Path) -> CodeChange:
    import pyarrow.parquet as pq

    after = folder / "after.parquet"
    pq.write_table(columns.stored(rows, f"{last.pipeline}.{last.table}"), after)
    before = tables.local_files({day: tables.published_as(last, day)}, into=folder / "before")
    key = spec.derived[last.table].key
    found = diff.compare(before, [str(after)], key, examples=spec.may_quote(last.table))
    # What the platform says of a row is added after the models.
    found["columns_removed"] = [one for one in found["columns_removed"] if one not in columns.PLATFORM]
    return CodeChange(day=day, rows=last.rows_by_partition[day] + found["added"], diff=found)
