"""Iceberg's own files of tables in a warehouse folder that has another path now: metadata, manifest lists and manifests.

Iceberg names every file by its absolute address. The rule kept here: nothing but addresses changes; snapshots, tags and
statistics stay. Only files that the table is read from are treated: a process that was killed, or a copy that was made
while one wrote, leaves halves of others. A file is replaced whole, and treating it again changes nothing, so that what
was interrupted can be started again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from sluice.core.errors import AdoptionRefusedError
from sluice.core.files import replacing

# Iceberg's number of files that hold deleted positions: they name data files inside, row by row.
_POSITION_DELETES = 1
_OTHER_WRITER = (
    "let the other writer rewrite the table's data files without deletes, in the original, and copy it again"
)
_FROM_ORIGINAL = "copy the file from the original, or make the copy again with `sluice home backup`"


def current(catalog: Path) -> dict[str, str]:
    """The address of the metadata file by which each table is read, as an SQLite catalog has it; none without a catalog."""
    if not catalog.is_file():
        return {}
    columns = "table_namespace || '.' || table_name, metadata_location"
    with closing(sqlite3.connect(catalog)) as database:
        return dict(database.execute(f"select {columns} from iceberg_tables order by 1"))  # noqa: S608


def metadata_files(metadata: Path, relocated: Callable[[str], str]) -> int:
    """Replace addresses in the Iceberg files of one table; returns how many files changed.

    Args:
        metadata: the metadata file by which the catalog reads the table.
        relocated: the address of a file as it is now.

    Raises:
        AdoptionRefusedError: a file that the table is read from cannot be read, or names others in a way that cannot be
            replaced.
    """
    content = _read(metadata)
    older = _paths((entry["metadata-file"] for entry in content.get("metadata-log", ())), relocated)
    lists = _paths((each["manifest-list"] for each in content["snapshots"]), relocated)
    manifests = {path: None for each in lists for path in _manifests(each, relocated)}
    # A manifest list has the length of each manifest. The current metadata come last: they lead to all of these.
    changed = sum(_avro(path, relocated) for path in manifests)
    changed += sum(_avro(path, relocated) for path in lists)
    # An older one is removed some time after it was replaced.
    changed += sum(_json(path, relocated) for path in older if path.is_file())
    return changed + _json(metadata, relocated)


def _paths(addresses: Iterable[str], relocated: Callable[[str], str]) -> list[Path]:
    return [Path(relocated(address).removeprefix("file://")) for address in addresses]


def _manifests(path: Path, relocated: Callable[[str], str]) -> list[Path]:
    records, schema, _ = _records(path)
    at = [field.name for field in schema.fields].index("manifest_path")
    return _paths((record[at] for record in records), relocated)


def _json(path: Path, relocated: Callable[[str], str]) -> bool:
    old = _read(path)
    new = _walked(old, relocated)
    if new == old:
        return False
    # Maintenance goes by when a file was written.
    with replacing(path, keep_stat=True) as part:
        part.write_text(json.dumps(new, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    return True


def _read(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})", _FROM_ORIGINAL) from error
    if not content.lstrip().startswith(b"{"):
        raise _refused(path, "is compressed", _OTHER_WRITER)
    try:
        return json.loads(content)
    except ValueError as error:
        raise _refused(path, f"is damaged ({error})", _FROM_ORIGINAL) from error


def _walked(value: Any, relocated: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return relocated(value)
    if isinstance(value, list):
        return [_walked(each, relocated) for each in value]
    if isinstance(value, dict):
        return {key: _walked(each, relocated) for key, each in value.items()}
    return value


def _avro(path: Path, relocated: Callable[[str], str]) -> bool:
    from pyiceberg.avro.file import AvroOutputFile
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.typedef import Record

    records, schema, meta = _records(path)
    names = [field.name for field in schema.fields]
    changed = False
    for record in records:
        changed |= _record(record, schema.fields, relocated, path)
        if "manifest_length" in names:
            manifest = Path(record[names.index("manifest_path")].removeprefix("file://"))
            at = names.index("manifest_length")
            if manifest.is_file() and record[at] != manifest.stat().st_size:
                record[at] = manifest.stat().st_size
                changed = True
    if not changed:
        return False
    name = json.loads(meta["avro.schema"])["name"]
    with replacing(path, keep_stat=True) as part:
        new = PyArrowFileIO().new_output(f"file://{part}")
        with AvroOutputFile[Record](new, schema, name, metadata=dict(meta)) as out:
            out.write_block(records)
    return True


def _records(path: Path) -> tuple[list[Any], Any, dict[str, str]]:
    """The records of an Avro file, their schema, and the file's own metadata."""
    from pyiceberg.avro.file import AvroFile
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.typedef import Record

    try:
        with AvroFile[Record](PyArrowFileIO().new_input(f"file://{path}")) as file:
            return list(file), file.schema, file.header.meta
    except (OSError, EOFError, ValueError) as error:
        raise _refused(path, f"cannot be read ({error})", _FROM_ORIGINAL) from error


def _record(record: Any, fields: Any, relocated: Callable[[str], str], path: Path) -> bool:
    """Replace the addresses in a record and in the records inside it; returns whether there were any."""
    changed = False
    for at, field in enumerate(fields):
        value = record[at]
        if isinstance(value, str):
            record[at] = relocated(value)
            changed |= record[at] != value
        elif field.name == "data_file":
            inner = field.field_type.fields
            if any(each.name == "content" and value[i] == _POSITION_DELETES for i, each in enumerate(inner)):
                raise _refused(
                    path, "refers to files of deleted positions, which another writer made", _OTHER_WRITER
                )
            changed |= _record(value, inner, relocated, path)
    return changed


def _refused(path: Path, why: str, todo: str) -> AdoptionRefusedError:
    return AdoptionRefusedError(
        f"An Iceberg file {why}: the addresses in it cannot be replaced.",
        where=str(path),
        allowed="tables as Sluice writes them, whole",
        todo=todo,
    )
