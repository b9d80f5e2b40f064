"""### Transform: build features and outcomes with dbt and cross them

Starts when a day's raw tables are complete. Each table is built in a fresh DuckDB over the published Iceberg
snapshots: the features of the day, from what was known before its first departure, and the outcomes of the day
before. Both cross like a source does: stage, audit, publish.
"""

from airflow.sdk import PartitionedAssetTimetable

from sluice.declare.spec import load_with
from sluice.orchestration import assets
from sluice.orchestration.stages import HEAVY_POOL, crossing, stage_dag

for spec in load_with("transform"):
    with stage_dag(
        spec, "transform", schedule=PartitionedAssetTimetable(assets=assets.raw(spec)), doc=__doc__
    ):
        for table in spec.derived:
            crossing(spec, table, outlets=[assets.table(spec, table)], pool=HEAVY_POOL)
