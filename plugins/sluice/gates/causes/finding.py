"""What a detector says: a known corruption that would explain what differs from earlier days, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.gates.verdict import CauseKind


@dataclass(frozen=True)
class Finding:
    """A corruption that would explain what differs.

    `score` (0 to 1) is how much of that it explains, a little less where something else often looks alike. The sentence is
    `columns` with `said`, which then begins with a verb of `_OF_SEVERAL`, and then `asked`. It has names, counts, shares and ratios, and
    never a value of a row: so it may be shown of tables about persons, too.
    """

    kind: CauseKind
    score: float
    said: str
    asked: str
    columns: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        if not self.columns:
            return f"{self.said}: {self.asked}"
        verb, rest = self.said.split(" ", 1)
        if len(self.columns) == 1:
            return f"{self.columns[0]} {verb} {rest}: {self.asked}"
        names = f"{', '.join(self.columns[:-1])} and {self.columns[-1]}"
        return f"{names} {_OF_SEVERAL[verb]} {rest}: {self.asked}"


_OF_SEVERAL = {"is": "are", "has": "have"}


def percent(share: float) -> str:
    return f"{share:.0%}"
