"""The model card of a version, and the datasheet of what it was trained on.

The rule kept here: facts are read from the ledger, the registry and the YAML each time that somebody asks, and never typed; what only a
person can say is a key under `model.card`, and one that is missing is shown as missing. Page and Markdown render one `Document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from sluice.models.cards import datasheet, document, model_card

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# Name of a document, as its page and its command have it -> what writes it.
DOCUMENTS: Mapping[str, ModuleType] = {"card": model_card, "datasheet": datasheet}


def write(name: str, spec: Pipeline, version: int | None = None) -> document.Document:
    """Write one of DOCUMENTS about a version; about the champion or, without one, the newest candidate, where none is given.

    Raises:
        ModelNotRecordedError: there is no such version, or nothing was trained yet.
    """
    return DOCUMENTS[name].write(spec, version)


def markdown(name: str, spec: Pipeline, version: int | None = None) -> str:
    """As `write`, as Markdown."""
    return "".join(f"{line}\n" for line in document.markdown(write(name, spec, version)))
