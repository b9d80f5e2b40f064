"""A whole delivery of another version: refused until it is mapped, held by what it says, staged as what it is read as."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice import crossing, ledger
from sluice.core.errors import ContractBrokenError
from sluice.declare.spec import Contract
from sluice.ingest import deliveries
from sluice.ingest.stage import stage_source
from sluice.lake import batches
from sluice_lab.feed import data as source_data
from sluice_lab.feed.formats import encode
from tests.ingest.staging import DAY, DAY_OF_DATA, RUN, deliver


def with_mappings(flights, **mappings):
    source = flights.source("arrivals")
    contract = Contract.model_validate(
        {**source.contract.model_dump(), "mappings": {int(name[1:]): each for name, each in mappings.items()}}
    )
    changed = source.model_copy(update={"contract": contract})
    return flights.model_copy(update={"sources": {**flights.sources, "arrivals": changed}})


@pytest.fixture
def arrivals(flights):
    return source_data.rows("arrivals", date(2013, 4, 2))


def test_stage_unknown_version_is_refused_until_it_is_mapped(flights, arrivals):
    deliver(flights, arrivals.rename_columns({"tailnum": "aircraft"}), contract_version=2)
    with pytest.raises(ContractBrokenError, match="follows version 2") as caught:
        crossing.stage(flights, "arrivals", [DAY], RUN)
    assert "version 1" in caught.value.allowed
    assert "mappings" in caught.value.todo
    assert [entry.kind for entry in ledger.entries(subject="arrivals")] == ["refused"]

    mapped = with_mappings(flights, v2={"rename": {"aircraft": "tailnum"}})
    manifest = crossing.stage(mapped, "arrivals", [DAY], RUN)
    assert manifest.rows == arrivals.num_rows
    (given,) = manifest.inputs
    assert (given["contract_version"], given["read_as_version"]) == (2, 2)
    assert given["contract"] == mapped.source("arrivals").contract.hash(2)
    assert crossing.audit(mapped, "arrivals", manifest.batch_id, RUN).publishes


def test_land_version_zero_is_a_version(flights, arrivals):
    """Zero is a version like any other, and not a version that was not given."""
    mapped = with_mappings(flights, v0={"rename": {"aircraft": "tailnum"}})
    delivered = encode(arrivals.rename_columns({"tailnum": "aircraft"}), "csv.gz")
    deliveries.land(mapped, "arrivals", "2013-04-02", delivered, version=0)
    manifest = crossing.stage(mapped, "arrivals", [DAY], RUN)
    assert [(one["contract_version"], one["read_as_version"]) for one in manifest.inputs] == [(0, 0)]
    assert manifest.rows == arrivals.num_rows


def test_stage_change_of_unit_is_held_and_the_same_delivery_passes_once_it_is_mapped(flights, arrivals):
    seconds = arrivals
    for name in ("dep_delay", "arr_delay", "air_time"):
        at = seconds.column_names.index(name)
        seconds = seconds.set_column(at, name, pc.multiply(seconds[name], 60))
    deliver(flights, seconds)
    held = crossing.stage(flights, "arrivals", [DAY], RUN)
    assert crossing.audit(flights, "arrivals", held.batch_id, RUN).outcome == "HOLD"

    minutes = dict.fromkeys(("dep_delay", "arr_delay", "air_time"), "1/60")
    mapped = with_mappings(flights, v2={"since": DAY_OF_DATA, "scale": minutes})
    manifest = crossing.stage(mapped, "arrivals", [DAY], RUN)
    assert manifest.batch_id != held.batch_id
    assert manifest.inputs[0]["sha256"] == held.inputs[0]["sha256"]
    assert (manifest.inputs[0]["contract_version"], manifest.inputs[0]["read_as_version"]) == (1, 2)
    assert crossing.audit(mapped, "arrivals", manifest.batch_id, RUN).publishes
    # A mapping for other days leaves this day's batch as it is.
    later = with_mappings(mapped, v2={"since": DAY_OF_DATA, "scale": minutes}, v3={"since": "2013-06-01"})
    assert stage_source(later, "arrivals", [DAY], RUN).batch_id == manifest.batch_id


def test_stage_added_column_is_recorded_and_warns(flights, arrivals):
    deliver(flights, arrivals.append_column("gate", pa.repeat("A1", arrivals.num_rows)))
    manifest = crossing.stage(flights, "arrivals", [DAY], RUN)
    assert manifest.inputs[0]["extra_columns"] == ["gate"]
    assert "gate" not in manifest.columns
    assert batches.load("flights", "arrivals", manifest.batch_id).noted == manifest.noted
    (staged,) = ledger.entries(kind="staged")
    assert staged.data["noted"] == [note.model_dump(mode="json") for note in manifest.noted]
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    assert verdict.outcome == "WARN"
    assert any("does not declare; they were left out: gate." in reason for reason in verdict.reasons)
