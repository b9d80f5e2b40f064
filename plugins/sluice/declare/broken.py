"""A pipeline whose YAML cannot be used, with what can still be read of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from sluice.core import strict_yaml
from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare.field_types import Address, NonEmptyStr


@dataclass(frozen=True)
class BrokenPipeline:
    """`mail_to` is empty if it cannot be read."""

    pipeline: str
    error: SpecInvalidError
    owner: str
    mail_to: tuple[str, ...]


def describe_broken(name: str, error: SpecInvalidError) -> BrokenPipeline:
    """Describe a pipeline whose YAML cannot be used: owner and addresses are taken from it where they are sound."""
    try:
        raw = strict_yaml.read(settings().pipelines / f"{name}.yml")
    except SpecInvalidError:
        raw = None
    found = _Contact()
    for field in _Contact.model_fields:
        if isinstance(raw, dict) and field in raw:
            with suppress(ValidationError):
                found = found.model_copy(
                    update={field: getattr(_Contact.model_validate({field: raw[field]}), field)}
                )
    return BrokenPipeline(name, error, found.owner, found.mail_to)


class _Contact(BaseModel):
    """Who is asked about a pipeline."""

    owner: NonEmptyStr = "sluice"
    mail_to: tuple[Address, ...] = ()
