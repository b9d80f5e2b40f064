"""Custom checks of monitoring: the SQL files of a pipeline, run over copies of its published tables.

`expectations/<pipeline>/monitoring/<name>.sql` is a check: its first comment says what it looks for, and its one `select` returns one row,
with `value` and the limits `low` and `high` (`sluice_ml.custom_checks`). It reads the published tables under their names, with the
monitored day and `monitoring.custom_check_days` before it; `getvariable('day')` is the monitored day.

The rule kept here: a check can do no harm, and cannot be left out in silence. It reads a copy, opened read-only, with no way to a file or the
network; its memory and its time are bounded; and whatever goes wrong is an ERROR of that check, while monitoring goes on.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import TYPE_CHECKING, Any

from sluice.core.errors import SluiceError, SpecInvalidError
from sluice.core.partitions import EARLIEST, days_later
from sluice.core.settings import settings
from sluice.core.sql import literal, quoted
from sluice.gates import history, suites
from sluice.gates.engine import MEMORY
from sluice.lake import tables
from sluice_ml.custom_checks import CustomCheck, judge, problem_of_columns

if TYPE_CHECKING:
    import duckdb

    from sluice.declare.spec import Pipeline

FOLDER, ENDING = "monitoring", ".sql"
# Seconds that one query, and all queries of a run together, may take: a task is ended after fifteen minutes.
QUERY_SECONDS, RUN_SECONDS = 60.0, 300.0
_NAME, _QUOTED = re.compile(r"[a-z][a-z0-9_]{0,59}"), re.compile(r"'[^']*'")
_FILE = "copied.duckdb"


@dataclass(frozen=True)
class Declared:
    """A file of the folder: what it looks for, its query and the tables that it names; `problem` says why it cannot be a check."""

    name: str
    sentence: str
    sql: str
    tables: frozenset[str] = frozenset()
    problem: str = ""


@dataclass
class Budget:
    """The seconds that are left for the checks of a run, of all days that it measures together."""

    seconds: float = RUN_SECONDS

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Take off what is done meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds -= time.monotonic() - began


def check(spec: Pipeline) -> None:
    """Check that every file of the folder is a check, as far as that can be known without rows.

    Raises:
        SpecInvalidError: lists every problem.
    """
    folder = _folder(spec)
    others = {path.name for path in folder.glob("*")} - {path.name for path in _files(spec)}
    problems = [f"{each.name}{ENDING}: {each.problem}" for each in declared(spec) if each.problem]
    problems += [f"{name} is no file {ENDING}, and nothing reads it" for name in sorted(others)]
    if _files(spec) and not spec.has_model:
        problems.append("a pipeline without a model is not monitored, and nothing runs its checks")
    if problems:
        raise SpecInvalidError(
            "; ".join(problems),
            where=str(folder),
            allowed=f"a file for each check: first a comment that says what it looks for, then one select over {', '.join(spec.tables)}",
            todo="correct the files, and run `sluice check`",
        )


def declared(spec: Pipeline) -> list[Declared]:
    """Read the files of the folder, by name."""
    import duckdb

    files = _files(spec)
    if not files:
        return []
    with duckdb.connect(config={"enable_external_access": False}) as con:
        for table in spec.tables:
            history.show_table(con, table, suites.columns_of(spec, table), [])
        _set(con, EARLIEST)
        found = [_read(spec, path, con) for path in files]
    names = [each.name.lower() for each in found]
    return [
        replace(each, problem=each.problem or "another file has the same name, but for capitals")
        if names.count(each.name.lower()) > 1
        else each
        for each in found
    ]


def run(spec: Pipeline, day: str, budget: Budget) -> tuple[CustomCheck, ...]:
    """Run each check for a monitored day, over the tables as they are published now."""
    if not _files(spec):
        return ()
    try:
        checks = declared(spec)
        with TemporaryDirectory(prefix="sluice-checks-") as scratch:
            read = sorted({table for each in checks for table in each.tables})
            snapshots = _copy(spec, day, read, Path(scratch))
            with _copied(day, Path(scratch)) as con:
                found = []
                for each in checks:
                    with budget.spending():
                        found.append(_run(con, each, snapshots, min(budget.seconds, QUERY_SECONDS)))
                return tuple(found)
    except Exception as error:  # noqa: BLE001 - each check says that it could not be computed, and monitoring goes on
        problem = f"its tables cannot be read: {_explained(error)}"
        return tuple(_failed(Declared(path.stem, "", ""), problem) for path in _files(spec))


def _folder(spec: Pipeline) -> Path:
    return settings().expectations / spec.pipeline / FOLDER


def _files(spec: Pipeline) -> list[Path]:
    return sorted(_folder(spec).glob(f"*{ENDING}"))


def _read(spec: Pipeline, path: Path, con: duckdb.DuckDBPyConnection) -> Declared:
    """Read a file, and bind its query to empty tables."""
    import duckdb

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Declared(path.stem, "", "", problem=f"it cannot be read: {error}")
    lines = itertools.takewhile(lambda line: line.startswith("--"), text.strip().splitlines())
    found = Declared(path.stem, " ".join(line.strip("- ") for line in lines).strip(), text)
    if not _NAME.fullmatch(path.stem):
        return replace(
            found, problem="its name may have small letters, digits and _, and begins with a letter"
        )
    if not found.sentence:
        return replace(
            found, problem="it does not begin with a comment (`-- ...`) that says what it looks for"
        )
    try:
        statements = con.extract_statements(text)
        if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
            return replace(found, problem="it is not one select statement")
        if problem := problem_of_columns(con.sql(text).columns):
            return replace(found, problem=problem)
    except duckdb.Error as error:
        return replace(found, problem=str(error).partition("\n")[0])
    # DuckDB tells which tables a query reads of some queries only: it cannot of those that join with `using`.
    words = set(re.findall(r"\w+", text.lower()))
    return replace(found, tables=frozenset(words & set(spec.tables)))


def _copy(spec: Pipeline, day: str, read: Sequence[str], folder: Path) -> dict[str, int]:
    """Copy these tables, each as of one snapshot, into a database; returns the snapshots."""
    import duckdb

    first = days_later(day, -spec.monitoring.custom_check_days)
    snapshots = {}
    with duckdb.connect(config=_limits(folder)) as con:
        con.execute("set timezone = 'UTC'")
        con.execute(f"attach {literal(str(folder / _FILE))} as copied")
        for table in read:
            snapshot = tables.snapshot_id(spec.pipeline, table)
            paths: list[str] = []
            if snapshot is not None:
                snapshots[table] = snapshot
                paths = tables.files(
                    spec.pipeline, table, first, day, into=folder / table, snapshot_id=snapshot
                )
            history.show_table(con, table, suites.columns_of(spec, table), paths)
            con.execute(f"create table copied.{quoted(table)} as from {quoted(table)}")
    return snapshots


@contextmanager
def _copied(day: str, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the copy so that a query can read it, and do nothing else."""
    import duckdb

    with duckdb.connect(str(folder / _FILE), read_only=True, config=_limits(folder)) as con:
        _set(con, day)
        con.execute("set enable_external_access = false")
        yield con


