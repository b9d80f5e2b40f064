"""The packages of the lock, as pip reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sluice.core.errors import SpecInvalidError

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Package:
    """One locked version. `marker` says where it is installed; empty for everywhere.

    A package can be locked in several versions with markers that exclude each other. `hashes`: hex SHA-256 of each file
    that may be installed.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def installed_here(self) -> bool:
        """Whether this interpreter is one that the lock installs it for."""
        from packaging.markers import Marker

        return not self.marker or Marker(self.marker).evaluate()

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def read(path: Path) -> list[Package]:
    """Every package of a hashed lock, in its order.

    Raises:
        SpecInvalidError: a line is no exact, hashed requirement, or there is none at all.
    """
    text = path.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    packages = [_package(line, path) for line in lines]
    if not packages:
        raise _unusable("It locks no package.", path)
    return packages


def _package(line: str, path: Path) -> Package:
    hashes = tuple(sorted(_HASH.findall(line)))
    try:
        requirement = Requirement(line.split("--hash")[0].strip())
    except InvalidRequirement as error:
        raise _unusable(f"{line[:80]!r} is no requirement.", path) from error
    exact = [each.version for each in requirement.specifier if each.operator == "=="]
    if len(exact) != 1 or not hashes:
        raise _unusable(f"{requirement.name!r} is not locked to one version with hashes.", path)
    marker = str(requirement.marker) if requirement.marker else ""
    return Package(canonicalize_name(requirement.name), exact[0], marker, hashes)


def _unusable(what: str, path: Path) -> SpecInvalidError:
    return SpecInvalidError(
        what, where=str(path), allowed="name==version --hash=sha256:...", todo="make it anew with `make lock`"
    )
