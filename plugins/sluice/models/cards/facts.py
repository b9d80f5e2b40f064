"""What is known of one version of a model, for its card and for the datasheet of what it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sluice.core.errors import ModelNotRecordedError
from sluice.declare.card import missing_card_fields
from sluice.ledger import Entry, model_records
from sluice.models import challenger, history, rebuild
from sluice.models.cards.document import Fact
from sluice.models.config import registry
from sluice.models.evidence import Check
from sluice.models.history import Change, Decision, History

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice_ml.model import ModelMeta

log = logging.getLogger(__name__)

UNRECORDED = "not recorded"
# What stands in the place of values that come from personal data.
_WITHHELD = "withheld, because the sources hold personal data"


@dataclass(frozen=True)
class Known:
    """A version: its training, what is kept of it in the registry, and all that was decided about the model."""

    spec: Pipeline
    training: Entry[model_records.Trained]
    history: History
    # None, with the problem in words, where the registry cannot be read.
    meta: ModelMeta | None
    problem: str

    @property
    def version(self) -> int:
        return self.training.record.version

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings that it was trained by; nothing where the registry cannot be read."""
        return self.meta.config if self.meta else {}

    @property
    def learned(self) -> Mapping[str, Any]:
        """The days that the model which serves was fitted on, as `ModelMeta.splits` describes them."""
        splits = self.training.record.splits
        return splits.get("refit") or splits.get("train") or {}

    @property
    def decisions(self) -> list[Decision]:
        """The decisions about it, the newest first."""
        return [one for one in self.history.decisions if one.version == self.version]

    @cached_property
    def checks(self) -> Sequence[Check]:
        """What the gate said of it, the last time that it was asked."""
        return next((one.checks for one in self.decisions if not one.in_shadow), ())

    @cached_property
    def reigns(self) -> list[Change]:
        """From when to when it was champion, the newest first."""
        return [one for one in self.history.changes if one.version == self.version]

    @property
    def is_champion(self) -> bool:
        return bool(self.reigns) and self.reigns[0] == self.history.changes[0]

    @cached_property
    def role(self) -> str:
        """What it is now, in words."""
        if self.is_champion:
            return "is champion"
        beside = challenger.current(self.spec)
        if beside and beside.record.version == self.version:
            return "is challenger"
        if self.reigns:
            return f"was champion until {self.reigns[0].ended}"
        return "was refused" if self.decisions and self.decisions[0].outcome == "refuse" else "is a candidate"

    def setting(self, name: str, declared: Any, shown: Callable[[Any], str] = str) -> str:
        """A setting that it was trained by; where that was not recorded, the one that is declared today, which is said."""
        return shown(self.config[name]) if name in self.config else f"{shown(declared)}, as declared today"

    @property
    def label_name(self) -> str:
        return str(self.config.get("label", self.spec.model.label))

    def label(self) -> Fact:
        """What is predicted; it is described as it is today."""
        said = self.setting("label", self.spec.model.label)
        return Fact("label", f"{said}: {self.spec.derived[self.spec.model.outcomes_table].description}")

    def stated(self, name: str, field: str) -> Fact:
        """What a person states under `model.card`."""
        said = self.spec.model.card.statement(field)
        return Fact(name, said or f"not stated (model.card.{field})", is_missing=said is None)

    def unstated(self) -> Iterator[str]:
        """A sentence that names all that a person has not stated; none where nothing is missing."""
        if missing := missing_card_fields(self.spec):
            yield f"Nobody has stated: {', '.join(missing)}."

    def values(self, texts: Sequence[str], none: str) -> str:
        """Texts that hold values of the data, one after the other, where these may be shown."""
        if texts and not self.spec.may_quote(None):
            return _WITHHELD
        return ", ".join(texts) or none

    def sentence(self, check: Check) -> str:
        """What a check found. That of the groups names values of their columns, and an error may quote one."""
        quotes = check.name == "slices" or check.state == "ERROR"
        return self.values([check.sentence], "") if quotes else check.sentence

    def waivers(self) -> Fact:
        """The waivers that its rows rest on."""
        found = (
            f"{one['table']} {one['partition']}, released by {one['by']} until {one['until']}"
            for one in self.training.record.waivers
        )
        return Fact("rests on waivers", "; ".join(found) or "none")

    def personal_data(self) -> Fact:
        """Which sources hold personal data, as they are declared."""
        found = [f"{name} ({one.pii})" for name, one in self.spec.sources.items() if one.pii != "none"]
        return Fact("personal data", ", ".join(found) or "none is declared")

    def purposes(self) -> Iterator[str]:
        """What the sources may be used for, and until when."""
        declared: dict[tuple[str, str], list[str]] = {}
        for name, one in self.spec.sources.items():
            until = f"until {one.purpose_expires}" if one.purpose_expires else "without an end"
            declared.setdefault((one.purpose, until), []).append(name)
        for (purpose, until), names in declared.items():
            yield f"{purpose}, {until} ({', '.join(names)})"


def read(spec: Pipeline, version: int | None = None) -> Known:
    """Read what is known of a version; of the champion or, without one, of the newest candidate, where none is given.

    Raises:
        ModelNotRecordedError: there is no such version, or nothing was trained yet.
    """
    from sluice_ml.errors import MlError

    found = history.read(spec)
    if version is None:
        newest = found.champion or found.candidate
        if newest is None:
            raise ModelNotRecordedError(
                f"No version of {spec.model.name} was trained yet.",
                where=f"the ledger, {spec.pipeline}",
                allowed="a model that was trained",
                todo=f"train one: trigger {spec.pipeline}_train",
            )
        version = newest.version
    training = rebuild.training_of(spec, version)
    try:
        return Known(spec, training, found, registry().description(spec.model.name, version), "")
    except (MlError, ConnectionError) as error:
        # The message of a library may name a host, a path or an account: the log has it, and a document that is handed on does not.
        log.warning("The registry's description of version %s cannot be read", version, exc_info=True)
        said = error.what if isinstance(error, MlError) else "the registry does not answer; the log says more"
        return Known(spec, training, found, None, said)