def _limits(folder: Path) -> dict[str, Any]:
    return {"threads": settings().threads, "memory_limit": MEMORY, "temp_directory": str(folder / "spilled")}


def _set(con: duckdb.DuckDBPyConnection, day: str) -> None:
    con.execute("set timezone = 'UTC'")
    con.execute(f"set variable day = date {literal(day)}")


def _run(
    con: duckdb.DuckDBPyConnection, check: Declared, snapshots: Mapping[str, int], seconds: float
) -> CustomCheck:
    import duckdb

    if check.problem:
        return _failed(check, check.problem)
    if seconds <= 0:
        return _failed(
            check, f"the checks before it took the {RUN_SECONDS:.0f} seconds that a run's checks have"
        )
    timer = Timer(seconds, con.interrupt)
    timer.start()
    try:
        cursor = con.execute(check.sql)
        columns, rows = [column[0] for column in cursor.description or ()], cursor.fetchmany(2)
    except duckdb.InterruptException:
        return _failed(check, f"it was stopped after {seconds:.0f} seconds")
    except Exception as error:  # noqa: BLE001 - told as what it is, and the other checks go on
        return _failed(check, _explained(error))
    finally:
        timer.cancel()
        timer.join()
    read = {table: snapshots[table] for table in sorted(check.tables) if table in snapshots}
    return CustomCheck(name=check.name, sentence=check.sentence, snapshots=read, **judge(columns, rows))


def _failed(check: Declared, problem: str) -> CustomCheck:
    return CustomCheck(name=check.name, sentence=check.sentence, state="ERROR", problem=problem)


def _explained(error: Exception) -> str:
    """The first line of an error without what stands in quotes: that may be a value, and of a person."""
    what = error.what if isinstance(error, SluiceError) else str(error).partition("\n")[0]
    return _QUOTED.sub("'...'", what)
