"""When is a new model asked for? Pure: a history of events in, an answer out.

What is wrong with a model goes on being wrong until something is done, so that a rule which only looks at a day's numbers asks
every day. The rules kept here bring the loop to rest:

- one request at a time, and at most `per_week` in seven days;
- after refusals in a row the next request waits: `backoff_days`, doubled with each, at most `backoff_max_days`;
- a candidate that could not be compared counts in none of these: the next request waits for `backoff_days`;
- one that passed and stays an experiment counts in none either: the next request waits for `attest_days`;
- where no candidate has become champion yet, each refused one is followed by a request, after the same waits;
- a refused refresh (the model was only old) attests the champion for `attest_days`, or for the wait where that is longer;
- after `refusals_to_person` refusals in a row a person is asked, once;
- a drop that `tries_per_drop` new models did not end is nothing that training can mend: a person is asked, once, and no model
  is asked for until the drop is over (`drop_over_days` without an alarm), or a person has changed the champion.

Only an alarm about the model itself may ask. What is wrong with data is never among `CAUSES`, so that a fault of data, a held
input or a release cannot train anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from sluice_ml.config import RetrainingConfig

Cause = Literal["no_champion", "age", "performance", "calibration"]
# What may ask for a model. All candidates were refused until now, the model is old, or it is worse than it was: the latter is a drop.
CAUSES: tuple[Cause, ...] = ("no_champion", "age", "performance", "calibration")
DROPS = frozenset({"performance", "calibration"})

EventKind = Literal[
    "alarm",  # a day on which `causes` called for a model, whether one was asked for or not
    "asked",  # a model was asked for
    "refused",  # a candidate was refused
    "undecided",  # a candidate could not be compared: too few days, which says nothing about it
    "experiment",  # a candidate passed, and stays an experiment
    "promoted",  # a candidate became champion
    "skipped",  # nothing was trained: learning is paused
    "rolled_back",  # a person chose the champion
]
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Event:
    """Something that happened to the model of a pipeline; of a training, the day is the one that it was trained as of."""

    on: date
    kind: EventKind
    causes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Whether a model is asked for now, and why, or why not.

    `until` is the first day on which it may be asked for again. `person` says why a person is needed ("" where none is), and
    `since` with which day the series began that he is asked about: the same series has the same day, so that he is asked once.
    """

    ask: bool
    why: str
    until: date | None = None
    person: str = ""
    since: date | None = None


def answer(wanted: Collection[str], today: date, past: Iterable[Event], config: RetrainingConfig) -> Answer:
    """Decide whether a model is asked for.

    Args:
        wanted: what calls for a model today, of `CAUSES`.
        past: what happened until now, in the order in which it happened. What happened of a later day than `today` counts too:
            a decision that is made again must not act on a world that has moved on.

    Raises:
        ValueError: something else than a cause is among `wanted`.
    """
    if strange := sorted(set(wanted) - set(CAUSES)):
        raise ValueError(f"{strange} cannot ask for a model: only {', '.join(CAUSES)} can")
    state = _State(config)
    for event in past:
        state.apply(event)
    if DROPS & set(wanted):
        state.alarm(today)
    person, since = state.person(wanted)
    if not wanted:
        return Answer(False, "Nothing calls for a new model.")
    until, why = state.rest(wanted, today)
    return Answer(until is None and not why, why or _because(wanted), until, person, since)


def _because(wanted: Collection[str]) -> str:
    return f"A new model is asked for: {', '.join(cause for cause in CAUSES if cause in wanted)}."


