"""### Watch: notice what did not happen

Looks by itself, whatever Airflow's other DAGs did or did not do. Which sources were not delivered by their deadline? Which
published partitions are not what was published any more? Which waivers are over? Can what the pipeline declares be
used: YAML, suites, dbt models? Each finding is told once, in one
mail. Then mails that could not be sent are sent, and the day's warnings go out together. The page of the catalogue is
written anew, for the evidence index.

A live pipeline runs it on `watch_schedule`; of a replayed one, whoever moves the feed triggers it. `sluice watch` looks
for the same by hand.
"""

from sluice.declare.spec import load_all
from sluice.orchestration.stages import by_the_clock, stage_dag
from sluice.orchestration.watch import watch_tasks

for spec in load_all():
    schedule = by_the_clock(spec, spec.watch_schedule)
    with stage_dag(spec, "watch", schedule=schedule, doc=__doc__, max_active_runs=1):
        watch_tasks(spec)
