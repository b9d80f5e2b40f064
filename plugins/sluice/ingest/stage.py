"""Deliveries become one staged batch: found, checked, parsed, and every row accounted for.

A delivery is what its content hash says. If what readers see of the same days was made from exactly the same files,
there is nothing to do, and the batch that is published already is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from sluice.errors import DeliveryMissingError, DeliveryUnreadableError
from sluice.ingest import deliveries
from sluice.ingest.deliveries import Delivery
from sluice.ingest.parse import parse
from sluice.lake import batches, tables
from sluice.lake.landing import Landing
from sluice.spec import Pipeline

if TYPE_CHECKING:
    import pyarrow as pa

# The platform's columns of a raw table, besides the contract's: the partition, and which file a row came from.
DAY, DELIVERY = batches.DAY, "delivery_id"


def stage_source(
    spec: Pipeline, source: str, run_days: Sequence[str], run: Mapping[str, str]
) -> batches.Manifest:
    """Stage what the runs of some days must land of a source, as one batch with a partition a delivery.

    Rows that are alike in every column are kept once; the others are counted as dropped for `exact_duplicate`.

    Args:
        run_days: YYYY-MM-DD. Of a daily source each day must have been delivered, of a weekly one at least one.
        run: ids of the run that stages.

    Returns: the manifest of the new batch; or, unchanged, that of the published batch of the same files.

    Raises:
        SourceUnknownError: the pipeline does not declare the source.
        DeliveryMissingError: a delivery that is due is not there, or not complete.
        DeliveryUnreadableError: a file or its manifest is damaged, or they do not fit each other.
        ContractBrokenError: a file does not follow the contract.
        LandingUnreachableError: the landing zone does not answer.
    """
    import pyarrow as pa

    landing = Landing(spec.landing_url)
    found = _find_all(spec, source, run_days, landing)
    if published := _published(spec, source, found):
        return published
    parts = [_rows(spec, delivery, landing) for delivery in found]
    received = pa.concat_tables(parts)
    kept = received.group_by(received.column_names, use_threads=False).aggregate([])
    return batches.stage(
        spec.pipeline,
        source,
        kept,
        partitions=[delivery.day for delivery in found],
        received=received.num_rows,
        dropped={"exact_duplicate": received.num_rows - kept.num_rows},
        inputs=[_input(delivery) for delivery in found],
        run=run,
        sort_by=spec.source(source).key,
    )


def _find_all(spec: Pipeline, source: str, run_days: Sequence[str], landing: Landing) -> list[Delivery]:
    by_day = {day: deliveries.find(spec, source, day, landing=landing) for day in run_days}
    found = [delivery for delivery in by_day.values() if delivery]
    missing = [day for day, delivery in by_day.items() if not delivery]
    if missing and (spec.source(source).cadence == "daily" or not found):
        folder = f"{source}/{missing[0]}"
        there = ", ".join(name.rsplit("/", 1)[1] for name in landing.list(folder)) or "nothing"
        name = f"{source}_{spec.data_day(source, missing[0])}.{spec.source(source).format}"
        raise DeliveryMissingError(
            f"No complete delivery of {source!r} for the run of {', '.join(missing)}. In {folder} there is: {there}.",
            where=landing.uri(folder),
            allowed=f"{name} and, written after it, {name}{deliveries.MANIFEST}",
            todo=f"ask {spec.owner_of(source)} for it, or deliver it by hand with `sluice land`",
        )
    return found


def _published(spec: Pipeline, source: str, found: Sequence[Delivery]) -> batches.Manifest | None:
    """The published batch that was made from exactly these deliveries, if readers see all of it."""
    days = [delivery.day for delivery in found]
    shown = tables.published(spec.pipeline, source, min(days), max(days))
    batch_id, *others = dict.fromkeys(shown[day].batch_id if day in shown else None for day in days)
    if others or batch_id is None:
        return None
    manifest = batches.load(spec.pipeline, source, batch_id)
    same = ("day", "sha256", "contract_version")
    before = {tuple(each[name] for name in same) for each in manifest.inputs}
    now = {tuple(each[name] for name in same) for each in map(_input, found)}
    return manifest if before == now else None


def _rows(spec: Pipeline, delivery: Delivery, landing: Landing) -> pa.Table:
    """The rows of one delivery, with the platform's columns."""
    import pyarrow as pa

    declared = spec.source(delivery.source)
    data = deliveries.read_checked(delivery, landing)
    table = parse(data, declared.format, declared.contract, where=delivery.uri, pii=declared.pii)
    if table.num_rows != delivery.manifest.rows:
        raise DeliveryUnreadableError(
            f"{delivery.name} holds {table.num_rows} rows; its manifest announces {delivery.manifest.rows}.",
            where=delivery.uri,
            allowed="as many rows as announced",
            todo=deliveries.next_delivery(delivery.source, delivery.day),
        )
    day = pa.repeat(pa.scalar(date.fromisoformat(delivery.day)), table.num_rows)
    table = table.append_column(DAY, day)
    return table.append_column(DELIVERY, pa.repeat(delivery.delivery_id, table.num_rows))


def _input(delivery: Delivery) -> dict[str, str | int]:
    """A delivery as a batch's manifest records it."""
    return {
        "kind": "delivery",
        "uri": delivery.uri,
        "day": delivery.day,
        "sha256": delivery.manifest.sha256,
        "rows": delivery.manifest.rows,
        "contract_version": delivery.manifest.contract_version,
        "delivered_at": delivery.manifest.delivered_at.isoformat(),
    }
