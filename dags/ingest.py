"""### Ingest: land each source and cross it into its raw table

The first of a pipeline's Airflow DAGs. The partition key is the day that is about to be predicted. On its morning the
day's schedule is in, and the arrivals and the weather of the day before; registers come weekly. Each source crosses
on its own: **stage** parses the delivery against its contract where no reader looks, **audit** runs its Great
Expectations suite, **publish** makes it visible in one commit. A red audit means that the delivery is *held*: nothing
of it is visible, a mail says why, and the rest of the day waits. To go on, deliver a corrected file and trigger this
DAG again with the same partition key.
"""

from sluice.orchestration.ingest import complete_day, find_deliveries
from sluice.orchestration.stages import crossing, daily, in_order, stage_dag
from sluice.spec import load_all

for spec in load_all():
    with stage_dag(spec, "ingest", schedule=daily(spec), doc=__doc__, **in_order(spec)):
        crossings = [crossing(spec, source) for source in spec.sources]
        find_deliveries(spec) >> crossings >> complete_day(spec)
