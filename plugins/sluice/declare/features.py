"""What the YAML says of the model's features, and of how much there must be of them to be trusted."""

from __future__ import annotations

from pydantic import Field

from sluice.declare.contracts import Strict


class Features(Strict):
    """Columns of the feature table that the model sees."""

    numeric: tuple[str, ...] = Field(min_length=1)
    categorical: tuple[str, ...] = ()


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
