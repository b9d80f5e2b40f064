"""What evidence there is, read from the reports folder itself, so that the index cannot disagree with the pages.

A folder named after a day, or after a range of days, holds the pages of one partition; the path above it says what
they are about: <pipeline>/gates/arrivals/2013-02-08/<batch>.html. Other pages stand for the pipeline as a whole. Names
are listed for all days, but files are opened only for the days shown, so that the cost does not grow with history.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from sluice.core.links import DAY, GATES
from sluice.core.partitions import Partition
from sluice_ml.snapshots import ENDING

# The page that stands for its whole folder: of a monitored day, the one that says what the others mean.
INDEX = "index.html"
# How a decision about a monitored day is shown: its words and its colour, that of a verdict.
_DECISIONS = {"nothing": ("no action", "PASS"), "warn": ("warn", "WARN"), "retrain": ("retrain", "HOLD")}


@dataclass(frozen=True)
class Page:
    """One page: `path` relative to the reports folder; `outcome` is that of a verdict or of a decision, or empty."""

    path: str
    label: str
    outcome: str = ""

    @property
    def batch_id(self) -> str:
        """Of a gate's page: the batch that it judged."""
        return Path(self.path).stem


@dataclass(frozen=True)
class Sibling:
    """One of the pages about one partition: `page` and, where there is one, its `data` are names of files."""

    label: str
    page: str
    data: str | None


@dataclass(frozen=True)
class Evidence:
    """A pipeline's pages: `rows` holds, for each day shown (newest first), the pages of each of `columns`.

    `older` is the `before` that continues where this one ends, None at the end.
    """

    pipeline: str
    standing: tuple[Page, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[Page, ...], ...]], ...]
    older: str | None


def pipelines(reports: Path) -> list[str]:
    """Names of the pipelines that have evidence, sorted."""
    if not reports.is_dir():
        return []
    return sorted(
        entry.name
        for entry in os.scandir(reports)
        if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."
    )


def read(reports: Path, pipeline: str, *, days: int, before: str | None = None) -> Evidence | None:
    """The evidence of the newest `days` partitions older than `before`; None if the pipeline has none.

    Args:
        before: a partition (YYYY-MM-DD) that is not shown any more.
    """
    if pipeline not in pipelines(reports):
        return None
    root = reports / pipeline
    folders: dict[str, dict[str, Path]] = {}
    standing: list[Page] = []
    for at, names, files in os.walk(root):
        here = Path(at)
        column = here.relative_to(root).as_posix()
        for day in filter(DAY.fullmatch, names):
            folders.setdefault(column, {})[day] = here / day
        names[:] = [name for name in names if name[0] != "." and not DAY.fullmatch(name)]
        standing += [_page(reports, here / name) for name in files if _is_page(name)]
    partitions = sorted({day for found in folders.values() for day in found}, reverse=True)
    partitions = [day for day in partitions if before is None or day < before]
    shown = partitions[:days]
    # Gates first: they decide.
    columns = sorted(folders, key=lambda name: (not name.startswith(f"{GATES}/"), name))
    columns = [name for name in columns if folders[name].keys() & set(shown)]
    return Evidence(
        pipeline=pipeline,
        standing=tuple(sorted(standing, key=lambda page: page.path)),
        columns=tuple(name.removeprefix(f"{GATES}/") for name in columns),
        rows=tuple(
            (day, tuple(_pages(reports, folders[name].get(day)) for name in columns)) for day in shown
        ),
        older=shown[-1] if len(partitions) > len(shown) else None,
    )


def empty(pipeline: str) -> Evidence:
    """A pipeline that has no evidence."""
    return Evidence(pipeline, (), (), (), None)


def siblings(page: Path) -> list[Sibling]:
    """All pages about one partition, where they belong together: a bar to move between them.

    Pages of gate runs do not: each is a run of its own, listed with its verdict in the index.
    """
    if page.parent.parent.parent.name == GATES or not DAY.fullmatch(page.parent.name):
        return []
    names = {entry.name for entry in page.parent.iterdir()}
    return [
        Sibling(
            label=page.parent.name if name == INDEX else _words(Path(name).stem),
            page=name,
            data=data if (data := data_of(name)) in names else None,
        )
        for name in sorted(
            {_shown_as(name) for name in names if _is_page(name)}, key=lambda name: (name != INDEX, name)
        )
    ]


def partition_of(path: str) -> tuple[str, str, str] | None:
    """Of the path of a gate's page: pipeline, table and first day; None of another's."""
    parts = path.split("/")
    if len(parts) != 5 or parts[1] != GATES or not DAY.fullmatch(parts[3]):
        return None
    return parts[0], parts[2], Partition.parse(parts[3]).first


def snapshot_of(page: str) -> str:
    """The file of the snapshot that a page is rendered from where it is not kept itself; "" of what is no page."""
    return f"{page.removesuffix('.html')}{ENDING}" if page.endswith(".html") else ""


def data_of(name: str) -> str:
    """The file of what a page, or its snapshot, shows."""
    return f"{_shown_as(name).removesuffix('.html')}.json"


def _shown_as(name: str) -> str:
    """The name under which a file is opened: that of its page."""
    return f"{name.removesuffix(ENDING)}.html" if name.endswith(ENDING) else name


def _is_page(name: str) -> bool:
    return (name.endswith((".html", ENDING))) and name[0] != "."


def _pages(reports: Path, folder: Path | None) -> tuple[Page, ...]:
    """The pages of one partition; of a gate, the newest first, because its names start with the time.

    Where one page stands for its folder, it is the only one: it leads to the others.
    """
    if folder is None:
        return ()
    gate = folder.relative_to(reports).parts[1] == GATES
    files = os.scandir(folder)
    names = sorted({_shown_as(entry.name) for entry in files if _is_page(entry.name)}, reverse=gate)
    if gate:
        return tuple(_verdict(reports, folder / name) for name in names)
    if INDEX in names:
        return (_decision(reports, folder / INDEX),)
    return tuple(_page(reports, folder / name) for name in names)


def _page(reports: Path, path: Path) -> Page:
    label = path.parent.name if path.name == INDEX else path.stem
    return Page(path=path.relative_to(reports).as_posix(), label=_words(label))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _decision(reports: Path, path: Path) -> Page:
    """The page of a monitored day, labelled with its decision from the numbers beside it."""
    page = _page(reports, path)
    try:
        label, outcome = _DECISIONS[
            json.loads((path.parent / "numbers.json").read_text(encoding="utf-8"))["action"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return page
    return replace(page, label=label, outcome=outcome)


def _verdict(reports: Path, path: Path) -> Page:
    """A gate's page, labelled with the outcome from the verdict beside it."""
    try:
        verdict = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        outcome, partitions = str(verdict["outcome"]), verdict["partitions"]
    except (OSError, ValueError, KeyError, TypeError):
        # The page is evidence even where its verdict cannot be read: it is listed, and says so.
        return Page(path=path.relative_to(reports).as_posix(), label="no verdict", outcome="ERROR")
    label = f"{outcome}, {len(partitions)} days" if len(partitions) > 1 else outcome
    return Page(path=path.relative_to(reports).as_posix(), label=label, outcome=outcome)
