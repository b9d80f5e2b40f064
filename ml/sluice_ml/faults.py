"""Faults that a replay is given on purpose: whether monitoring finds them, when, and by which name.

Each is done to published rows or to scores that were made of them, and nothing else: features that are counted from outcomes stay as
they were. The same fault does the same to the same day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, get_args

from sluice_ml.findings import Finding, Name

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FaultKind = Literal[
    "ranking",  # scores of some rows are exchanged: the day's AUC is lower by `size`, and the scores are distributed as they were
    "power",  # scores are raised to the power of `size`: the order stays
    "labels",  # `size` times as large a share comes true (at most _MOST): rows that did not are left out, whatever their features
    "missing",  # no feature of `source` has a value
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
# By which names monitoring may tell a fault.
RIGHT: Mapping[FaultKind, tuple[Name, ...]] = {
    "ranking": ("concept change", "worse than reference"),
    "power": ("label shift",),
    "labels": ("label shift",),
    "missing": ("broken pipe",),
}
# The largest share that may come true: a day on which everything does has no AUC.
_MOST = 0.95


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong from `first` to `last`, on each `every`-th day beginning with the first; `size` and `source` as `FaultKind` says."""

    kind: FaultKind
    first: date
    last: date
    size: float = 0.0
    every: int = 1
    source: str = ""

    @property
    def sentence(self) -> str:
        what = {
            "ranking": f"AUC lower by {self.size:g}",
            "power": f"scores to the power of {self.size:g}",
            "labels": f"{self.size:g} times as many come true",
            "missing": f"all of {self.source} missing",
        }[self.kind]
        often = {1: "every day", 2: "every second day"}.get(self.every, f"every {self.every} days")
        return f"{what}, {often} from {self.first} to {self.last}"

    def is_named_by(self, finding: Finding) -> bool:
        return finding.name in RIGHT[self.kind] and (self.kind != "missing" or finding.about == self.source)

    def is_on(self, day: date) -> bool:
        return self.first <= day <= self.last and (day - self.first).days % self.every == 0

    def of_rows(self, rows: pa.Table, label: str, pipes: Mapping[str, Sequence[str]]) -> pa.Table:
        """The rows of one day (any day) with what this fault does to them.

        Args:
            label: the column of the outcome, null where it is not known.
            pipes: source to its features.
        """
        import pyarrow as pa

        if self.kind == "missing":
            for name in pipes[self.source]:
                place = rows.schema.get_field_index(name)
                rows = rows.set_column(place, name, pa.nulls(rows.num_rows, rows.schema.field(name).type))
        if self.kind == "labels":
            rows = rows.filter(
                pa.array(self._kept(rows[label].to_pandas().to_numpy(), rows["ds"][0].as_py()))
            )
        return rows

    def of_scores(self, scores: np.ndarray, auc: float | None, day: date) -> np.ndarray:
        """The scores of one day with what this fault does to them.

        Args:
            auc: how well these scores rank, None where nobody can say.
        """
        import numpy as np

        if self.kind == "power":
            return scores**self.size
        if self.kind != "ranking" or auc is None or auc <= 0.5:
            return scores
        # Where a share q of the rows has scores of others among them, AUC - 1/2 is 1 - q of what it was: of each pair that is
        # compared both rows keep theirs with (1 - q)^2, and one of them, which leaves half of it on average, with 2q(1 - q).
        generator = self._drawn(day)
        chosen = np.flatnonzero(generator.random(len(scores)) < self.size / (auc - 0.5))
        made = scores.copy()
        made[chosen] = scores[generator.permutation(chosen)]
        return made

    def _kept(self, label: np.ndarray, day: date) -> np.ndarray:
        """Which rows stay, so that among those with an outcome `size` times as large a share came true."""
        import numpy as np

        true, false = label == True, label == False  # noqa: E712 None where it is not known
        hits = int(true.sum())
        if not hits or not false.any():
            return np.ones(len(label), dtype=bool)
        rate = min(self.size * hits / (hits + false.sum()), _MOST)
        stay = hits * (1 - rate) / rate / false.sum()
        return ~false | (self._drawn(day).random(len(label)) < stay)

    def _drawn(self, day: date) -> np.random.Generator:
        import numpy as np

        return np.random.default_rng(day.toordinal())


@dataclass(frozen=True)
class Found:
    """What monitoring said of a fault that it did not say of the same days without it.

    `on` is the day of the run that first gave it a right name, None where none did, and `delay_days` how long after the fault's first day that
    was: 1 is the first morning on which its outcomes are known. `wrong` are other names by which it was called until then. `without` is the day on which the same was said
    without the fault, too, only later: then the fault did not find itself. `unknown` says why nobody can tell whether it would have been found.
    """

    fault: Fault
    on: date | None = None
    name: Name | None = None
    delay_days: int | None = None
    sentence: str = ""
    wrong: tuple[str, ...] = ()
    without: date | None = None
    unknown: str = ""

    @property
    def outcome(self) -> str:
        """The same in words."""
        called = f"; called {', '.join(self.wrong)} before" if self.wrong else ""
        if self.unknown:
            return f"nobody can say: {self.unknown}{called}"
        if self.on is None:
            return f"not found{called}"
        said = f"{self.name} on {self.on}, after {self.delay_days} days{called}"
        return f"{said}; but on {self.without} without it, too" if self.without else said
