"""### Ingest: land each source and cross it into its raw table

The first of a pipeline's Airflow DAGs. The partition key is the day that is about to be predicted. On its morning the
day's schedule is in, and the arrivals and the weather of the day before; registers come weekly. Each source crosses
on its own: **stage** parses the delivery against its contract where no reader looks, **audit** runs its Great
Expectations suite, **publish** makes it visible in one commit. A red audit means that the delivery is *held*: nothing
of it is visible, a mail says why, and the rest of the day waits. To go on, deliver a corrected file and trigger this
DAG again with the same partition key.

A live pipeline waits for a late delivery without a worker, until the next day is due; `<pipeline>_reconcile` starts every
day when it is due, and again when something came for it later.
"""

from datetime import timedelta

from airflow.sdk import PartitionedAssetTimetable

from sluice.declare.spec import load_all
from sluice.orchestration import assets
from sluice.orchestration.ingest import complete_day, find_deliveries
from sluice.orchestration.stages import crossing, stage_dag

for spec in load_all():
    wakes = PartitionedAssetTimetable(assets=assets.deliveries(spec))
    # One day after the other, however many have queued up. A run of a live pipeline may wait for a delivery until the next day
    # is due, and one of another day, a correction say, need not wait for that.
    at_once = 2 if spec.clock == "wall" else 1
    with stage_dag(
        spec, "ingest", schedule=wakes, doc=__doc__, max_active_runs=at_once, dagrun_timeout=timedelta(days=8)
    ):
        crossings = [crossing(spec, source) for source in spec.sources]
        find_deliveries(spec) >> crossings >> complete_day(spec)
