"""What a day costs does not depend on how many days there were before it: counted in work, not in seconds."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from sluice import holds, ledger
from sluice.lake import batches, quarantine, tables
from sluice.ledger import store
from sluice.watch import maintenance
from tests.watch.maintenance.conftest import RUN, TABLE, World

# Days before the one that is measured, and how many of them a commit loads, as a backfill does: enough commits for
# their manifests to be merged.
YOUNG, AGED, COMMITTED = 40, 400, 18
LAST = date(2013, 2, 28)
DAY = "2013-03-01"


def _days(count: int) -> list[str]:
    return [(LAST - timedelta(days=back)).isoformat() for back in range(count - 1, -1, -1)]


def _age(world: World, count: int) -> None:
    """A table of so many days in manifests of the usual size, and a ledger that knows each of them."""
    days = _days(count)
    for start in range(0, count, COMMITTED):
        chunk = days[start : start + COMMITTED]
        rows = pa.table(
            {
                "ds": pa.array([date.fromisoformat(day) for day in chunk], pa.date32()),
                "flight": pa.array(range(len(chunk)), pa.int64()),
            }
        )
        manifest = batches.stage(
            "flights", TABLE, rows, partitions=chunk, received=len(chunk), dropped={}, inputs=[], run=RUN,
            sort_by=["flight"],
        )  # fmt: skip
        tables.publish(manifest, verdict_id="v", retention=world.flights.retention)
        for day in chunk:
            world.note(
                "held", TABLE, day, batch_id=manifest.batch_id, reasons=["A test."], outcome="HOLD", rules=[]
            )
            parts = {day: {"sha256": manifest.hashes[day], "rows": 1}}
            world.note("published", TABLE, day, batch_id=manifest.batch_id, partitions=parts, rows=1)
            world.note("mail", TABLE, day, status="sent", episode=day, fault=day, message=day)
    maintenance.check_chain(world.flights, RUN)


@pytest.fixture
def work(monkeypatch):
    """Counts what is read: entries of the ledger, entries of manifests, and bytes of files of the lake."""
    from pyiceberg.io.pyarrow import PyArrowFile
    from pyiceberg.manifest import ManifestFile

    counted: Counter[str] = Counter()
    entry, fetch, opened = store._entry, ManifestFile.fetch_manifest_entry, PyArrowFile.open

    def counting_entry(row):
        counted["ledger entries"] += 1
        return entry(row)

    def counting_fetch(self, *given, **more):
        found = fetch(self, *given, **more)
        counted["manifest entries"] += len(found)
        return found

    def counting_open(self, *given, **more):
        counted["files opened"] += 1
        counted["bytes"] += Path(self.location.removeprefix("file://")).stat().st_size
        return opened(self, *given, **more)

    monkeypatch.setattr(store, "_entry", counting_entry)
    monkeypatch.setattr(ManifestFile, "fetch_manifest_entry", counting_fetch)
    monkeypatch.setattr(PyArrowFile, "open", counting_open)
    return counted


def _spent(work: Counter[str], do) -> dict[str, int]:
    work.clear()
    do()
    return dict(work)


def _measured(world: World, work: Counter[str], count: int) -> dict[str, dict[str, int]]:
    _age(world, count)
    crossed = world.stage(DAY, 7)
    world.judge(crossed)
    return {
        "publish": _spent(work, lambda: world.publish(crossed)),
        "read the last month": _spent(
            work, lambda: tables.published("flights", TABLE, _days(28)[0], LAST.isoformat())
        ),
        "what is held": _spent(work, lambda: holds.open_holds(world.flights)),
        "the story of a day": _spent(
            work, lambda: ledger.entries(pipeline="flights", subject=TABLE, partition=DAY)
        ),
    }


def test_a_day_costs_the_same_after_forty_days_and_after_four_hundred(
    home, tmp_path, monkeypatch, work, proofs
):
    from sluice.core.settings import settings

    taken = {}
    for count in (YOUNG, AGED):
        monkeypatch.setenv("SLUICE_HOME", str(tmp_path / f"aged-{count}"))
        settings.cache_clear()
        taken[count] = _measured(World(tmp_path / f"aged-{count}"), work, count)
    for what, young in taken[YOUNG].items():
        for kind, old in taken[AGED][what].items():
            # A manifest may be as long as its size allows, whatever the table's age: that is the one step.
            bound = 250 if kind == "manifest entries" else 80_000 if kind == "bytes" else 5
            grown = old - young.get(kind, 0)
            proofs("growth", f"{what}, {kind}", violations=int(grown > bound))
            assert grown <= bound, (
                f"{what}: {kind} {young.get(kind, 0)} after {YOUNG} days, {old} after {AGED}"
            )
    first = _days(AGED)
    month = _spent(work, lambda: tables.published("flights", TABLE, first[0], first[27]))
    assert month["manifest entries"] <= 250, "a month long ago is read from a manifest of all days"
    assert taken[AGED]["publish"]["ledger entries"] > 0, "nothing is counted"
    assert taken[AGED]["read the last month"]["manifest entries"] >= 28, "nothing is counted"


def test_looking_for_open_rows_opens_no_day_whose_rows_are_closed(world):
    def set_aside(day: str, number: int, *flights: int) -> None:
        rows = [{"ds": date.fromisoformat(day), "flight": flight} for flight in flights]
        aside = quarantine.table(
            [quarantine.set_aside(row, ["flight"], rule="r", reason="A test.") for row in rows]
        )
        quarantine.record(world.stage(day, number), aside, verdict_id="v")

    for day in ("2013-01-01", "2013-01-02", "2013-01-03"):
        set_aside(day, 1, 7)
    for day in ("2013-01-01", "2013-01-02"):
        set_aside(day, 2)
    opened = []
    real = quarantine.rows

    def noted(pipeline: str, table: str, start: str, end: str):
        opened.append((start, end))
        return real(pipeline, table, start, end)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quarantine, "rows", noted)
        found = quarantine.open_counts(world.flights)
    assert found == {TABLE: {"2013-01-03": {"r": 1}}}
    assert opened == [("2013-01-03", "2013-01-03")]
