"""What only a person can say of a model, and of the data that it learns from: `model.card` of a pipeline's YAML.

The model card and the datasheet (`sluice.models.cards`) show each statement under its heading, or that nobody has made it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.declare.contracts import Strict
from sluice.declare.field_types import NonEmptyStr

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# What `sluice new` writes in the place of what only a person knows.
_GAP = "?"


class Card(Strict):
    """The statements, in sentences; the headings are those of Mitchell et al. (2019) and Gebru et al. (2021)."""

    # What the scores are for, and who acts on them; what they must not be used for.
    intended_use: NonEmptyStr | None = None
    out_of_scope_uses: NonEmptyStr | None = None
    # Who is affected, what may go wrong for them, and what is done about it.
    ethical_considerations: NonEmptyStr | None = None
    # What else whoever uses the scores should know.
    caveats: NonEmptyStr | None = None
    # Why the training data were collected, and by whom; who may have them, and on which terms.
    motivation: NonEmptyStr | None = None
    distribution: NonEmptyStr | None = None

    def statement(self, name: str) -> str | None:
        """A statement on one line; None where nobody has made it."""
        said = " ".join((getattr(self, name) or _GAP).split())
        return None if said == _GAP else said

    @property
    def missing(self) -> list[str]:
        """Names of the statements that nobody has made."""
        return [name for name in Card.model_fields if self.statement(name) is None]


def missing_card_fields(spec: Pipeline) -> list[str]:
    """Keys of the statements about a pipeline's model that nobody has made (`model.card.intended_use`); none without a model."""
    return [f"model.card.{name}" for name in spec.model.card.missing] if spec.has_model else []
