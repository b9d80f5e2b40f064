"""Making a copied or moved home a home of its own: every path in it is that of its new place.

What names a path: Iceberg's metadata and catalog, the manifests of batches, evidence pages, MLflow's database, and
Airflow's configuration and database. The ledger names none, and is never touched: its chain would break. The original
is not read and not written. The identity is written last: a home whose adoption was interrupted is still refused, and
adopting it again finishes the work.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil

from sluice.core import identity
from sluice.core.errors import AdoptionRefusedError
from sluice.core.files import replacing
from sluice.core.settings import settings
from sluice.lake import relocate
from sluice.local.home.relocation import Relocation
from sluice.local.home.state import outside

# Process ids of the original's stack, and scratch folders of its attempts, with dbt's own paths in them.
_NOT_TAKEN_OVER = ("run", "work")
# Where texts name files of the home, as patterns.
_TEXTS = (
    "lake/*/*/data/*/*.json",
    "reports/**/*.html",
    "reports/**/*.json",
    "reports/**/*.md",
    "models/**/MLmodel",
    "airflow/airflow.cfg",
)
# The table by which a ledger is recognised.
_LEDGER = "sluice_ledger"
_SQLITE = b"SQLite format 3\0"


def adopt() -> Iterator[str]:
    """Make this process's home independent of the place where it was made; yields what was done, a line each.

    Raises:
        AdoptionRefusedError: a database outside of the home names files inside it, or a file cannot be rewritten.
    """
    home = settings().home_folder.resolve()
    found = identity.read(home) if home.is_dir() else None
    old = found.path if found else identity.stored_path(home, settings().databases_of_home)
    if old is None or old == str(home):
        settings().home  # noqa: B018 - made, where it is missing
        yield f"{home} is at its place: nothing to adopt."
        return
    _require_own_databases(home)
    original = identity.read(Path(old)) if Path(old).is_dir() else None
    copied = found is None or (original is not None and original.id == found.id)
    if not copied:
        _require_stopped(home)
    relocated = Relocation(old, str(home))
    for name in _NOT_TAKEN_OVER:
        shutil.rmtree(home / name, ignore_errors=True)
    for table, address in relocate.current(home / identity.CATALOG).items():
        metadata = Path(relocated(address).removeprefix("file://"))
        if metadata.is_relative_to(home) and (changed := relocate.metadata_files(metadata, relocated)):
            yield f"table {table}: {changed} files of Iceberg"
    texts = sum(_text(path, relocated) for pattern in _TEXTS for path in home.glob(pattern) if path.is_file())
    yield f"manifests, pages and configuration: {texts} files"
    for path in databases(home):
        changed = _database(path, relocated)
        if changed:
            yield f"database {path.relative_to(home)}: {changed} rows"
    identity.protect(home)
    adopted = identity.new(home, copied_from=found.id if found and copied else None)
    if found and not copied:
        adopted = adopted.model_copy(update={"id": found.id, "copied_from": found.copied_from})
    identity.write(home, adopted, replace=True)
    yield f"{home} is a home of its own now (id {adopted.id}); it was made at {old}."
    yield from (
        f"Not in it, and shared with the original where that is still used: {each}" for each in outside()
    )


def databases(home: Path) -> list[Path]:
    """The SQLite databases of a home, without those of homes inside it, which may be in use meanwhile."""
    found = []
    # Not by `rglob`, which fails where a task removes a folder of its own meanwhile.
    for folder, folders, files in os.walk(home):
        if Path(folder) != home and identity.FILE in files:
            folders.clear()
            continue
        found += [path for name in files if ".db" in name and _is_sqlite(path := Path(folder, name))]
    return sorted(found)


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:  # SQLite's own journals come and go with each transaction
        return False


def _require_own_databases(home: Path) -> None:
    s = settings()
    tables = s.catalog_uri and not s.warehouse and (home / "lake").is_dir()
    models = s.mlflow_uri and (home / "models").is_dir()
    if not tables and not models:
        return
    raise AdoptionRefusedError(
        f"{'The catalog' if tables else 'MLflow'} is kept outside of the home, and names files inside it.",
        where=f"variable {'SLUICE_CATALOG_URI' if tables else 'SLUICE_MLFLOW_URI'}",
        allowed="a home with its own SQLite databases, or a warehouse outside of it too",
        todo=f"put this home back to the path where it was made ({home} is another), with that database; "
        "to clone it, start with an empty home and backfill",
    )


def _require_stopped(home: Path) -> None:
    """Refuse a home that was moved away under its running stack: what still runs writes to the old place."""
    # The supervisor first: it starts again what is ended before it, and ends all of it when it is ended.
    for file in sorted((home / "run").glob("*.json"), key=lambda file: file.stem != "supervisor"):
        recorded = json.loads(file.read_text(encoding="utf-8"))
        if "pid" not in recorded:  # between two starts
            continue
        with suppress(psutil.NoSuchProcess):
            if hash(psutil.Process(recorded["pid"])) == recorded.get("identity"):
                raise AdoptionRefusedError(
                    f"The {file.stem} that was started in this home before it was moved is still running.",
                    where=f"process {recorded['pid']}",
                    allowed="a home that nobody uses",
                    todo=f"end the processes named in {home / 'run'} (`kill {recorded['pid']}` for this one), "
                    "then adopt again",
                )


def _text(path: Path, relocated: Relocation) -> bool:
    try:
        old = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    new = relocated(old)
    if new == old:
        return False
    # Maintenance goes by when a file was written.
    with replacing(path, keep_stat=True) as part:
        part.write_bytes(new.encode("utf-8"))
    return True


def _database(path: Path, relocated: Relocation) -> int:
    """Replace paths in every text of a database that is no ledger; returns how many rows changed."""
    changed = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.create_function(
            "concerns", 1, lambda text: isinstance(text, str) and relocated.concerns(text)
        )
        database.create_function("relocated", 1, relocated)
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        if _LEDGER in names:
            return 0
        database.execute("begin immediate")
        for table in names:
            for column in [row[1] for row in database.execute(f'pragma table_info("{table}")')]:
                # Names from the database itself.
                change = f'update "{table}" set "{column}" = relocated("{column}") where concerns("{column}")'  # noqa: S608
                changed += database.execute(change).rowcount
        database.execute("commit")
    return changed
