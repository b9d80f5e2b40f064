"""Where a delivery lies, how it is named, and when it counts.

    <landing>/<source>/<run day>/<source>_<data day>[_<n>].<format>
    <landing>/<source>/<run day>/<the same name>.manifest.json

The manifest is written last and says that the file is complete: a file without one is not seen. A correction of the
same day has a number (2, 3, ...); the highest counts. Anyone may deliver by hand who keeps to these names;
`sluice land` writes both files.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from sluice import schedule
from sluice.core import clock, failpoints
from sluice.core.errors import (
    ContractBrokenError,
    DayInvalidError,
    DeliveryUnreadableError,
    LandingUnreachableError,
    SpecInvalidError,
)
from sluice.core.partitions import date_of, day_of, days_later, read_day
from sluice.core.printable import printable
from sluice.declare import pipeline_clock
from sluice.declare.limits import Limits
from sluice.declare.spec import Pipeline, Source
from sluice.ingest import delivery_names, manifests
from sluice.ingest.budget import Budget, OverBudgetError
from sluice.ingest.manifests import MANIFEST as MANIFEST
from sluice.ingest.manifests import DeliveryManifest
from sluice.lake.landing import Landing


@dataclass(frozen=True)
class Delivery:
    """A complete delivery, found by its manifest; its file is not read yet.

    `name` is relative to the landing zone; `number` is 1 for a first delivery, higher for a correction.
    """

    source: str
    run_day: str
    day: str
    number: int
    name: str
    uri: str
    manifest: DeliveryManifest
    # The version of the contract that it is read as: the one it claims, unless the contract knows better.
    version: int

    @property
    def delivery_id(self) -> str:
        """16 hex digits of the content's sha256: the same file has the same id, wherever it lies."""
        return self.manifest.sha256[:16]


def find(spec: Pipeline, source: str, run_day: str, *, landing: Landing | None = None) -> Delivery | None:
    """The delivery of a source that the run of `run_day` (YYYY-MM-DD) must land; None where there is none.

    Raises:
        SourceUnknownError: the pipeline does not declare the source.
        DeliveryUnreadableError: a manifest has a name or content that cannot be understood.
        ContractBrokenError: the delivery follows a version that the contract has no mapping for.
        LandingUnreachableError: the landing zone does not answer.
    """
    declared = spec.source(source)
    landing = landing or Landing(spec.landing_url)
    day = spec.data_day(source, run_day)
    names = [name for name in landing.list(f"{source}/{run_day}") if name.endswith(MANIFEST)]
    numbered, misnamed = delivery_names.by_number(names, source, declared, run_day, day)
    if not numbered and not misnamed:
        return None
    if not numbered:
        raise delivery_names.misnamed_error(misnamed[0], source, declared, run_day, day)
    number = max(numbered)
    manifest = manifests.read(landing, numbered[number], source, day)
    if unanswered := [name for name in misnamed if name not in manifest.replaces_misnamed]:
        raise delivery_names.misnamed_error(unanswered[0], source, declared, run_day, day)
    name = numbered[number].removesuffix(MANIFEST)
    where = landing.uri(numbered[number])
    version = _version(declared, source, manifest.contract_version, manifest.day, where)
    return Delivery(source, run_day, day, number, name, landing.uri(name), manifest, version)


def names(
    spec: Pipeline, source: str, run_days: Sequence[str], *, landing: Landing | None = None
) -> list[str]:
    """Names of all files that were announced of a source for some run days, usable or not, in letters that can be kept; none of an
    unreachable zone."""
    try:
        landing = landing or Landing(spec.landing_url)
        found = [name for day in run_days for name in landing.list(f"{source}/{day}")]
    except (LandingUnreachableError, SpecInvalidError):
        return []
    return [printable(name.removesuffix(MANIFEST)) for name in found if name.endswith(MANIFEST)]


def is_expected(spec: Pipeline, source: str, run_day: str) -> bool:
    """Whether the run of a day cannot do without a source: a daily one that was declared then, on a day that its calendar has.

    On a day on which the schedule does not fire nothing is expected: whatever comes for it is taken.
    """
    daily = spec.source(source).cadence == "daily"
    return daily and schedule.expects(spec, source, date_of(run_day))


