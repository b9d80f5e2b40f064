"""What the YAML says of the model's features, and of how much there must be of them to be trusted."""

from __future__ import annotations

from pydantic import Field, model_validator

from sluice.core import strict_yaml
from sluice.declare.contracts import Strict


class Features(Strict):
    """Columns of the feature table that the model sees."""

    numeric: tuple[str, ...] = Field(min_length=1)
    categorical: tuple[str, ...] = ()
    # Numbers with which the score never falls, and never rises, while all else stays the same.
    increasing: tuple[str, ...] = ()
    decreasing: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _only_numbers_have_a_direction(self) -> Features:
        wrong = [
            (
                key,
                f"{name!r} is categorical: only a number has an order"
                if name in self.categorical
                else strict_yaml.no_such(name, "numeric feature of the model", self.numeric),
            )
            for key, names in (("increasing", self.increasing), ("decreasing", self.decreasing))
            for name in names
            if name not in self.numeric
        ]
        if wrong:
            raise strict_yaml.KeysWrong(wrong)
        if both := [name for name in self.increasing if name in self.decreasing]:
            raise ValueError(
                f"increasing and decreasing both name {both[0]!r}: leave it out of one, or of "
                "numeric if the score shall not depend on it"
            )
        return self


class Coverage(Strict):
    """Of what a model must have seen enough to be trusted with it: see `sluice_ml.coverage`."""

    # Columns whose values are segments; predictions of a segment with fewer training rows say that they are unsupported.
    segments: tuple[str, ...] = ()
    min_rows: int = Field(100, ge=1)


class Influence(Strict):
    """How much of what a model learns may come from one day, and of a day from one value: see `sluice_ml.influence`."""

    day: float = Field(1, gt=0, le=1)
    column: str | None = None
    value: float = Field(1, gt=0, le=1)
