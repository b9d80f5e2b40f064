"""What evidence there is, read from where it lies, so that the index cannot disagree with the pages.

A folder named after a day, or after a range of days, holds the pages of one partition; the path above it says what
they are about: <pipeline>/gates/arrivals/2013-02-08/<batch>.html. Other pages stand for the pipeline as a whole. Names
are listed for all days, but files are opened only for the days shown, so that the cost does not grow with history.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sluice.core.links import DAY, GATES
from sluice.core.partitions import Partition
from sluice.lake import evidence
from sluice_ml.snapshots import ENDING

# The page that stands for its whole folder: of a monitored day, the one that says what the others mean.
INDEX = "index.html"
# How a decision about a monitored day is shown: its words and its colour, that of a verdict.
_DECISIONS = {"nothing": ("no action", "PASS"), "warn": ("warn", "WARN"), "retrain": ("retrain", "HOLD")}


@dataclass(frozen=True)
class Page:
    """One page: `path`, its name as evidence; `outcome` is that of a verdict or of a decision, or empty."""

    path: str
    label: str
    outcome: str = ""

    @property
    def batch_id(self) -> str:
        """Of a gate's page: the batch that it judged."""
        return PurePosixPath(self.path).stem


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


def pipelines() -> list[str]:
    """Names of the pipelines that have evidence, sorted."""
    return evidence.folders()


def read(pipeline: str, *, days: int, before: str | None = None) -> Evidence | None:
    """The evidence of the newest `days` partitions older than `before`; None if the pipeline has none.

    Args:
        before: a partition (YYYY-MM-DD) that is not shown any more.
    """
    if pipeline not in pipelines():
        return None
    columns, standing = _kinds(pipeline)
    partitions = sorted({day for found in columns.values() for day in found}, reverse=True)
    partitions = [day for day in partitions if before is None or day < before]
    shown = partitions[:days]
    # Gates first: they decide.
    kinds = sorted(columns, key=lambda name: (not name.startswith(f"{GATES}/"), name))
    kinds = [name for name in kinds if columns[name] & set(shown)]
    cells = [(day, kind) for day in shown for kind in kinds]
    folders = [f"{pipeline}/{kind}/{day}" if day in columns[kind] else "" for day, kind in cells]
    pages = dict(zip(cells, _pages(folders), strict=True))
    return Evidence(
        pipeline=pipeline,
        standing=tuple(sorted(map(_page, standing), key=lambda page: page.path)),
        columns=tuple(name.removeprefix(f"{GATES}/") for name in kinds),
        rows=tuple((day, tuple(pages[day, kind] for kind in kinds)) for day in shown),
        older=shown[-1] if len(partitions) > len(shown) else None,
    )


def _kinds(pipeline: str) -> tuple[dict[str, set[str]], list[str]]:
    """What pages are about, each with its partitions; and the names of the pages that stand for the pipeline."""
    kinds: dict[str, set[str]] = {}
    standing: list[str] = []
    waiting = [pipeline]
    while waiting:
        here = waiting.pop()
        names, files = evidence.listed(here)
        if days := set(filter(DAY.fullmatch, names)):
            kinds[here.removeprefix(f"{pipeline}/")] = days
        waiting += [f"{here}/{name}" for name in names if name not in days]
        standing += [file.name for file in files if _is_page(file.name)]
    return kinds, standing


def empty(pipeline: str) -> Evidence:
    """A pipeline that has no evidence."""
    return Evidence(pipeline, (), (), (), None)


def siblings(page: str) -> list[Sibling]:
    """All pages about one partition, where they belong together: a bar to move between them.

    Pages of gate runs do not: each is a run of its own, listed with its verdict in the index.
    """
    folder = page.rpartition("/")[0]
    *above, day = folder.split("/")
    if GATES in above[-2:-1] or not DAY.fullmatch(day):
        return []
    names = {PurePosixPath(file.name).name for file in evidence.files(folder)}
    return [
        Sibling(
            label=day if name == INDEX else _words(PurePosixPath(name).stem),
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
    return evidence.data_of(_shown_as(name))


def _shown_as(name: str) -> str:
    """The name under which a file is opened: that of its page."""
    return f"{name.removesuffix(ENDING)}.html" if name.endswith(ENDING) else name


def _is_page(name: str) -> bool:
    return name.endswith((".html", ENDING))


def _pages(folders: Sequence[str]) -> Iterator[tuple[Page, ...]]:
    """The pages of each of some partitions; of a gate, the newest first, because its names start with the time.

    Where one page stands for its folder, it is the only one: it leads to the others.
    """
    shown = [_shown_pages(files) for files in evidence.files_of(folders)]
    # What each says of itself, all read together: from a bucket each would take a round trip.
    data = {page: _data_beside(page) for pages in shown for page in pages}
    said = dict(zip(data, evidence.read_all(data.values()), strict=True))
    for pages in shown:
        yield tuple(_labelled(page, said[page]) for page in pages)


def _shown_pages(files: Sequence[evidence.File]) -> list[str]:
    names = sorted({_shown_as(file.name) for file in files if _is_page(file.name)})
    if names and _is_of_gate(names[0]):
        return names[::-1]
    return [name for name in names if name.endswith(f"/{INDEX}")] or names


def _is_of_gate(page: str) -> bool:
    return page.split("/")[1] == GATES


def _data_beside(page: str) -> str:
    """The file that says what a page is to be labelled with."""
    return data_of(page) if _is_of_gate(page) else str(PurePosixPath(page).with_name("numbers.json"))


def _labelled(page: str, data: bytes | None) -> Page:
    """A page with its outcome: of a gate's from the verdict, of a monitored day's from the decision."""
    try:
        found = json.loads(data or b"")
        if _is_of_gate(page):
            outcome, partitions = str(found["outcome"]), found["partitions"]
            label = f"{outcome}, {len(partitions)} days" if len(partitions) > 1 else outcome
        elif page.endswith(f"/{INDEX}"):
            label, outcome = _DECISIONS[found["action"]]
        else:
            return _page(page)
    except (ValueError, KeyError, TypeError):
        # The page is evidence even where its verdict cannot be read: it is listed, and says so.
        return Page(page, "no verdict", "ERROR") if _is_of_gate(page) else _page(page)
    return Page(page, label, outcome)


def _page(path: str) -> Page:
    name = PurePosixPath(path)
    return Page(path, _words(name.parent.name if name.name == INDEX else name.stem))


def _words(name: str) -> str:
    return name.replace("_", " ")