def is_run_day(spec: Pipeline, run_day: str) -> bool:
    """Whether the schedule of a pipeline fires on a day."""
    try:
        schedule.due_at(spec, date_of(run_day))
    except DayInvalidError:
        return False
    return True


def due(spec: Pipeline, source: str, run_day: str, *, landing: Landing | None = None) -> bool:
    """Whether the run of a day must land a source: a daily one on days that are expected, any when something was delivered.

    What cannot be read is due too: its own task refuses it, and the other sources of the day go on.
    """
    if is_expected(spec, source, run_day):
        return True
    landing = landing or Landing(spec.landing_url)
    return any(name.endswith(MANIFEST) for name in landing.list(f"{source}/{run_day}"))


def numbers(spec: Pipeline, source: str, *, landing: Landing | None = None) -> dict[str, int]:
    """Run day -> number of the newest delivery of a source that is announced for it; 0 where what is there has no right name.

    Raises:
        SourceUnknownError: the pipeline does not declare the source.
        LandingUnreachableError: the landing zone does not answer.
    """
    newest: dict[str, int] = {}
    for name in (landing or Landing(spec.landing_url)).list(source):
        if not name.endswith(MANIFEST):
            continue
        run_day, found = name.split("/")[1], delivery_names.match(spec, source, name)
        number = int(found["number"] or 1) if found else 0
        newest[run_day] = max(number, newest.get(run_day, 0))
    return newest


def replaced(spec: Pipeline, source: str, run_day: str, landing: Landing) -> set[str]:
    """Names of files that are named as no delivery and that the newest delivery of a run day counts in place of."""
    declared, day = spec.source(source), spec.data_day(source, run_day)
    names = [name for name in landing.list(f"{source}/{run_day}") if name.endswith(MANIFEST)]
    numbered, _ = delivery_names.by_number(names, source, declared, run_day, day)
    if not numbered:
        return set()
    try:
        manifest = manifests.read(landing, numbered[max(numbered)], source, day)
    except DeliveryUnreadableError:
        return set()  # its own run refuses it, and says why
    return {name.removesuffix(MANIFEST) for name in manifest.replaces_misnamed}


def fetch(delivery: Delivery, landing: Landing, into: Path, limits: Limits) -> None:
    """Copy the file of a delivery, exactly as its manifest announces it, a piece at a time.

    It is a copy that is parsed, so that it is what was checked, whoever changes the file meanwhile.

    Raises:
        DeliveryMissingError: the manifest is there and the file is not.
        DeliveryUnreadableError: the content has another sha256, or is not that of a plain file.
        LimitExceededError: the file is larger than its source's may be.
        LandingUnreachableError: the landing zone does not answer.
    """
    digest, size, budget = hashlib.sha256(), 0, Budget.of(limits)
    with landing.open(delivery.name) as opened, into.open("wb") as copy:
        try:
            budget.check_file(opened.size)
            for piece in opened.pieces:
                size += len(piece)
                budget.check_file(size)
                digest.update(piece)
                copy.write(piece)
        except OverBudgetError as over:
            raise over.as_error(delivery.uri) from None
    found = digest.hexdigest()
    if found != delivery.manifest.sha256:
        raise DeliveryUnreadableError(
            f"{delivery.name} is not what its manifest announces: {size} bytes with sha256 {found[:16]}..., "
            f"announced {delivery.manifest.sha256[:16]}...; it was cut short or changed on its way.",
            where=delivery.uri,
            allowed="the file that the manifest was made for",
            todo=next_delivery(delivery.source, delivery.day),
        )


def write(
    landing: Landing,
    spec: Pipeline,
    source: str,
    run_day: str,
    data: bytes,
    *,
    rows: int,
    number: int,
    delivered_at: datetime,
    sha256: str | None = None,
    contract_version: int | None = None,
) -> str:
    """Put a file and then its manifest into the landing zone, as a producer does.

    Args:
        rows: rows that the file holds.
        number: 1, or higher for a correction.
        delivered_at: an instant with an offset.
        sha256: of the file as the producer made it, where that differs from what arrived.
        contract_version: that the producer claims; the declared one where none is given.

    Returns: the name of the file, relative to the landing zone.
    """
    name = delivery_names.of_delivery(spec, source, run_day, number)
    landing.write(name, data)
    return _announce(
        landing, spec, source, run_day, name, rows, sha256 or _sha256(data), contract_version, delivered_at
    )


