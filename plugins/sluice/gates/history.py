"""What a batch is compared with: the published days before it, as the view `history`, and other tables' same days.

The rule kept here: history is what was published without a waiver.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sluice import waivers
from sluice.core.partitions import days_later
from sluice.core.sql import quoted
from sluice.lake import tables

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.spec import Pipeline
    from sluice.gates.suites import Rule
    from sluice.lake.batches import Manifest

# Parquet that is read once into memory instead of once a rule: some hundred thousand rows.
_SMALL_BYTES = 8 * 2**20


@contextmanager
def files(spec: Pipeline, manifest: Manifest, days: int) -> Iterator[list[str]]:
    """Local Parquet files of the published days that the batch is compared with: up to `days` before its first one.

    Days whose publication rests on a waiver are left out. Copies of a remote warehouse's files live as long as the
    context.
    """
    if not days:
        yield []
        return
    with TemporaryDirectory(prefix="sluice-history-") as scratch:
        yield unwaived_files(spec, manifest.table, _before(manifest, days), Path(scratch))


def uncompared(
    spec: Pipeline, manifest: Manifest, rules: Sequence[Rule], earlier: Sequence[str]
) -> list[str]:
    """Rules that hold, and for which there is too little history only because days before were published on a waiver.

    Args:
        earlier: what `files` gave for the longest history of the rules.
    """
    holding = [rule for rule in rules if rule.history_days and rule.meta.severity == "hold"]
    window = _before(manifest, max((rule.history_days for rule in holding), default=0))
    if len(earlier) >= len(window):
        return []
    waived = waivers.of_partitions(spec, manifest.table, window)
    found = []
    for rule in holding:
        own = window[-rule.history_days :]
        there = sum(any(path.endswith(f"ds={day}.parquet") for path in earlier) for day in own)
        if there < rule.min_days <= there + sum(day in waived for day in own):
            found.append(rule.meta.rule)
    return found


def _before(manifest: Manifest, days: int) -> list[str]:
    first = min(manifest.partitions)
    return [days_later(first, -back) for back in range(days, 0, -1)]


@contextmanager
def reference_files(
    spec: Pipeline, manifest: Manifest, names: Collection[str]
) -> Iterator[dict[str, list[str]]]:
    """As `files`, of other tables: their published files of the batch's own days, by table."""
    days = sorted(manifest.partitions)
    with TemporaryDirectory(prefix="sluice-reference-") as scratch:
        yield {name: unwaived_files(spec, name, days, Path(scratch) / name) for name in names}


def unwaived_files(spec: Pipeline, table: str, days: Sequence[str], scratch: Path) -> list[str]:
    """Local Parquet files of what is published of a table without a waiver, from the first of some days to the last."""
    scratch.mkdir(parents=True, exist_ok=True)
    found = tables.files(spec.pipeline, table, days[0], days[-1], into=scratch)
    waived = waivers.of_partitions(spec, table, days) if found else {}
    return [path for path in found if not any(path.endswith(f"ds={day}.parquet") for day in waived)]


def show(con: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Make `history`, with at least the columns of the view `batch`; those that a file lacks are null.

    It is a view over the files, unless they are small: opening them again for every rule then costs more than the rules.
    """
    read = "read_parquet($paths, hive_partitioning = false, can_have_nan = true, union_by_name = true)"
    columns = "select * from batch where false"
    if not paths:
        con.execute(f"create view history as {columns}")
        return
    # Both halves are written here.
    rows = con.sql(f"{columns} union all by name select * from {read}", params={"paths": list(paths)})  # noqa: S608
    if sum(Path(path).stat().st_size for path in paths) > _SMALL_BYTES:
        rows.create_view("history")
    else:
        rows.create("history")


def show_table(
    con: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, str], paths: Sequence[str]
) -> None:
    """Make a view of another table's files under its own name, with at least these columns (DuckDB types by name)."""
    empty = ", ".join(f"cast(null as {kind}) as {quoted(name)}" for name, kind in columns.items())
    query = f"select {empty} where false"
    if not paths:
        con.execute(f"create view {quoted(table)} as {query}")
        return
    read = "read_parquet($paths, hive_partitioning = false, can_have_nan = true, union_by_name = true)"
    # All of it is written here, or declared.
    rows = con.sql(f"{query} union all by name select * from {read}", params={"paths": list(paths)})  # noqa: S608
    rows.create_view(table)
