"""A frozen reference: a version that is never replaced scores each monitored day beside the champion, and no reader sees its scores.

Whether training again has helped is seen by what would have been without it. The rule kept here: what the reference is given are the very
rows that the published predictions were made from, and whatever it cannot do holds up no measurement: the day says why, and warns when it begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice.ledger import champion
from sluice.models import scorer
from sluice_ml.errors import MlError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice_ml.model import Trained


# What a model of another time may meet here: files that are gone or cannot be read, a registry that does not answer (ConnectionError is an OSError),
# columns of another type (errors of Arrow and XGBoost are ValueErrors).
_CANNOT = (MlError, OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Reference:
    """`version` is None where none is declared, or nothing was champion yet; `model` None where it cannot be loaded, for the `problem`."""

    version: int | None = None
    model: Trained | None = None
    problem: str = ""

    def score(self, features: pa.Table, day: str) -> tuple[np.ndarray | None, dict[str, Any]]:
        """Score the rows of a day (YYYY-MM-DD).

        Returns: the scores, (rows,), None where there are none; and which version they are of, or why there are none, in the words of
            `sluice_ml.monitored_day.DayNumbers`.
        """
        import numpy as np

        if self.version is None:
            return None, {}
        scores, problem, learned = None, self.problem, False
        if self.model is not None and day <= self.model.meta.learned_until:
            problem, learned = f"It has learned from days to {self.model.meta.learned_until}.", True
        elif self.model is not None:
            try:
                scores = self.model.score(features)
            except _CANNOT as error:
                problem = _said(error)
            if scores is not None and not np.isfinite(scores).all():
                scores, problem = None, "Some of its scores are no numbers."
        return scores, {
            "reference_version": str(self.version),
            "reference_problem": problem,
            "reference_failed": bool(problem) and not learned,
        }


def load(spec: Pipeline) -> Reference:
    """The declared reference (`monitoring.reference`)."""
    declared = spec.monitoring.reference
    version = _first(spec) if declared == "first" else declared
    if version is None:
        return Reference()
    try:
        return Reference(version, scorer.usable(spec, version, None).model)
    except _CANNOT as error:
        return Reference(version, problem=_said(error))


def _said(error: Exception) -> str:
    # A library's own message may quote values.
    return error.what if isinstance(error, MlError) else f"It cannot be used here ({type(error).__name__})."


def _first(spec: Pipeline) -> int | None:
    """The first version that was champion."""
    moves = champion.decisions(spec.pipeline, spec.model.name)
    return next((move.record.version for move in reversed(moves) if move.record.version), None)
