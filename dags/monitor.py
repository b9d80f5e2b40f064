"""### Monitor: join outcomes to predictions, report, decide

Starts when a day's predictions are published. What it measures it decides from the tables: that day's inputs, and every
earlier day whose outcomes have come or were corrected since it was measured. It waits for one asset only: Airflow may leave
two runs of one day pending for ever when two assets that a DAG waits for come at once (apache/airflow#71070). Renders
Evidently reports (drift, summary, and performance where outcomes are known), then decides from their numbers: nothing, warn, or
retrain. A retrain decision starts the train DAG. Where the YAML declares `model.shadow_days`, it also decides on the challenger
when as many of its days have outcomes.
"""

from airflow.sdk import PartitionedAssetTimetable

from sluice.declare.spec import PREDICTIONS, load_with
from sluice.orchestration import assets
from sluice.orchestration.monitor import report_and_decide
from sluice.orchestration.stages import stage_dag

for spec in load_with("monitor"):
    predicted = PartitionedAssetTimetable(assets=assets.table(spec, PREDICTIONS))
    with stage_dag(spec, "monitor", schedule=predicted, doc=__doc__):
        report_and_decide(spec)