def _announce(
    landing: Landing,
    spec: Pipeline,
    source: str,
    run_day: str,
    name: str,
    rows: int,
    sha256: str,
    contract_version: int | None,
    delivered_at: datetime,
    replaces: Sequence[str] = (),
) -> str:
    """Write the manifest of a delivered file, which from now on counts; return the file's name."""
    declared = spec.source(source)
    manifest = DeliveryManifest(
        source=source,
        day=date_of(spec.data_day(source, run_day)),
        rows=rows,
        sha256=sha256,
        contract_version=declared.contract.version if contract_version is None else contract_version,
        delivered_at=delivered_at,
        replaces_misnamed=tuple(replaces),
    )
    landing.write(name + MANIFEST, manifest.model_dump_json(indent=2, exclude_defaults=True).encode())
    return name


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def land(spec: Pipeline, source: str, day: str, data: bytes, *, version: int | None = None) -> str:
    """Deliver a file by hand, as the next delivery of a source for the day (YYYY-MM-DD) that the data is about.

    The file is parsed first: what would fail at ingest is refused here, before anything is written. What was delivered
    before may be broken in any way: its manifest, its file or its name. Of several at the same
    moment each gets a number of its own: the file takes it, and a number that is taken is not taken again. The clock of a
    replayed pipeline moves to the run day, if it is a later one.

    Args:
        version: of the contract that the file follows; the declared one where none is given.

    Returns: the name of the file, relative to the landing zone.
    Raises: as `sluice.ingest.reader.Reader.read`; SourceUnknownError, DayInvalidError: there is no such source or day;
        LandingUnreachableError: the landing zone does not answer.
    """
    declared, about = spec.source(source), read_day(day, where=f"{source} of {day}")
    rows = count_rows(spec, source, day, data, version=version)
    claimed = declared.contract.version if version is None else version
    run_day = days_later(day_of(about), declared.lag_days)
    landing = Landing(spec.landing_url)
    landing.create()
    numbered, misnamed = delivery_names.by_number(
        landing.list(f"{source}/{run_day}"), source, declared, run_day, day_of(about)
    )
    number = max(numbered, default=0) + 1
    failpoints.hit("land.before_write")
    while not landing.write_new(delivery_names.of_delivery(spec, source, run_day, number), data):
        number += 1
    name = delivery_names.of_delivery(spec, source, run_day, number)
    _announce(landing, spec, source, run_day, name, rows, _sha256(data), claimed, clock.utc_now(), misnamed)
    if spec.clock == "feed":
        pipeline_clock.advance(spec, date_of(run_day))
    return name


def count_rows(spec: Pipeline, source: str, day: str, data: bytes, *, version: int | None = None) -> int:
    """Parse a file as its delivery would be; returns its rows, without what reads them, which the manifest is to check.

    Raises: as `land`.
    """
    from sluice.ingest.reader import File, Reader

    declared = spec.source(source)
    where = f"{source} of {day}"
    claimed = declared.contract.version if version is None else version
    read_as = _version(declared, source, claimed, read_day(day, where=where), where)
    # Nothing of what is read here is kept, so any key will do.
    key = secrets.token_bytes(64)
    with Reader() as reader:
        file = reader.scratch / "delivered"
        file.write_bytes(data)
        return reader.read(File(file, where, declared, read_as), key).counted


def next_delivery(source: str, day: str) -> str:
    """What to do about a delivery that cannot be used, in words."""
    return (
        f"have the producer correct the file, then deliver it with the next number (`{source}_{day}_2...`); "
        "docs/operations.md says how to deliver by hand"
    )


def _version(declared: Source, source: str, claimed: int, day: date, where: str) -> int:
    """The version that a delivery is read as."""
    version = declared.contract.read_as(claimed, day)
    if version is None:
        raise ContractBrokenError(
            f"The delivery follows version {claimed} of the contract of {source!r}.",
            where=where,
            allowed=f"version {', '.join(map(str, declared.contract.versions))}",
            todo=f"have the producer deliver one of these, or say under `mappings` of the contract of {source!r} how "
            f"version {claimed} becomes version {declared.contract.version}",
        )
    return version
