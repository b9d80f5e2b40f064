"""What a producer says of a delivered file: the JSON file beside it."""

from __future__ import annotations

import json
from datetime import date

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sluice.core import strict_yaml
from sluice.core.errors import DeliveryUnreadableError, LimitExceededError
from sluice.core.partitions import day_of
from sluice.declare.limits import MANIFEST_BYTES
from sluice.lake.landing import Landing

MANIFEST = ".manifest.json"


class DeliveryManifest(BaseModel):
    """What the producer says of a delivered file. Further keys are the producer's own and are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str = Field(max_length=200)
    # The day that the data is about.
    day: date
    # Bounded, because Python refuses to write out a number of some thousand digits.
    rows: int = Field(ge=0, lt=2**63)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    contract_version: int = Field(ge=-(2**31), lt=2**31)
    delivered_at: AwareDatetime
    # Names of manifests that were there, and are named as no delivery: this one counts in their place.
    replaces_misnamed: tuple[str, ...] = ()


def read(landing: Landing, name: str, source: str, day: str) -> DeliveryManifest:
    """Read the manifest of a delivery that lies where those of a source for a day do.

    Raises:
        DeliveryUnreadableError: it cannot be understood, or is of another source or day.
        LimitExceededError: it is too large.
        LandingUnreachableError: the landing zone does not answer.
    """
    try:
        manifest = DeliveryManifest.model_validate_json(_content(landing, name))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the file'}: {strict_yaml.sentence(each)}"
            for each in error.errors()
        )
        raise DeliveryUnreadableError(
            f"The manifest cannot be understood: {problems}.",
            where=landing.uri(name),
            allowed=f"a JSON object with {', '.join(DeliveryManifest.model_fields)}",
            todo="correct the manifest",
        ) from error
    if (manifest.source, day_of(manifest.day)) != (source, day):
        raise DeliveryUnreadableError(
            f"The manifest is of {manifest.source!r} for {manifest.day}, and lies where {source!r} for {day} belongs.",
            where=landing.uri(name),
            allowed=json.dumps({"source": source, "day": day}),
            todo="deliver the file under the day and source that it is about",
        )
    return manifest


def _content(landing: Landing, name: str) -> bytes:
    with landing.open(name) as opened:
        content = b""
        for piece in opened.pieces:
            content += piece
            if len(content) > MANIFEST_BYTES:
                break
        size = max(opened.size, len(content))
    if size > MANIFEST_BYTES:
        raise LimitExceededError(
            f"The manifest is too large: {size:,} bytes.",
            where=landing.uri(name),
            allowed=f"at most {MANIFEST_BYTES:,} bytes",
            todo="replace the manifest by one with the keys that are needed",
        )
    return content
