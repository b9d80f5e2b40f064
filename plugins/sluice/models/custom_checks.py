"""Custom checks of monitoring: the SQL files of a pipeline, run over copies of its published tables.

`expectations/<pipeline>/monitoring/<name>.sql` is a check: its first comment says what it looks for, and its one `select` returns one row,
with `value` and the limits `low` and `high` (`sluice_ml.custom_checks`). It reads the published tables under their names, with the
monitored day and `monitoring.custom_check_days` before it; `getvariable('day')` is the monitored day.

The rule kept here: a check can do no harm, and cannot be left out in silence. It reads a copy without personal data, opened read-only and
for it alone, with no way to a file or the network; its memory, its disk and its time are bounded; and whatever goes wrong is an ERROR of
that check, in words that quote no value, while monitoring goes on.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
# Seconds that one query may take, and those that copying and all queries of a run together may take, half of them for the run's own day:
# a task is ended after fifteen minutes.
QUERY_SECONDS, RUN_SECONDS = 60.0, 300.0
_OVER = "copying, and the checks before it, took the time that the checks of a run have"
# What a query may put on disk: ten times what it may hold in memory.
DISK = "10GB"
_NAME, _FILE = re.compile(r"[a-z][a-z0-9_]{0,59}"), "copied.duckdb"
# Functions of DuckDB 2.0 (`duckdb_functions()`) that change the instance or its log, some when they are bound, or run SQL of their own.
_REFUSED = re.compile(
    r"""\b((?:en|dis)able_(?:logging|profiling)|write_log|truncate_duckdb_logs|(?:force_)?checkpoint|query|json_execute_serialized_sql"""
    r"""|\w+_external_resource(?:_type)?)"?(?:\s|/\*.*?\*/|--[^\n]*\n)*\(""",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Declared:
    """A file of the folder: what it looks for, its query and the tables that it names; `problem` says why it cannot be a check."""

    name: str
    sentence: str
    sql: str
    tables: frozenset[str] = frozenset()
    problem: str = ""


@dataclass
class Copied:
    """The snapshots of the tables that were copied, and why others could not be."""

    snapshots: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


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
    others = {path.name for path in folder.glob("[!.]*")} - {path.name for path in _files(spec)}
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
    with (
        TemporaryDirectory(prefix="sluice-checks-") as scratch,
        duckdb.connect(config=_limits(Path(scratch))) as con,
    ):
        for table in spec.tables:
            columns, hidden = suites.columns_of(spec, table), _personal(spec, table)
            shown = {name: kind for name, kind in columns.items() if name.lower() not in hidden}
            history.show_table(con, table, shown, [])
        _set(con, EARLIEST)
        con.execute("set enable_external_access = false")
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
    checks = [Declared(path.stem, "", "") for path in _files(spec)]
    try:
        checks = declared(spec)
        with TemporaryDirectory(prefix="sluice-checks-") as scratch:
            read = sorted({table for each in checks for table in each.tables})
            copied = _copy(spec, day, read, Path(scratch), budget)
            found = []
            for each in checks:
                with budget.spending(), _copied(day, Path(scratch)) as con:
                    found.append(_run(con, each, copied, min(budget.seconds, QUERY_SECONDS)))
            return tuple(found)
    except Exception as error:  # noqa: BLE001 - each check says that it could not be computed, and monitoring goes on
        problem = f"its tables cannot be read: {_explained(error)}"
        return tuple(_failed(each, each.problem or problem) for each in checks)


def _folder(spec: Pipeline) -> Path:
    return settings().expectations / spec.pipeline / FOLDER


def _files(spec: Pipeline) -> list[Path]:
    return sorted(_folder(spec).glob(f"[!.]*{ENDING}"))


def _read(spec: Pipeline, path: Path, con: duckdb.DuckDBPyConnection) -> Declared:
    """Read a file, and bind its query to empty tables."""
    import duckdb

    try:
        text = path.read_text(encoding="utf-8-sig")
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
    if refused := _REFUSED.search(text):
        return replace(found, problem=f"it calls {refused[1].lower()}, which no check may")
    words = set(re.findall(r"\w+", text.lower()))
    try:
        statements = con.extract_statements(text)
        if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
            return replace(found, problem="it is not one select statement")
        if problem := problem_of_columns(con.sql(text).columns):
            return replace(found, problem=problem)
    except duckdb.Error as error:
        personal = sorted(words & set().union(*(_personal(spec, table) for table in spec.tables)))
        why = f"; no check can read {', '.join(personal)}: personal data (`pii: true`)" if personal else ""
        return replace(found, problem=_explained(error) + why)
    # DuckDB tells which tables a query reads of some queries only: it cannot of those that join with `using`.
    return replace(found, tables=frozenset(words & set(spec.tables)))


