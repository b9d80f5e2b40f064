"""What is said of one partition of one table: what should be, and what is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

State = Literal[
    "published",  # readers see it, made from the newest inputs
    "outdated",  # readers see it, and newer inputs are there
    "ready",  # all that it needs is there, and nothing came of it yet
    "held",  # a person, or a corrected delivery, has to come
    "awaited",  # its delivery is not there, and its deadline has not come
    "missing",  # its delivery is not there, and its deadline has passed
    "blocked",  # an input is not published; readers may see what was built before
    "skipped",  # a person gave it up
]

# In the order in which a run day goes through them.
STAGES = ("ingest", "transform", "score", "monitor", "train")
# Table of the items that say whether a day's predictions were measured.
MONITORING = "monitoring"
# Table of the items that say whether a request for a new model was answered.
TRAINING = "training"

# States in which a run of the stage can do something now.
_POSSIBLE = ("ready", "outdated")
# States that ask for nothing more.
_DONE = ("published", "skipped")


@dataclass(frozen=True)
class Item:
    """One partition of a table, the monitoring of a day's predictions, or a day's request for a new model."""

    stage: str
    table: str
    # Partition key of the run that writes it (YYYY-MM-DD), and the day of its data.
    run_day: str
    day: str
    state: State
    # In a sentence; "" where the state says it all.
    reason: str = ""
    # Until when it may come, where that is declared.
    deadline: datetime | None = None
    # What readers see; None where they see nothing.
    batch_id: str | None = None

    @property
    def is_done(self) -> bool:
        return self.state in _DONE

    @property
    def is_possible(self) -> bool:
        return self.state in _POSSIBLE

    def sentence(self) -> str:
        text = f"{self.table} {self.day} is {self.state}"
        return f"{text}: {self.reason}" if self.reason else f"{text}."


@dataclass(frozen=True)
class Status:
    """All items of a pipeline, by run day, oldest first."""

    pipeline: str
    # The pipeline's present instant; None where its clock has not begun.
    now: datetime | None
    items: tuple[Item, ...]

    def of(self, stage: str) -> dict[str, list[Item]]:
        """Run day -> the items of a stage."""
        found: dict[str, list[Item]] = {}
        for item in self.items:
            if item.stage == stage:
                found.setdefault(item.run_day, []).append(item)
        return found

    def in_state(self, *states: State) -> list[Item]:
        return [item for item in self.items if item.state in states]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)


def by_table(items: Iterable[Item]) -> dict[tuple[str, str], Item]:
    """(table, day of data) -> item."""
    return {(item.table, item.day): item for item in items}
