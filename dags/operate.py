"""### Backfill: load a range of days in one run

For history, or after a long outage: lands every delivery of the range, crosses each source in one batch and one
commit, then builds and crosses features and outcomes of the whole range. It scores nothing: a prediction that was
never made on its day is not made afterwards.
"""

from datetime import timedelta

from airflow.sdk import Param

from sluice.declare.spec import load_all, load_with
from sluice.orchestration import operate, rollback
from sluice.orchestration.ingest import complete_day, find_deliveries
from sluice.orchestration.stages import HEAVY_POOL, crossing, stage_dag

REPLAY = """### Replay: send what is held through the same gate again

After the data, the rule or the mapping was corrected. Choose the table and the day of its data, as the mail about it
names them. The run that found the hold is run again: it stages the same delivery, or a corrected one that has come
since, and everything that waited for it follows. The last task says how many rows are repaired, still held and expired.
A replay where nothing is held is refused before anything is touched.
"""

RELEASE = """### Release: publish a held batch under a waiver

Say which table and day, why, and until when. The task `approve_release` then waits, under *Required Actions*, for a
person's answer. Who approves answers for it: name, reason and last day are recorded as a waiver and shown wherever the
data is used. After that day it counts as held again, and training refuses it. A gate that broke cannot be released.
"""

ROLLBACK = """### Roll back: let an earlier champion score again

Say which version, as `sluice model show` lists them, or `baseline` for the declared rule and no model, and why. Your name
and the reason are recorded in the ledger, and MLflow's aliases follow. Of a critical model `approve_rollback` first waits, under
*Required Actions*, for a person who approves it or rejects it: who did is recorded. The next run of the score DAG goes by it. `score_again`
mails which published predictions the other version made, and has those scored again whose time is not over; those of
earlier days stay as they were made. A version that never was champion has to earn it by the train DAG.
"""

for spec in load_with("rollback"):
    with stage_dag(
        spec,
        "rollback",
        schedule=None,
        doc=ROLLBACK,
        params=rollback.form(spec),
        # As of a release: of a critical model it waits for a person.
        max_active_runs=16,
        dagrun_timeout=rollback.ROLLBACK_ANSWER_WITHIN + timedelta(hours=3),
    ):
        rollback.roll_back(spec)

for spec in load_all():
    with stage_dag(spec, "replay", schedule=None, doc=REPLAY, params=operate.form(spec)):
        operate.replay(spec)

    with stage_dag(
        spec,
        "release",
        schedule=None,
        doc=RELEASE,
        params=operate.release_form(spec),
        # A request waits for a person, and others must not wait for it.
        max_active_runs=16,
        dagrun_timeout=operate.ANSWER_WITHIN + timedelta(hours=3),
    ):
        operate.release(spec)

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
