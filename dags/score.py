"""### Score: predict the day and cross the predictions

Starts when the day's features are published. The champion scores them in batches; while there is no champion the
declared baseline rule does, and every row says so. Predictions are held until their gate passes. Where the YAML declares
`model.shadow_days`, a challenger then scores the same rows, and no reader sees its scores. Where it declares `model.rollback`, predictions that
are held may bring back the champion before, which passes where this one fails.
"""

from airflow.sdk import PartitionedAssetTimetable

from sluice.declare.spec import PREDICTIONS, load_with
from sluice.orchestration import assets
from sluice.orchestration.rollback import roll_back_automatically
from sluice.orchestration.shadow import score_challenger
from sluice.orchestration.stages import crossing, stage_dag

for spec in load_with("score"):
    features = assets.table(spec, spec.model.features_table)
    with stage_dag(spec, "score", schedule=PartitionedAssetTimetable(assets=features), doc=__doc__):
        published = crossing(spec, PREDICTIONS, outlets=[assets.table(spec, PREDICTIONS)])
        if spec.model.shadow_days:
            published >> score_challenger(spec)
        if spec.model.rollback.automatic:
            audited = published.get_child_by_label(f"audit_{PREDICTIONS}")
            audited >> roll_back_automatically(spec)
