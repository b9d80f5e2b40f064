"""### Monitor: join outcomes to predictions, report, decide

Starts when a day's predictions are published and the outcomes of the day before are in. Renders Evidently reports
(drift, summary, and performance where outcomes are known), then decides from their numbers: nothing, warn, or
retrain. A retrain decision starts the train DAG.
"""

from airflow.sdk import PartitionedAssetTimetable

from sluice.orchestration import assets
from sluice.orchestration.monitor import report_and_decide
from sluice.orchestration.stages import stage_dag
from sluice.spec import PREDICTIONS, load_all

for spec in load_all():
    landed = assets.table(spec, PREDICTIONS) & assets.table(spec, spec.model.outcomes_table)
    with stage_dag(spec, "monitor", schedule=PartitionedAssetTimetable(assets=landed), doc=__doc__):
        report_and_decide(spec)
