"""Deliveries become one staged batch: found, checked, parsed, and every row accounted for.

A delivery is what its content hash says. A batch that was made from exactly the same files, by the same contract, is
not made again: what was held is audited again as it is, and what is published already needs no further publishing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import (
    BatchDamagedError,
    BatchUnknownError,
    DeliveryMissingError,
    DeliveryUnreadableError,
    PurposeExpiredError,
)
from sluice.core.partitions import Partition, date_of
from sluice.core.printable import printable
from sluice.core.runs import Run
from sluice.declare import pipeline_clock
from sluice.declare.spec import Contract, Pipeline
from sluice.ingest import deliveries, pseudonyms
from sluice.ingest.deliveries import Delivery
from sluice.ingest.reader import File, Reader
from sluice.lake import batches, inputs, tables
from sluice.lake.landing import Landing
from sluice.ledger import records

if TYPE_CHECKING:
    import pyarrow as pa

# The platform's columns of a raw table, besides the contract's: the partition, and which file a row came from.
DAY, DELIVERY = batches.DAY, "delivery_id"


def stage_source(
    spec: Pipeline,
    source: str,
    run_days: Sequence[str],
    run: Run,
    *,
    pseudonym_key: bytes | None = None,
) -> batches.Manifest:
    """Stage what the runs of some days must land of a source, as one batch with a partition a delivery.

    Rows that are alike in every column are kept once; the others are counted as dropped for `exact_duplicate`.

    Args:
        run_days: YYYY-MM-DD. Of a daily source each day that is expected must have been delivered, of a weekly one any.
        run: ids of the run that stages.
        pseudonym_key: replaces personal data; needed by a source that has some.

    Returns: the manifest of the new batch; or, unchanged, that of the batch that was made of the same files before,
        in full, also where only a split of it is published.

    Raises:
        SourceUnknownError: the pipeline does not declare the source.
        PurposeExpiredError: the source may not be used any more; nothing of it was looked at.
        PseudonymKeyMissingError: the source has personal data, and there is no key to replace it.
        DeliveryMissingError: a delivery that is due is not there, or not complete.
        DeliveryUnreadableError: a file or its manifest is damaged, or they do not fit each other; a file takes more
            than its source's limits allow, or breaks the process that reads it.
        ContractBrokenError: a file does not follow the contract.
        LandingUnreachableError: the landing zone does not answer.
    """
    import pyarrow as pa

    _require_purpose(spec, source, run_days)
    contract = spec.source(source).contract
    key = pseudonyms.require_key(contract, f"{spec.pipeline}.{source}", pseudonym_key)
    landing = Landing(spec.landing_url)
    found = _find_all(spec, source, run_days, landing)
    read = [as_input(delivery, contract, key) for delivery in found]
    if made := _made_before(spec, source, read):
        return made
    parts, made_from = [], []
    with Reader() as reader:
        for delivery, recorded in zip(found, read, strict=True):
            rows, noticed = _rows(spec, delivery, landing, reader, key)
            parts.append(rows)
            made_from.append({**recorded.record(), **noticed})
    received = pa.concat_tables(parts)
    kept = received.group_by(received.column_names, use_threads=False).aggregate([])
    return batches.stage(
        spec.pipeline,
        source,
        kept,
        partitions=[delivery.day for delivery in found],
        received=received.num_rows,
        dropped={"exact_duplicate": received.num_rows - kept.num_rows},
        inputs=made_from,
        run=run,
        sort_by=spec.source(source).key,
    )


def _require_purpose(spec: Pipeline, source: str, run_days: Sequence[str]) -> None:
    """Refuse a source whose purpose is over, by the pipeline's clock; before the feed's first day, by the run's."""
    declared = spec.source(source)
    if declared.purpose_expires is None:
        return
    try:
        today = pipeline_clock.today(spec)
    except DeliveryMissingError:
        today = date_of(run_days[-1])
    if today > declared.purpose_expires:
        raise PurposeExpiredError(
            f"The purpose of {source!r} ({declared.purpose}) ended on {declared.purpose_expires}; today is {today}.",
            where=f"{spec.pipeline}.{source} of the run {', '.join(run_days)}",
            allowed=f"deliveries until {declared.purpose_expires}",
            todo=f"ask {declared.owner} whether the purpose goes on; if so, move `purpose_expires` in "
            f"dags/pipelines/{spec.pipeline}.yml, if not, take the source out and delete what was kept of it",
        )


