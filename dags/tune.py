"""### Tune: search for other parameters of the model, and propose them

Only of a model whose YAML declares `model.tuning`. A person triggers it in the Airflow UI. Within the declared budget of CPU minutes it tries
parameters on what a training of today (by the pipeline's clock) would learn from, by the mean daily AUC on the days that choose the
rounds; the days that would judge a candidate of today are not looked at. It changes nothing: what it proposes, with all trials, is on its page under
*Evidence* and in the ledger, and a person who commits it to the YAML makes a change of recipe, which the next training has to earn.
"""

from datetime import timedelta

from sluice.declare.spec import load_with
from sluice.orchestration.stages import stage_dag
from sluice.orchestration.tune import search, time_for

for spec in load_with("tune"):
    with stage_dag(
        spec,
        "tune",
        schedule=None,
        doc=__doc__,
        max_active_runs=1,
        dagrun_timeout=time_for(spec) + timedelta(hours=2),
    ):
        search(spec)
