"""A pipeline with a source of each format whose limits are low, and what is asked of every file that it must refuse."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from sluice import crossing, holds, ledger
from sluice.core.errors import RetryableError, SluiceError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.ingest import deliveries
from sluice.lake import batches
from tests.ingest.hostile import MIB

DAY = "2013-01-02"
RUN = Run(dag_id="flights_ingest", run_id="test")
SOURCES = {"texts": "csv", "packed": "csv.gz", "lines": "jsonl", "blocks": "parquet"}
LIMITS = {
    "file_mib": 16,
    "unpacked_mib": 32,
    "rows": 100_000,
    "columns": 100,
    "memory_mib": 1024,
    "cpu_seconds": 10,
    "wall_seconds": 60,
}
# What the process that stages may grow by, whatever is delivered.
GROWTH = 64 * MIB


def declare(folder: Path, monkeypatch, limits: dict[str, int]) -> spec.Pipeline:
    """The default pipeline with the four sources, from YAML in which their limits are declared."""
    shutil.copytree(ROOT / "dags" / "pipelines", folder)
    path = folder / "flights.yml"
    declared = "".join(
        _SOURCE.format(name=name, format=each, limits=json.dumps(limits)) for name, each in SOURCES.items()
    )
    path.write_text(path.read_text().replace("\nderived:\n", f"{declared}\nderived:\n", 1))
    monkeypatch.setenv("SLUICE_PIPELINES", str(folder))
    settings.cache_clear()
    return spec.load("flights")


def place(pipeline, source, data=None, *, rows=1, number=1, pieces=()):
    """Deliver content, given whole or in pieces, with a manifest that fits; returns the path of the file."""
    name = f"{source}/{DAY}/{source}_{DAY}{f'_{number}' if number > 1 else ''}.{SOURCES[source]}"
    path = Path(pipeline.landing_url) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in pieces or [data]:
            file.write(piece)
            digest.update(piece)
    write_manifest(path, source, rows=rows, sha256=digest.hexdigest())
    return path


def write_manifest(path, source, **said):
    told = {"source": source, "day": DAY, "rows": 1, "sha256": "0" * 64, "contract_version": 1}
    told |= {"delivered_at": datetime.now(UTC).isoformat(), **said}
    path.with_name(path.name + deliveries.MANIFEST).write_text(json.dumps(told))


def stage(pipeline, source):
    return crossing.stage(pipeline, source, [DAY], RUN)


def refused(pipeline, source, proofs, name) -> SluiceError:
    """Stage what was delivered, and be sure that it is refused for good, recorded, listed, and cost this process nothing."""
    before = len(batches.staged("flights", source))
    with memory() as grown, pytest.raises(SluiceError) as caught:
        stage(pipeline, source)
    told = caught.value
    newest = ledger.entries(pipeline="flights", subject=source, limit=1)
    listed = [hold for hold in holds.open_holds(pipeline) if hold.table == source]
    kept = {
        "it is final": not isinstance(told, RetryableError),
        "it says where and what to do": all([told.what, told.where, told.allowed, told.todo]),
        "it is short": len(str(told)) < 2_500,
        "it can be written anywhere": str(told).isprintable(),
        "it is recorded": [(entry.kind, entry.data["what"]) for entry in newest] == [("refused", told.what)],
        "it is listed": len(listed) == 1,
        "nothing is staged": len(batches.staged("flights", source)) == before,
        "nothing is left": not list(settings().work.glob("reading-*")),
        "this process did not grow": grown() < GROWTH,
    }
    broken = [promise for promise, was_kept in kept.items() if not was_kept]
    proofs("hostile file", name, violations=len(broken))
    assert not broken, (broken, str(told)[:3000], grown() // MIB)
    return told


@contextmanager
def memory():
    """Calls give the bytes by which this process has grown at most."""
    me, stop = psutil.Process(), threading.Event()
    start = highest = me.memory_info().rss

    def watch():
        nonlocal highest
        while not stop.wait(0.005):
            highest = max(highest, me.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: highest - start
    finally:
        stop.set()
        thread.join()


_SOURCE = """
  {name}:
    owner: a-stranger
    description: Files that are not to be trusted.
    grain: one row a number
    key: [id]
    format: {format}
    cadence: daily
    licence: internal
    purpose: testing
    limits: {limits}
    contract:
      version: 1
      columns:
        id: {{type: integer, nullable: true}}
        text: {{type: string, nullable: true}}
"""
