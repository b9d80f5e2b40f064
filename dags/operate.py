"""### Backfill: load a range of days in one run

For history, or after a long outage: lands every delivery of the range, crosses each source in one batch and one
commit, then builds and crosses features and outcomes of the whole range. It scores nothing: a prediction that was
never made on its day is not made afterwards.
"""

from airflow.sdk import Param

from sluice.orchestration.ingest import complete_day, find_deliveries
from sluice.orchestration.stages import HEAVY_POOL, crossing, stage_dag
from sluice.spec import load_all

for spec in load_all():
    with stage_dag(
        spec,
        "backfill",
        schedule=None,
        doc=__doc__,
        max_active_runs=1,
        params={
            "first_day": Param(type="string", format="date", description="First run day of the range"),
            "last_day": Param(type="string", format="date", description="Last run day of the range"),
        },
    ):
        crossings = [crossing(spec, source) for source in spec.sources]
        derived = [crossing(spec, table, pool=HEAVY_POOL) for table in spec.derived]
        find_deliveries(spec) >> crossings >> complete_day(spec, announce=False) >> derived
