"""Which folder a home is: where it was made, under which id.

Iceberg's metadata, batch manifests and MLflow's database hold absolute paths. A home that lies elsewhere than where it
was made would read, change and clear away the original's files: it is refused until `sluice home adopt` has made it
independent. The rule kept here: whoever uses a home has checked it, because there is no other way to its path.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import stat
import unicodedata
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict

from sluice import __version__
from sluice.core.errors import HomeMovedError, HomeNewerError, SpecInvalidError

FILE = "home.json"
# Number of the arrangement of files in a home; raised when code of an earlier number would misread what this one writes.
LAYOUT = 1
# What a path may hold besides letters and digits. Everything else means something to a URI, to SQLAlchemy, to a glob of
# DuckDB, to Jinja, to a configuration file or to a shell.
_ALLOWED = " /-_.,+@()"
_ALLOWED_TEXT = "letters, digits, spaces and - _ . , + @ ( )"
# Databases that store absolute paths: table, column, and how many folders below the home the stored path lies.
CATALOG, MLFLOW = "catalog.db", "mlflow.db"
_STORED = {
    CATALOG: ("iceberg_tables", "metadata_location", 4),
    MLFLOW: ("experiments", "artifact_location", 1),
}


class Identity(BaseModel):
    """What `home.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    # The resolved folder that the files in the home mean when they name it.
    path: str
    made_at: AwareDatetime
    # Id of the home that this one was copied from.
    copied_from: str | None = None
    # See LAYOUT; homes of 0.1 do not say it.
    layout: int = 1


def check_path(path: Path | str, variable: str) -> None:
    """Refuse a local path that a URI or a database's URL would read as something else.

    Raises:
        SpecInvalidError: names the character.
    """
    for character in str(path):
        if character in _ALLOWED or character.isalnum() or unicodedata.category(character).startswith("M"):
            continue
        name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
        shown = f"{character!r} ({name})" if character.isprintable() else name
        raise SpecInvalidError(
            f"The path {str(path)!r} has a character that addresses of tables and databases cannot hold: {shown}.",
            where=f"variable {variable}, with symbolic links followed",
            allowed=_ALLOWED_TEXT,
            todo="rename the folder, or choose another one",
        )


def claimed(home: Path, databases: Sequence[str] = ()) -> Path:
    """The home, ready to use: made for its owner only, with an identity, and lying where it was made.

    Args:
        databases: those of `CATALOG` and `MLFLOW` whose paths are of this home, by which one without an identity is
            judged.

    Raises:
        SpecInvalidError: it cannot be made.
        HomeMovedError: it was copied or moved here.
        HomeNewerError: a newer version of Sluice made it.
    """
    here = home.resolve()
    found = read(here)
    if found is None:
        _require_here(here, stored_path(here, databases))
        _make(here)
        found = read(here)
    if found is not None:
        _require_here(here, found.path)
    return home


def read(home: Path) -> Identity | None:
    """The identity of a home; None where it has none (yet).

    Raises:
        HomeNewerError: its files are arranged in a way that this version does not know.
    """
    try:
        found = json.loads((home / FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    if found.get("layout", 1) > LAYOUT:
        raise HomeNewerError(
            f"The home {home} has layout {found['layout']}, of a newer version of Sluice than this one, {__version__}.",
            where=str(home / FILE),
            allowed=f"a home of layout {LAYOUT} or earlier",
            todo="use the newer version again, or restore the backup that was taken before it migrated this home",
        )
    return Identity.model_validate(found)


def write(home: Path, identity: Identity, *, replace: bool) -> None:
    """Write an identity, whole or not at all; without `replace` the first one that is written stays."""
    part = home / f".{FILE}.{secrets.token_hex(4)}"
    # Without what is as it always was: earlier versions refuse a key that they do not know.
    part.write_text(identity.model_dump_json(indent=2, exclude_defaults=True) + "\n", encoding="utf-8")
    try:
        if replace:
            part.replace(home / FILE)
        else:
            os.link(part, home / FILE)
    except FileExistsError:
        return  # another process was faster
    finally:
        part.unlink(missing_ok=True)


def new(home: Path, *, copied_from: str | None = None) -> Identity:
    """An identity of its own for a folder."""
    return Identity(
        id=secrets.token_hex(8),
        path=str(home.resolve()),
        made_at=datetime.now(UTC),
        copied_from=copied_from,
        layout=LAYOUT,
    )


def stored_path(home: Path, databases: Sequence[str]) -> str | None:
    """The folder that the databases of a home name as theirs; None where they name none."""
    for name in databases:
        table, column, depth = _STORED[name]
        if not (home / name).is_file():
            continue
        with closing(sqlite3.connect(f"file:{quote(str(home / name))}?mode=ro", uri=True)) as database:
            known = database.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone()
            # Names of the list above.
            query = f"select {column} from {table} where {column} like 'file://%' limit 1"  # noqa: S608
            found = database.execute(query).fetchone() if known else None
        if found:
            return str(Path(found[0].removeprefix("file://")).parents[depth])
    return None


def protect(home: Path) -> None:
    """Take from others what they may do with a home that is this user's."""
    found = home.stat()
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077:
        home.chmod(0o700)


def _make(home: Path) -> None:
    """Make the folder, where it is missing, and give it an identity."""
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        # With its mode from the first moment on, whatever the umask.
        home.mkdir(mode=0o700, exist_ok=True)
        if not os.access(home, os.W_OK):
            return  # one who only reads leaves it to those who write
        protect(home)
        write(home, new(home), replace=False)
    except OSError as error:
        raise SpecInvalidError(
            f"The home folder cannot be made: {error.strerror or error}.",
            where=f"variable SLUICE_HOME, {home}",
            allowed="a folder that this user may write",
            todo="create it, correct its permissions, or choose another one",
        ) from error


def _require_here(home: Path, path: str | None) -> None:
    if path is None or path == str(home):
        return
    raise HomeMovedError(
        f"The home {home} was copied or moved: it was made at {path}, and its files name that place.",
        where=str(home / FILE),
        allowed="a home at the place where it was made or adopted",
        todo=f"run `SLUICE_HOME='{home}' sluice home adopt`, which makes it independent of {path}",
    )
