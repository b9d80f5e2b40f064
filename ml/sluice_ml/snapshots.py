"""Evidently's reports, kept as snapshots and rendered when somebody opens one.

A page of Evidently is 4 MB, and all but the numbers of it is the same script every day. Kept are the snapshot, compressed, and
Evidently's results as JSON; from the snapshot the very same page is rendered, by the version of Evidently that is installed then.
"""

from __future__ import annotations

import json
import lzma
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sluice_ml.files import write

DRIFT, SUMMARY, CLASSIFICATION = "drift", "summary", "classification"
NAMES = (DRIFT, SUMMARY, CLASSIFICATION)
# Follows the name of a report.
ENDING = ".snapshot.json.xz"


def save(run: Any, folder: Path, name: str) -> dict[str, Any]:
    """Keep a run of an Evidently report as `name`; returns its results."""
    write(folder / f"{name}{ENDING}", lzma.compress(run.dumps().encode()))
    text = run.json()
    write(folder / f"{name}.json", text.encode())
    # What an earlier version kept of the day is about other numbers now.
    (folder / f"{name}.html").unlink(missing_ok=True)
    results: dict[str, Any] = json.loads(text)
    return results


def remove(folder: Path, name: str) -> None:
    """Remove a report that is not about the day any more."""
    for ending in (ENDING, ".json", ".html"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)


def kept(files: Iterable[str]) -> list[str]:
    """Names of the reports among the names of a folder's files; those of earlier versions are pages."""
    there = set(files)
    return [name for name in NAMES if there & {f"{name}{ENDING}", f"{name}.html"}]


def render(snapshot: bytes) -> str:
    """The page of a snapshot, as one HTML file that loads nothing from elsewhere.

    Raises:
        ValueError, EOFError, lzma.LZMAError: the file is damaged, or this version of Evidently cannot read it.
    """
    # Evidently asks at every report whether it may send usage data.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    from evidently.core.report import Snapshot

    return str(Snapshot.loads(lzma.decompress(snapshot).decode()).get_html_str(as_iframe=False))
