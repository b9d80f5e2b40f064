"""A contract as the reading of one delivery needs it, in plain values.

The process that reads a file is told this as JSON, and so needs neither the pipeline's YAML nor the libraries that
check it, which take longer to import than a day's delivery takes to read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluice.declare.contracts import ColumnType, Contract


@dataclass(frozen=True)
class Column:
    """Type of a column, whether values may be missing, and what means that one is."""

    type: ColumnType
    nullable: bool
    # Texts that mean null.
    nulls: list[str]
    # Texts that look like a null and were not declared.
    null_like: list[str]


@dataclass(frozen=True)
class Reading:
    """How files are written: see `sluice.declare.reading.Reading`, whose texts that mean null are with the columns here."""

    delimiter: str
    quote: str | None
    escape: str
    skip_lines: int
    comment: str | None
    column_case: str
    encoding: str
    naive_timestamps: str | None


@dataclass(frozen=True)
class Layout:
    """What a file of one version of a contract has, and how its rows become those of the declared version."""

    # The version that the file is read as, and the columns that such a file has.
    version: int
    columns: dict[str, Column]
    reading: Reading
    # Version -> columns, of all versions that the source may deliver.
    known: dict[int, dict[str, Column]]
    # Another version -> the name that it has for a column -> the name that this version has for it; where both differ.
    other_names: dict[int, dict[str, str]]
    # The column in which each row says its version.
    version_column: str | None
    declared_version: int
    declared: dict[str, Column]
    # Declared columns with personal data.
    pseudonymised: list[str]
    # The mapping of the version, see `sluice.declare.contracts.Mapping`: a factor as "1/60", a filled day or instant in ISO 8601.
    rename: dict[str, str]
    values: dict[str, dict[str, str]]
    scale: dict[str, str]
    fill: dict[str, Any]

    @classmethod
    def of(cls, contract: Contract, version: int | None = None) -> Layout:
        """Args: version: the declared one where none is given."""
        version = contract.version if version is None else version
        mapping = contract.mappings.get(version)
        return cls(
            version=version,
            columns=_columns(contract.as_delivered(version)),
            reading=Reading(**contract.reading.model_dump(exclude={"nulls"})),
            known={each: _columns(contract.as_delivered(each)) for each in contract.versions},
            other_names=_other_names(contract, version),
            version_column=_names(contract, version).get(contract.version_column or ""),
            declared_version=contract.version,
            declared=_columns(contract),
            pseudonymised=contract.pseudonymised,
            rename=mapping.rename if mapping else {},
            values=mapping.values if mapping else {},
            scale={name: str(factor) for name, factor in mapping.scale.items()} if mapping else {},
            fill={name: _as_written(value) for name, value in mapping.fill.items()} if mapping else {},
        )

    def plain(self) -> dict[str, Any]:
        """As JSON can carry it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, said: dict[str, Any]) -> Layout:
        columns = {
            kind: {name: Column(**column) for name, column in said[kind].items()}
            for kind in ("columns", "declared")
        }
        # JSON has no numbers for keys.
        known = {
            int(version): {name: Column(**column) for name, column in found.items()}
            for version, found in said["known"].items()
        }
        others = {int(version): names for version, names in said["other_names"].items()}
        versions = {"known": known, "other_names": others}
        return cls(**{**said, **columns, **versions, "reading": Reading(**said["reading"])})

    def spelled(self, names: Iterable[str]) -> list[str]:
        """Names of a file's columns as the contract spells them, where the case does not matter."""
        if self.reading.column_case == "exact":
            return list(names)
        declared = {name.casefold(): name for name in self.columns}
        return [declared.get(name.casefold(), name) for name in names]

    def others_of(self, given: Iterable[str]) -> list[str]:
        """Names among some that only another version has, for a column that this version has under its own name."""
        theirs = {name for names in self.other_names.values() for name in names}
        return [name for name in given if name in theirs]

    def filled(self, name: str) -> Any:
        """The value of a declared column that files of this version do not have."""
        value = self.fill[name]
        reads = {"date": date.fromisoformat, "timestamp": datetime.fromisoformat}
        read = reads.get(self.declared[name].type)
        return read(value) if read and value is not None else value


def _names(contract: Contract, version: int) -> dict[str, str]:
    """Declared column -> its name in files of a version, of those that such a file has."""
    if version == contract.version:
        return {name: name for name in contract.columns}
    mapping = contract.mappings[version]
    renamed = {declared: delivered for delivered, declared in mapping.rename.items()}
    return {name: renamed.get(name, name) for name in contract.columns if name not in mapping.fill}


def _other_names(contract: Contract, version: int) -> dict[int, dict[str, str]]:
    own = _names(contract, version)
    found = {
        each: {
            other: own[declared]
            for declared, other in _names(contract, each).items()
            if declared in own and other not in own.values()
        }
        for each in contract.versions
    }
    return {each: names for each, names in found.items() if names}


def _columns(contract: Contract) -> dict[str, Column]:
    shared = contract.reading.nulls
    return {
        name: Column(
            each.type,
            each.nullable,
            list(shared if each.nulls is None else each.nulls),
            [text for text in each.null_like if text not in shared],
        )
        for name, each in contract.columns.items()
    }


def _as_written(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
