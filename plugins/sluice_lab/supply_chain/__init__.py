"""What can be known of the repository and its lock without running the platform: advisories, licences, parts, secrets.

Nothing passes in silence. A check ends in what it found, and in what it could not look at: the first is exit code 1, the
second, where nothing was found, exit code 3, so that a machine without a way to the advisories is not taken for one that
has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sluice.core.settings import ROOT, settings

FOUND, NOT_CHECKED = 1, 3
LOCK = ROOT / "requirements.txt"

Kind = Literal["checked", "found", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One sentence about what was checked, what is wrong (with what to do), or what could not be checked."""

    kind: Kind
    says: str


def check_all(
    *, lock: Path = LOCK, root: Path = ROOT, services: Sequence[tuple[str, ...]] | None = None
) -> Iterator[tuple[str, list[Finding]]]:
    """Yield each check's name and findings; writes the bill of materials.

    Args:
        lock: the hashed lock whose packages are looked at, whatever is installed.
        root: the repository whose files are looked at.
        services: sources of advisories in the order of asking; see `advisories.SERVICES`.
    """
    from sluice_lab.supply_chain import advisories, bom, licences, repository
    from sluice_lab.supply_chain.lock import read

    packages = read(lock)
    yield "advisories", advisories.check(packages, advisories.SERVICES if services is None else services)
    yield "licences", licences.check(packages)
    yield "bill of materials", bom.check(packages, settings().home / "supply-chain" / "sluice.cdx.json")
    yield "repository", repository.check(root)


def exit_code(findings: Sequence[Finding]) -> int:
    """0: all was checked, nothing found. 1: something was found. 3: nothing was found, and not all was checked."""
    kinds = {finding.kind for finding in findings}
    if "found" in kinds:
        return FOUND
    return NOT_CHECKED if "not checked" in kinds or not findings else 0


def named(names: Sequence[str], most: int = 12) -> str:
    """Names in one line, the first ones where there are many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