@dataclass
class _State:
    """What the events come to."""

    config: RetrainingConfig
    asked: list[date] = field(default_factory=list)
    # The request that has no answer yet, and what it was about.
    pending: date | None = None
    about: frozenset[str] = frozenset()
    # Refusals in a row, of models that were asked for, or before there was a champion.
    refused: list[date] = field(default_factory=list)
    # The last candidate that could not be compared.
    undecided: date | None = None
    # The last candidate that stays an experiment.
    experiment: date | None = None
    # Whether there has been a champion.
    served: bool = False
    attested_until: date | None = None
    # The drop: its first and its last alarm, and how many answered requests were about it.
    drop_since: date | None = None
    drop_last: date | None = None
    drop_tries: int = 0

    def apply(self, event: Event) -> None:
        self.served |= event.kind in ("promoted", "rolled_back")
        if event.kind == "alarm":
            if DROPS & set(event.causes):
                self.alarm(event.on)
        elif event.kind == "asked":
            if DROPS & set(event.causes):
                self.alarm(event.on)
            self.asked.append(event.on)
            self.pending, self.about = event.on, frozenset(event.causes)
        elif event.kind == "skipped":
            self.pending = None
        elif event.kind == "undecided":
            self.pending, self.undecided = None, event.on
        elif event.kind == "experiment":
            self.pending, self.experiment = None, event.on
        elif self.pending is None or event.on < self.pending:
            # A training that nobody asked for here, or a roll-back: a person's. A refused one changed nothing, but that the
            # first champion is still awaited.
            if event.kind != "refused":
                self._start_again()
            elif not self.served and event.on not in self.refused:  # a decision that is repeated is one
                self.refused.append(event.on)
        elif event.kind == "rolled_back":
            self._start_again()
        else:
            self._answered(event)

    def alarm(self, on: date) -> None:
        if self.drop_last is None or (on - self.drop_last).days > self.config.drop_over_days:
            self.drop_since, self.drop_tries = on, 0
        # A day that is decided again must not take the drop back.
        self.drop_last = max(on, self.drop_last or on)

    def _answered(self, event: Event) -> None:
        self.pending = None
        if self.about & DROPS:
            self.drop_tries += 1
        if event.kind == "promoted":
            self.refused, self.attested_until = [], None
            return
        self.refused.append(event.on)
        if not self.about - {"age"}:
            days = max(self.config.attest_days, self._backoff())
            self.attested_until = event.on + timedelta(days=days)

    def _start_again(self) -> None:
        self.pending, self.refused, self.attested_until = None, [], None
        self.drop_since = self.drop_last = None
        self.drop_tries = 0

    def _backoff(self) -> int:
        """Days to wait after the refusals in a row."""
        return min(self.config.backoff_days * 2 ** (len(self.refused) - 1), self.config.backoff_max_days)

    @property
    def _stopped(self) -> bool:
        return self.drop_tries >= self.config.tries_per_drop

    def person(self, wanted: Collection[str]) -> tuple[str, date | None]:
        """Why a person is needed, and since when; "" and None where none is."""
        if DROPS & set(wanted) and self._stopped:
            return (
                f"{self.drop_tries} new models did not end the drop that began on {self.drop_since}: no more are asked for.",
                self.drop_since,
            )
        if len(self.refused) >= self.config.refusals_to_person:
            return (
                f"{self.config.refusals_to_person} candidates in a row were refused, since {self.refused[0]}.",
                self.refused[0],
            )
        return "", None

    def rest(self, wanted: Collection[str], today: date) -> tuple[date | None, str]:
        """Until when no model is asked for, and why; None and "" where one may be. A drop that was given up has no date."""
        drop = bool(DROPS & set(wanted))
        if drop and self._stopped:
            return None, self.person(wanted)[0]
        rests: list[tuple[date, str]] = []
        if self.pending is not None:
            # A request that is lost for good must not be waited for for ever.
            lost = self.pending + timedelta(days=self.config.backoff_max_days)
            rests.append((lost, f"A new model was asked for on {self.pending} already, and is awaited."))
        if self.refused:
            again = self.refused[-1] + timedelta(days=self._backoff())
            rests.append(
                (
                    again,
                    f"{_times(self.refused)} refused, on {self.refused[-1]}: the next is asked for on {again} at the earliest.",
                )
            )
        if self.undecided is not None:
            again = self.undecided + timedelta(days=self.config.backoff_days)
            rests.append((again, f"The candidate of {self.undecided} had too few days to be compared on."))
        if self.experiment is not None:
            again = self.experiment + timedelta(days=self.config.attest_days)
            rests.append(
                (again, f"The candidate of {self.experiment} passed, and stays an experiment until {again}.")
            )
        if not drop and self.attested_until is not None:
            rests.append(
                (
                    self.attested_until,
                    f"A refresh was refused on {self.refused[-1]}: the champion stands until {self.attested_until}.",
                )
            )
        lately = sorted(day for day in self.asked if day > today - _WEEK)
        if len(lately) >= self.config.per_week:
            again = lately[-self.config.per_week] + _WEEK
            rests.append(
                (
                    again,
                    f"{len(lately)} asked for since {lately[0]}: at most {self.config.per_week} in a week.",
                )
            )
        until, why = max(rests, default=(today, ""), key=lambda rest: rest[0])
        return (until, why) if until > today else (None, "")


def _times(refused: Sequence[date]) -> str:
    return "The last candidate was" if len(refused) == 1 else f"{len(refused)} candidates in a row were"
