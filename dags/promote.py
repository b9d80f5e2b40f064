"""### Promote: a person lets a challenger of a critical model become champion

Only of a model whose YAML declares `criticality: critical`. Starts when monitoring has decided that a challenger passed its shadow. The task
`approve_promotion` then waits, under *Required Actions*, for a person's answer with a reason: who approves answers for the
model, and both are recorded. What it rests on is asked again when the answer comes. After seven days without one it is refused. While it waits,
each day's monitoring starts this DAG again, and a run that finds another one asking ends at once. Trigger it to be asked now.
"""

from datetime import timedelta

from airflow.sdk import PartitionedAssetTimetable

from sluice.declare.spec import load_with
from sluice.orchestration import assets
from sluice.orchestration.promote import ANSWER_WITHIN, approval_of_challenger
from sluice.orchestration.stages import stage_dag

for spec in load_with("promote"):
    with stage_dag(
        spec,
        "promote",
        schedule=PartitionedAssetTimetable(assets=assets.approval_request(spec)),
        doc=__doc__,
        # A request waits for a person, and a newer one must not wait for it.
        max_active_runs=16,
        dagrun_timeout=ANSWER_WITHIN + timedelta(hours=3),
    ):
        approval_of_challenger(spec)
