"""What this project has decided about other people's packages: policy.toml beside this file."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.core.errors import SpecInvalidError

FILE = Path(__file__).with_name("policy.toml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Declared(_Strict):
    """A licence that somebody looked up, because the package's metadata do not say it in a way that can be read.

    `found` is what they say; where that changes, the declaration no longer counts.
    """

    licence: str = Field(min_length=1, description="SPDX expression")
    found: str | None = None
    why: str = Field(min_length=10)


class Excepted(_Strict):
    """A package that may be used although its licence is not allowed in general."""

    licence: str = Field(min_length=1)
    why: str = Field(min_length=10)


class Accepted(_Strict):
    """An advisory that does not concern this project, until a day on which somebody looks again."""

    why: str = Field(min_length=10)
    until: date


class Policy(_Strict):
    """`allowed`: SPDX id to reason. `spelled`: how metadata write a licence, in lower case, to its SPDX expression."""

    allowed: dict[str, str]
    spelled: dict[str, str]
    declared: dict[str, Declared] = {}
    excepted: dict[str, Excepted] = {}
    advisories: dict[str, Accepted] = {}


@lru_cache(maxsize=2)
def load(path: Path = FILE) -> Policy:
    """The policy.

    Raises:
        SpecInvalidError: it cannot be used as written.
    """
    try:
        return Policy.model_validate(tomllib.loads(path.read_text()))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise SpecInvalidError(str(error), where=str(path), todo="correct the file") from error
