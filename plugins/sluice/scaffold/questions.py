"""What is asked about a new pipeline, what is proposed, and which answers are refused.

Each question has a flag of `sluice new`; where neither a flag nor a person answers, the proposal counts. Every proposal is measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sluice.core import clock
from sluice.core.errors import SampleRefusedError
from sluice.core.partitions import date_of, day_of, days_later
from sluice.scaffold.declaration import Answers, SourceAnswers
from sluice.scaffold.header import FORMATS, refused
from sluice.scaffold.measure import Measured, Measurements
from sluice.scaffold.sample import Sample, read

# Asks a person: the question and the proposal, "" where there is none; returns the answer.
Ask = Callable[[str, str], str]

NONE = "none"
_CADENCES = ("daily", "weekly")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Samples whose days are further apart are not of one run.
_MOST_LAG = 7
# A column is proposed as that of the day where as many rows on average share one; two rows are the fewest that can.
_ROWS_PER_DAY = 2
# A newer sample is taken for one of a feed that comes every day.
_RECENT = timedelta(days=7)


@dataclass(frozen=True)
class Given:
    """What was given by flags; by source, where a flag is about one."""

    owner: str = ""
    mails: tuple[str, ...] = ()
    zone: str = "UTC"
    clock: str = ""
    day_columns: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    cadences: Mapping[str, str] = field(default_factory=dict)
    lags: Mapping[str, str] = field(default_factory=dict)
    as_text: Mapping[str, Collection[str]] = field(default_factory=dict)


def source_name(path: Path) -> str:
    """The name of the source that a file is a sample of, by the file's.

    Raises:
        SampleRefusedError: no name can be made of it.
    """
    stem = path.name.lower()
    for ending in sorted(FORMATS, key=len, reverse=True):
        stem = stem.removesuffix(ending)
    name = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    if not _NAME.fullmatch(name):
        raise refused(
            path,
            f"No name of a source can be made of {path.name!r}.",
            "lower-case letters, digits and _, beginning with a letter",
            f"name it: --from trips={path}",
        )
    return name


def collect_answers(name: str, files: Mapping[str, Path], given: Given, ask: Ask) -> Answers:
    """Read and measure the samples, and ask for what is not given.

    Args:
        name: of the pipeline.
        files: name of a source -> its sample.

    Raises:
        SampleRefusedError: a sample cannot be used, or an answer does not fit it; says what to do.
    """
    _check_zone(given.zone)
    found = {source: _measured(source, path, given) for source, path in files.items()}
    columns = {source: _day_column(*each, given, ask) for source, each in found.items()}
    held = {source: found[source][1].days[column] for source, column in columns.items() if column}
    days = {source: each[0] for source, each in held.items()}
    newest = max((each[-1] for each in held.values()), default="")
    today = clock.utc_now().astimezone(ZoneInfo(given.zone)).date()
    lags = {
        source: _lag(found[source][0], held[source][-1] if source in held else None, newest, given, ask)
        for source in files
    }
    run_day = max((days_later(day, lags[source]) for source, day in days.items()), default=day_of(today))
    sources = tuple(
        SourceAnswers(
            sample=sample,
            measured=measured,
            day_column=columns[source],
            day=days.get(source) or days_later(run_day, -lags[source]),
            last_day=held[source][-1] if source in held else days_later(run_day, -lags[source]),
            key=_key(sample, measured, given, ask),
            cadence=_cadence(sample, columns, given, ask),
            lag_days=lags[source],
        )
        for source, (sample, measured) in found.items()
    )
    if all(one.cadence == "weekly" for one in sources):
        raise SampleRefusedError(
            "All sources are weekly: the days of a pipeline are those of its daily sources, and it would never run.",
            allowed="one daily source or more",
            todo="give one of them --cadence daily; a day without a delivery of it can be left out by `expected`",
        )
    recent = max(date_of(one.last_run_day) for one in sources) >= today - _RECENT
    return Answers(
        name=name,
        owner=given.owner or _required("Owner of the pipeline (a team or a person)", "--owner", ask),
        mails=given.mails or (_required("Address that its mails go to", "--mail", ask),),
        zone=given.zone,
        clock=given.clock or ("wall" if recent else "feed"),
        starts=date_of(run_day),
        sources=sources,
    )


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SampleRefusedError(
            f"There is no time zone {zone!r}.",
            allowed="UTC, or a name such as Europe/Berlin",
            todo="correct --timezone",
        ) from None


def _measured(source: str, path: Path, given: Given) -> tuple[Sample, Measured]:
    sample = read(source, path, given.zone, given.as_text.get(source, ()))
    with Measurements(sample, given.zone) as measurements:
        return sample, measurements.all()


def _day_column(sample: Sample, measured: Measured, given: Given, ask: Ask) -> str | None:
    """The column that says of which day a row is."""
    # A column of one day says it best, and a day says it better than an instant.
    single = [name for name, days in measured.days.items() if len(days) == 1]
    single.sort(key=lambda name: sample.contract.columns[name].type != "date")
    # Of several days only one column is proposed, and one that names most days of its time: a date of birth does not.
    several = [
        name for name, days in measured.days.items() if len(days) > 1 and _is_dense(days, measured.rows)
    ]
    chosen = given.day_columns.get(sample.source)
    if chosen is None and not single and measured.days and len(several) != 1:
        said = ", ".join(
            f"{name!r} ({len(days)} days, {days[0]} to {days[-1]})" for name, days in measured.days.items()
        )
        raise refused(
            sample.path,
            f"Which column says the day of a row is not clear: {said}; the sample has {measured.rows} rows.",
            "a column that says of which day a row is, or that the file is as a whole of the day it is landed for",
            f"give --day-column {next(iter(measured.days))}, say, or --day-column {NONE}",
        )
    if chosen is None:
        chosen = ask(
            f"{sample.source}: column with the day of a row, or {NONE}", (*single, *several, NONE)[0]
        )
    if chosen == NONE:
        return None
    column = sample.contract.columns.get(chosen)
    if column is None:
        raise refused(
            sample.path,
            f"There is no column {chosen!r} that could say the day of a row.",
            ", ".join([*sample.contract.columns, NONE]),
            "correct the name",
        )
    if chosen not in measured.days:
        why = "misses values" if column.type in ("date", "timestamp") else f"is {column.type}"
        raise refused(
            sample.path,
            f"Column {chosen!r} cannot say the day of a row: it {why}.",
            ", ".join([*measured.days, NONE]),
            "choose a column of days or instants without gaps, or say that the file is as a whole of the day it is landed for",
        )
    last, today = measured.days[chosen][-1], day_of(clock.utc_now().date())
    if last > days_later(today, 1):
        raise refused(
            sample.path,
            f"Column {chosen!r} names {last}, a day to come: no file of that day can have been delivered.",
            f"days up to {today}",
            f"correct the sample, or choose another column: {', '.join([*measured.days, NONE])}",
        )
    return chosen


def _is_dense(days: Sequence[str], rows: int) -> bool:
    """Whether rows are of most days of a time, and several of each: those of working days are five of seven."""
    span = (date_of(days[-1]) - date_of(days[0])).days + 1
    return len(days) * 2 > span and len(days) * _ROWS_PER_DAY <= rows


def _key(sample: Sample, measured: Measured, given: Given, ask: Ask) -> tuple[str, ...]:
    answer = given.keys.get(sample.source)
    if answer is None:
        answer = ask(f"{sample.source}: key, columns with commas between them", ",".join(measured.key or ()))
    key = tuple(part.strip() for part in answer.split(",") if part.strip())
    columns = sample.contract.columns
    if not key:
        raise refused(
            sample.path,
            "No set of up to four columns without gaps is different in each row.",
            "columns that tell each row from the others",
            "give them with --key, or a sample that has them",
        )
    if unknown := [name for name in key if name not in columns]:
        raise refused(
            sample.path,
            f"The key names {unknown[0]!r}, which is no column.",
            ", ".join(columns),
            "correct it",
        )
    with Measurements(sample, given.zone) as measurements:
        repeated = measurements.repeated(key)
    if repeated:
        raise refused(
            sample.path,
            f"The key {', '.join(key)} is not unique: {repeated} different rows of the sample share theirs with another.",
            f"columns that tell each row from the others{', such as ' + ', '.join(measured.key) if measured.key else ''}",
            "add a column to the key, or give a sample without the repetitions",
        )
    return key


def _cadence(sample: Sample, day_columns: Mapping[str, str | None], given: Given, ask: Ask) -> str:
    """How often a source is delivered; of a file without a day, as a register is, more rarely than those with one."""
    answer = given.cadences.get(sample.source)
    if answer is None:
        register = day_columns[sample.source] is None and any(day_columns.values())
        proposal = "weekly" if register else "daily"
        answer = ask(f"{sample.source}: how often it is delivered, {' or '.join(_CADENCES)}", proposal)
    if answer not in _CADENCES:
        raise refused(
            sample.path,
            f"{answer!r} is no cadence that a source can have: partitions are days.",
            ", ".join(_CADENCES),
            "deliver what comes more often a day at a time, and what comes more rarely as weekly",
        )
    return answer


def _lag(sample: Sample, day: str | None, newest: str, given: Given, ask: Ask) -> int:
    answer = given.lags.get(sample.source)
    if answer is None:
        answer = ask(
            f"{sample.source}: days from the day of the data to the run that lands it",
            str(_usual_lag(sample, day, newest)),
        )
    if not re.fullmatch(r"[0-9]{1,3}", answer):
        raise refused(sample.path, f"{answer!r} is no number of days.", "0, 1, 2, ...", "correct it")
    return int(answer)


def _usual_lag(sample: Sample, day: str | None, newest: str) -> int:
    """A day is complete when it is over; of samples of one run, that of an earlier day comes later."""
    if day is None:
        return 0
    behind = (date_of(newest) - date_of(day)).days
    if behind > _MOST_LAG:
        raise refused(
            sample.path,
            f"The sample is of {day}, and another one of {newest}: they are not of one run.",
            f"samples whose days are at most {_MOST_LAG} days apart",
            "give files of one run, or say with --lag-days how late each comes",
        )
    return 1 + behind


def _required(question: str, flag: str, ask: Ask) -> str:
    answer = ask(question, "").strip()
    if not answer:
        raise SampleRefusedError(
            f"{question}: no file says it, and nobody answered.",
            allowed="an answer",
            todo=f"give it with {flag}",
        )
    return answer


def by_source(flag: str, values: Sequence[str], sources: Collection[str]) -> dict[str, list[str]]:
    """Values of a flag by source: `SOURCE=VALUE`, or `VALUE` where there is one source.

    Raises:
        SampleRefusedError: a value names no source that there is.
    """
    found: dict[str, list[str]] = {}
    for value in values:
        before, equals, after = value.partition("=")
        if equals and before in sources:
            found.setdefault(before, []).append(after)
        elif len(sources) == 1 and not equals:
            found.setdefault(next(iter(sources)), []).append(value)
        else:
            raise SampleRefusedError(
                f"{flag} {value!r} does not say which source it is about.",
                allowed=", ".join(f"{source}=..." for source in sources),
                todo="put the source and = before the value",
            )
    return found