def _personal(spec: Pipeline, table: str) -> set[str]:
    """Columns with personal data, in small letters; of a derived table those of any source, as it may have them all."""
    sources = [spec.sources[table]] if table in spec.sources else spec.sources.values()
    return {name.lower() for source in sources for name in source.contract.pseudonymised}


def _copy(spec: Pipeline, day: str, read: Sequence[str], folder: Path, budget: Budget) -> Copied:
    """Copy these tables, each as of one snapshot and without personal data, into a database."""
    import duckdb

    first, found = days_later(day, -spec.monitoring.custom_check_days), Copied()
    with duckdb.connect(config=_limits(folder)) as con:
        con.execute("set timezone = 'UTC'")
        con.execute(f"attach {literal(str(folder / _FILE))} as copied")
        for table in read:
            if budget.seconds <= 0:
                found.problems[table] = _OVER
                continue
            try:
                with budget.spending(), _ended_after(budget.seconds, con):
                    snapshot = tables.snapshot_id(spec.pipeline, table)
                    paths: list[str] = []
                    if snapshot is not None:
                        found.snapshots[table] = snapshot
                        paths = tables.files(
                            spec.pipeline, table, first, day, into=folder / table, snapshot_id=snapshot
                        )
                    history.show_table(con, table, suites.columns_of(spec, table), paths)
                    hidden = _personal(spec, table)
                    shown = [name for name in con.table(table).columns if name.lower() not in hidden]
                    columns = ", ".join(map(quoted, shown))
                    con.execute(
                        f"create table copied.{quoted(table)} as select {columns} from {quoted(table)}"  # noqa: S608
                    )
            except duckdb.InterruptException:
                found.problems[table] = _OVER
            except Exception as error:  # noqa: BLE001 - the checks that name it say so, and the others go on
                found.problems[table] = f"its table {table} cannot be read: {_explained(error)}"
    return found


@contextmanager
def _ended_after(seconds: float, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what the connection does then; DuckDB looks for that between batches of rows, not within one call of a function."""
    timer = Timer(seconds, con.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def _copied(day: str, folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the copy so that a query can read it, and do nothing else."""
    import duckdb

    with duckdb.connect(str(folder / _FILE), read_only=True, config=_limits(folder)) as con:
        _set(con, day)
        con.execute("set enable_external_access = false")
        yield con


def _limits(folder: Path) -> dict[str, Any]:
    return {
        "threads": settings().threads,
        "memory_limit": MEMORY,
        "temp_directory": str(folder / "spilled"),
        "max_temp_directory_size": DISK,
    }


def _set(con: duckdb.DuckDBPyConnection, day: str) -> None:
    con.execute("set timezone = 'UTC'")
    con.execute(f"set variable day = date {literal(day)}")


def _run(con: duckdb.DuckDBPyConnection, check: Declared, copied: Copied, seconds: float) -> CustomCheck:
    import duckdb

    if check.problem:
        return _failed(check, check.problem)
    snapshots = {table: copied.snapshots[table] for table in sorted(check.tables & set(copied.snapshots))}
    unread = [copied.problems[table] for table in sorted(check.tables & set(copied.problems))]
    if unread:
        return _failed(check, unread[0], snapshots)
    if seconds <= 0:
        return _failed(check, _OVER, snapshots)
    try:
        with _ended_after(seconds, con):
            cursor = con.execute(check.sql)
            columns, rows = [column[0] for column in cursor.description or ()], cursor.fetchmany(2)
    except duckdb.InterruptException:
        return _failed(check, f"it was stopped after {seconds:.0f} seconds", snapshots)
    except Exception as error:  # noqa: BLE001 - told as what it is, and the other checks go on
        return _failed(check, _explained(error), snapshots)
    return CustomCheck(**_about(check, snapshots), **judge(columns, rows))


def _failed(check: Declared, problem: str, snapshots: Mapping[str, int] | None = None) -> CustomCheck:
    return CustomCheck(**_about(check, snapshots or {}), state="ERROR", problem=problem)


def _about(check: Declared, snapshots: Mapping[str, int]) -> dict[str, Any]:
    digest = hashlib.sha256(check.sql.encode()).hexdigest() if check.sql else ""
    return {"name": check.name, "sentence": check.sentence, "snapshots": snapshots, "sql_sha256": digest}


def _explained(error: Exception) -> str:
    """What went wrong: DuckDB's own words where they are about the text of the query; others may quote a value, also of a person."""
    import duckdb

    if isinstance(error, SluiceError):
        return error.what
    if isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
        return str(error).partition("\n")[0]
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Exception"))
    return f"{kind.removesuffix('Error').strip()} Error, whose message may quote values and is not kept"
