"""How deliveries and their manifests are named in a landing zone; `sluice.ingest.deliveries` says what the names mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from sluice.core.errors import DeliveryUnreadableError
from sluice.core.partitions import is_day
from sluice.core.printable import printable
from sluice.declare.spec import Pipeline, Source
from sluice.ingest.manifests import MANIFEST


def of_delivery(spec: Pipeline, source: str, run_day: str, number: int) -> str:
    """Name of a delivered file, relative to the landing zone."""
    suffix = f"_{number}" if number > 1 else ""
    return (
        f"{source}/{run_day}/{source}_{spec.data_day(source, run_day)}{suffix}.{spec.source(source).format}"
    )


def is_right(spec: Pipeline, source: str, name: str) -> bool:
    """Whether a name in the landing zone is that of a delivery of a source, of any day, or of its manifest."""
    return match(spec, source, name) is not None


def has_data_day(spec: Pipeline, source: str, run_day: str) -> bool:
    """Whether a text is a run day (YYYY-MM-DD) on which a source can be landed: not before the first day of the calendar."""
    try:
        return is_day(run_day) and bool(spec.data_day(source, run_day))
    except OverflowError:
        return False


def match(spec: Pipeline, source: str, name: str) -> re.Match[str] | None:
    """Take the name of a delivery, or of its manifest, apart: `run_day`, `day` and `number`; None where it is none."""
    found = _pattern(source, spec.source(source).format).fullmatch(name.removesuffix(MANIFEST))
    if found is None or not has_data_day(spec, source, found["run_day"]):
        return None
    return found if spec.data_day(source, found["run_day"]) == found["day"] else None


def first(spec: Pipeline, source: str, run_day: str) -> str:
    """The name of the first delivery of a source for a run day, without its folders."""
    return of_delivery(spec, source, run_day, 1).rsplit("/", 1)[1]


def by_number(
    names: Iterable[str], source: str, declared: Source, run_day: str, day: str
) -> tuple[dict[int, str], list[str]]:
    """Delivered files and manifests by their number, and the manifests that are named as no delivery."""
    pattern = _pattern(source, declared.format)
    numbered, misnamed = {}, []
    for name in names:
        found = pattern.fullmatch(name.removesuffix(MANIFEST))
        if found and (found["run_day"], found["day"]) == (run_day, day):
            numbered[int(found["number"] or 1)] = name
        elif name.endswith(MANIFEST):
            misnamed.append(name)
    return numbered, misnamed


@lru_cache(maxsize=256)
def _pattern(source: str, ending: str) -> re.Pattern[str]:
    day = r"\d{4}-\d{2}-\d{2}"
    return re.compile(
        rf"{source}/(?P<run_day>{day})/{source}_(?P<day>{day})(?:_(?P<number>[2-9]|[1-9]\d+))?\.{re.escape(ending)}",
        re.ASCII,
    )


def misnamed_error(
    manifest: str, source: str, declared: Source, run_day: str, day: str
) -> DeliveryUnreadableError:
    return DeliveryUnreadableError(
        f"{printable(manifest.removesuffix(MANIFEST))} is not named as a delivery of {source!r} for {day}.",
        where=f"{source}/{run_day}",
        allowed=f"{source}_{day}.{declared.format}, or with a number from 2 for a correction: "
        f"{source}_{day}_2.{declared.format}",
        todo="rename the file and its manifest, remove both, or land the right file with `sluice land`",
    )