def _find_all(spec: Pipeline, source: str, run_days: Sequence[str], landing: Landing) -> list[Delivery]:
    by_day = {day: deliveries.find(spec, source, day, landing=landing) for day in run_days}
    found = [delivery for delivery in by_day.values() if delivery]
    absent = [day for day, delivery in by_day.items() if not delivery]
    expected = [day for day in absent if deliveries.is_expected(spec, source, day)]
    if missing := expected or ([] if found else absent):
        folder = f"{source}/{missing[0]}"
        there = ", ".join(printable(name.rsplit("/", 1)[1]) for name in landing.list(folder)) or "nothing"
        name = f"{source}_{spec.data_day(source, missing[0])}.{spec.source(source).format}"
        error = DeliveryMissingError(
            f"No complete delivery of {source!r} for the run of {', '.join(missing)}. In {folder} there is: {there}.",
            where=landing.uri(folder),
            allowed=f"{name} and, written after it, {name}{deliveries.MANIFEST}",
            todo=f"ask {spec.owner_of(source)} for it, or deliver it by hand with `sluice land`",
        )
        error.run_days = tuple(missing)
        raise error
    return found


def _made_before(spec: Pipeline, source: str, read: Sequence[inputs.Delivery]) -> batches.Manifest | None:
    """The full batch that was made from exactly these deliveries, if it may be published as what readers see next."""
    days = [each.day for each in read]
    now = {(each.reading, each.pseudonym_key) for each in read}
    shown = tables.published(spec.pipeline, source, min(days), max(days))
    seen = {shown[day].batch_id if day in shown else None for day in days}
    for manifest in _candidates(spec, source, days, seen):
        before = {(each.reading, each.pseudonym_key) for each in inputs.of(manifest, inputs.Delivery)}
        if before == now and all(batches.full_id(batch_id or "") <= manifest.batch_id for batch_id in seen):
            return manifest
    return None


def _candidates(
    spec: Pipeline, source: str, days: Sequence[str], seen: set[str | None]
) -> Iterator[batches.Manifest]:
    """The full batch that all of these days show, if there is one; then the one that was staged last and is whole."""
    shown = [batch_id for batch_id in seen if batch_id] if len(seen) == 1 else []
    staged = ledger.entries(
        records.Staged, pipeline=spec.pipeline, subject=source, partition=Partition.of(days), limit=1
    )
    for batch_id in dict.fromkeys([*shown, *(entry.record.batch_id for entry in staged)]):
        try:
            manifest = batches.load(spec.pipeline, source, batches.full_id(batch_id))
            batches.check_unchanged(manifest)
            if batch_id != manifest.batch_id:
                batches.check_unchanged(batches.load(spec.pipeline, source, batch_id))
        except (BatchUnknownError, BatchDamagedError):
            continue  # it was cleared away or edited: the deliveries are still there, and are staged again
        yield manifest


def _rows(
    spec: Pipeline, delivery: Delivery, landing: Landing, reader: Reader, key: bytes | None
) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of one delivery, with the platform's columns; and what is to be recorded of it (`sluice.lake.notes`)."""
    import pyarrow as pa

    declared = spec.source(delivery.source)
    file = reader.scratch / "delivered"
    deliveries.fetch(delivery, landing, file, declared.limits)
    parsed = reader.read(File(file, delivery.uri, declared, delivery.version), key)
    table, extra = parsed.table, list(parsed.left_out)
    if extra and declared.pii != "none":
        extra = [f"{len(extra)} whose names are not shown"]  # a name can be a person's
    if table.num_rows != delivery.manifest.rows:
        raise DeliveryUnreadableError(
            f"{delivery.name} holds {table.num_rows or 'no'} rows; its manifest announces {delivery.manifest.rows}.",
            where=delivery.uri,
            allowed="as many rows as announced",
            todo=deliveries.next_delivery(delivery.source, delivery.day),
        )
    noticed = {"extra_columns": extra, "undeclared_nulls": [vars(each) for each in parsed.null_like]}
    day = pa.repeat(pa.scalar(date_of(delivery.day)), table.num_rows)
    table = table.append_column(DAY, day)
    return table.append_column(DELIVERY, pa.repeat(delivery.delivery_id, table.num_rows)), noticed


def is_as_read(spec: Pipeline, delivery: Delivery, read: inputs.Delivery) -> bool:
    """Whether a delivery is the file that a batch was read from, and would be read in the same way now."""
    return as_input(delivery, spec.source(delivery.source).contract, None).agrees_with(read)


def as_input(delivery: Delivery, contract: Contract, key: bytes | None) -> inputs.Delivery:
    """Return a delivery, and how it is read, as a batch's manifest records it."""
    return inputs.Delivery.model_validate(
        {
            "uri": delivery.uri,
            "day": delivery.day,
            "number": delivery.number,
            "sha256": delivery.manifest.sha256,
            "rows": delivery.manifest.rows,
            "contract_version": delivery.manifest.contract_version,
            "read_as_version": delivery.version,
            # A delivery that is read in another way is another batch.
            "contract": contract.hash(delivery.version),
            "pseudonym_key": pseudonyms.key_id(key) if key else None,
            "delivered_at": delivery.manifest.delivered_at.isoformat(),
        }
    )
