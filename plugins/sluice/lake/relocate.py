"""Iceberg's own files of a warehouse folder that has another path now: metadata, manifest lists and manifests.

Iceberg names every file by its absolute address. The rule kept here: nothing but addresses changes; snapshots, tags and
statistics stay. A file is replaced whole, and treating it again changes nothing, so that what was interrupted can be
started again.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluice.core.errors import AdoptionRefusedError

# Iceberg's number of files that hold deleted positions: they name data files inside, row by row.
_POSITION_DELETES = 1


def metadata_files(folder: Path, relocated: Callable[[str], str]) -> int:
    """Replace addresses in the Iceberg files of one table's folder; returns how many files changed.

    Raises:
        AdoptionRefusedError: a file names others in a way that cannot be replaced.
    """
    files = sorted((folder / "metadata").glob("*.avro"))
    # A manifest list has the length of each manifest.
    lists = [path for path in files if path.name.startswith("snap-")]
    changed = sum(_avro(path, relocated) for path in files if path not in lists)
    changed += sum(_avro(path, relocated) for path in lists)
    for path in sorted((folder / "metadata").glob("*.metadata.json")):
        changed += _json(path, relocated)
    return changed


def _json(path: Path, relocated: Callable[[str], str]) -> bool:
    content = path.read_bytes()
    if not content.lstrip().startswith(b"{"):
        raise _refused(path, "is compressed")
    old = json.loads(content)
    new = _walked(old, relocated)
    if new == old:
        return False
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    part.write_text(json.dumps(new, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    _put(part, path)
    return True


def _walked(value: Any, relocated: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return relocated(value)
    if isinstance(value, list):
        return [_walked(each, relocated) for each in value]
    if isinstance(value, dict):
        return {key: _walked(each, relocated) for key, each in value.items()}
    return value


def _avro(path: Path, relocated: Callable[[str], str]) -> bool:
    from pyiceberg.avro.file import AvroFile, AvroOutputFile
    from pyiceberg.io.pyarrow import PyArrowFileIO
    from pyiceberg.typedef import Record

    io = PyArrowFileIO()
    with AvroFile[Record](io.new_input(f"file://{path}")) as file:
        records, schema, meta = list(file), file.schema, file.header.meta
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
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    name = json.loads(meta["avro.schema"])["name"]
    with AvroOutputFile[Record](io.new_output(f"file://{part}"), schema, name, metadata=dict(meta)) as out:
        out.write_block(records)
    _put(part, path)
    return True


def _put(part: Path, path: Path) -> None:
    # Upkeep goes by when a file was written.
    shutil.copystat(path, part)
    part.replace(path)


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
                raise _refused(path, "refers to files of deleted positions, which another writer made")
            changed |= _record(value, inner, relocated, path)
    return changed


def _refused(path: Path, why: str) -> AdoptionRefusedError:
    return AdoptionRefusedError(
        f"An Iceberg file {why}: the addresses in it cannot be replaced.",
        where=str(path),
        allowed="tables as Sluice writes them",
        todo="let the other writer rewrite the table's data files without deletes, in the original, and copy it again",
    )
