"""A whole installation, with tables, decisions, evidence and a model, is copied, adopted, and loses its original."""

from __future__ import annotations

import shutil

import pytest

from sluice import crossing, ledger
from sluice.core.errors import HomeMovedError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.holds import trace
from sluice.holds.show import traced
from sluice.lake import connection, snapshots, tables
from sluice.local import find_value, home
from sluice.models.config import registry
from sluice_lab.rehearsal import healthy

pytestmark = pytest.mark.long

FIRST, LAST = healthy.HISTORY


def _read() -> dict[str, object]:
    """Everything that is kept, as it is read."""
    flights = spec.load("flights")
    found: dict[str, object] = {"ledger": ledger.verify()}
    for table in (*flights.sources, *flights.derived, spec.PREDICTIONS):
        found[table] = tables.scan("flights", table, "2013-01-01", "2013-12-31")
        with connection.opened() as lake:
            refs = snapshots.existing(lake, "flights", table).refs()
        for name, ref in refs.items():
            found[f"{table}, {name}"] = tables.scan(
                "flights", table, "2013-01-01", "2013-12-31", snapshot_id=ref.snapshot_id
            )
        day = flights.data_day(table, LAST)
        found[f"{table}, story"] = [
            line.replace(str(settings().home), "") for line in traced(trace(flights, table, day))
        ]
    return found


def _champion() -> tuple[object, ...]:
    name = spec.load("flights").model.name
    loaded = registry().load(name, registry().roles(name)["champion"], threads=1)
    return loaded.version, loaded.meta


def test_copy_lives_without_its_original(tmp_path, use):
    original, copy = tmp_path / "original", tmp_path / "copy"
    use(original)
    healthy.build(print)
    before = _read()
    pages = sorted(path.relative_to(original) for path in (original / "reports").rglob("*") if path.is_file())
    champion = _champion()
    home.backup(tmp_path / "backup")
    shutil.copytree(tmp_path / "backup", copy)
    use(copy)
    with pytest.raises(HomeMovedError):
        ledger.entries()
    list(home.adopt())
    shutil.rmtree(original)
    use(copy)
    assert _read() == before
    assert sorted(path.relative_to(copy) for path in (copy / "reports").rglob("*") if path.is_file()) == pages
    assert _champion() == champion
    shutil.rmtree(tmp_path / "backup")
    assert not find_value.find_value(copy, {"the original": str(original)})
    # It goes on: the champion scores the day again from the copy's own features.
    flights = spec.load("flights")
    staged = crossing.stage(flights, spec.PREDICTIONS, [LAST], Run.of_task("test", "test", "score"))
    assert staged.rows == tables.scan("flights", spec.PREDICTIONS, LAST, LAST).num_rows
