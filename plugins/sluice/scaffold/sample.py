"""Read a sample as a delivery is read, and find how each of its columns is to be declared.

The rule kept here: a type is proposed only where each value of the sample converts to it as the contract would convert it
(`sluice.ingest.columns`); what no contract can read yet (decimal commas, days such as 31/12/2024) is refused, with what to do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError
from sluice.declare.contracts import Column, ColumnType, Contract
from sluice.declare.reading import NULL_LIKE, Reading
from sluice.declare.sources import Format, Source
from sluice.ingest import columns
from sluice.ingest.columns import BrokenColumnsError
from sluice.ingest.layout import Layout
from sluice.ingest.reader import File, Reader
from sluice.scaffold import header
from sluice.scaffold.header import Header, refused

if TYPE_CHECKING:
    import pyarrow as pa

# Tried in this order: the first that takes every value is proposed.
_TYPES: tuple[ColumnType, ...] = ("integer", "number", "boolean", "date", "timestamp")
# 007 is a code, and no number; 2.0 and 1e3 are numbers, and no integers.
_CODE, _WHOLE = re.compile(r"-?0[0-9]+"), re.compile(r"-?[0-9]+")
# How people of many countries write what no contract can read yet.
_FOREIGN = {
    "numbers with a decimal comma": re.compile(r"-?[0-9.]*[0-9],[0-9]+"),
    "days that do not begin with the year": re.compile(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}( .*)?"),
}


@dataclass(frozen=True)
class Sample:
    """A sample file as its contract will read it."""

    source: str
    path: Path
    format: Format
    contract: Contract
    # Its rows, typed as the contract declares.
    rows: pa.Table


def read(source: str, path: Path, zone: str, as_text: Collection[str] = ()) -> Sample:
    """Read a sample.

    Args:
        source: name of the source that such files will be deliveries of.
        zone: of instants that say none.
        as_text: columns that are declared as text whatever they hold.

    Raises:
        SampleRefusedError: nothing can be declared from it, or it would be refused as a delivery; says what to do.
    """
    found = header.read(path)
    if unknown := [name for name in as_text if name not in found.names]:
        raise refused(
            path,
            f"There is no column {unknown[0]!r}, which --as-text names.",
            ", ".join(found.names),
            "correct the name",
        )
    raw = _rows(source, path, found.format, _as_stored(found, zone, as_text))
    if raw.num_rows < 2:
        raise refused(
            path,
            f"The sample has {raw.num_rows} row(s): nothing can be measured from it.",
            "two rows or more",
            "give a file with all rows of a usual day",
        )
    declared: dict[str, Column] = {}
    zones = {zone} if found.has_local_times else set()
    for name in found.names:
        declared[name], local = _column(path, raw, name, found.types.get(name), zone, as_text)
        zones |= {zone} if local else set()
    reading = Reading(delimiter=found.delimiter, naive_timestamps=next(iter(zones), None))
    contract = Contract(version=1, columns=declared, reading=reading)
    return Sample(source, path, found.format, contract, _rows(source, path, found.format, contract))


def _as_stored(found: Header, zone: str, as_text: Collection[str]) -> Contract:
    """The contract by which nothing is refused or taken for null that the format allows."""
    kinds = {name: "string" if name in as_text else found.types.get(name, "string") for name in found.names}
    stored = {
        name: Column.model_validate({"type": kind, "nullable": True, "nulls": ()})
        for name, kind in kinds.items()
    }
    reading = Reading(delimiter=found.delimiter, naive_timestamps=zone if found.has_local_times else None)
    return Contract(version=1, columns=stored, reading=reading)


def _rows(source: str, path: Path, fmt: Format, contract: Contract) -> pa.Table:
    """The rows of a file, read as a delivery is, in a child process with the limits of one."""
    said = dict.fromkeys(("owner", "description", "grain", "licence", "purpose"), "sample")
    declared = Source.model_validate(
        {
            **said,
            "key": [next(iter(contract.columns))],
            "format": fmt,
            "cadence": "daily",
            "contract": contract,
        }
    )
    try:
        with Reader() as reader:
            return reader.read(
                File(path, f"sample {path.name} of {source}", declared, contract.version)
            ).table
    except (DeliveryUnreadableError, ContractBrokenError) as error:
        todo = "correct the file: as a delivery it would be refused, too"
        raise refused(path, error.what, error.allowed, todo) from error


def _column(
    path: Path, raw: pa.Table, name: str, stored: ColumnType | None, zone: str, as_text: Collection[str]
) -> tuple[Column, bool]:
    """How a column is declared, and whether its texts are local times."""
    values = raw[name]
    nullable = values.null_count > 0
    if name in as_text:
        return Column(type="string", nullable=nullable), False
    if values.null_count == len(values):
        raise refused(
            path,
            f"Column {name!r} has no value in the whole sample: what it holds cannot be measured.",
            "a column with values",
            f"give a sample in which it has some, or --as-text {name} to declare it as text that may be missing",
        )
    if stored:
        return Column(type=stored, nullable=nullable), False
    texts = [text for text in values.unique().to_pylist() if text is not None]
    known = [text for text in texts if text not in NULL_LIKE]
    # What looks like a null is declared as one only where the rest is of a type that it is not.
    for kept, nulls in ((texts, None), (known, tuple(text for text in texts if text in NULL_LIKE))):
        for kind, tried in _tried(zone) if kept and nulls != () else ():
            if _fits(kept, kind, tried):
                return Column(type=kind, nullable=nullable or bool(nulls), nulls=nulls), tried is not None
    _refuse_foreign(path, name, known or texts)
    return Column(type="string", nullable=nullable), False


def _tried(zone: str) -> list[tuple[ColumnType, str | None]]:
    return [*((kind, None) for kind in _TYPES), ("timestamp", zone)]


def _fits(texts: Sequence[str], kind: ColumnType, zone: str | None) -> bool:
    """Whether all texts are values of a type, as a contract would read them."""
    import pyarrow as pa

    if kind in ("integer", "number") and any(_CODE.fullmatch(text) for text in texts):
        return False
    if kind == "integer" and not all(_WHOLE.fullmatch(text) for text in texts):
        return False
    column = {"value": Column(type=kind, nullable=True, nulls=())}
    layout = Layout.of(Contract(version=1, columns=column, reading=Reading(naive_timestamps=zone)))
    try:
        columns.convert_column(pa.table({"value": pa.array(texts, pa.string())}), "value", layout)
    except BrokenColumnsError:
        return False
    return True


def _refuse_foreign(path: Path, name: str, texts: Sequence[str]) -> None:
    for said, pattern in _FOREIGN.items():
        if all(pattern.fullmatch(text) for text in texts):
            raise refused(
                path,
                f"Column {name!r} has {said}, such as {texts[0]!r}: no contract can read them yet.",
                "numbers as -1.5, days as 2024-12-31, instants as 2024-12-31T06:00:00Z",
                f"have the producer write them so, or give --as-text {name} to keep them as text",
            )
