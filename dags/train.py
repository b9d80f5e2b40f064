"""### Train: a candidate earns the place of the champion, or does not get it

Starts when monitoring asks for it, or when a person triggers it with a day as partition key. Pins the tables'
snapshots, builds a training set as of that day, takes the simpler of a linear model and XGBoost where it is as good, and
registers the candidate. It becomes champion only if it beats the baseline and, on held-out days that the present champion
has not learned from, either beats that (a new recipe) or keeps up with it (newer days). Either way the decision and its
numbers are recorded. Where the YAML declares `model.shadow_days`, it scores in shadow first, and `promote_candidate` skips itself.
"""

from airflow.sdk import PartitionedAssetTimetable

from sluice.declare.spec import load_with
from sluice.orchestration import assets
from sluice.orchestration.stages import stage_dag
from sluice.orchestration.train import candidate_crossing

for spec in load_with("train"):
    with stage_dag(
        spec,
        "train",
        schedule=PartitionedAssetTimetable(assets=assets.training_request(spec)),
        doc=__doc__,
        max_active_runs=1,
    ):
        candidate_crossing(spec)
