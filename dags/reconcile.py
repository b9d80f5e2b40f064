"""### Reconcile: start what is due, possible and not done

Compares what should be with what is, from the clock, the landing zone, the tables and the ledger (`sluice status` shows the same), and
starts what is missing: the day's ingest when its time has come, what came late, what was corrected, and whatever a run of Airflow that was
killed, skipped, marked, deleted or never made has left undone. Oldest day first, one day of ingest at a time; never what is held, nor
a DAG that is paused; what was started in vain is started again after a pause that doubles each time. To give a day up for good, use
`sluice skip`.

A live pipeline runs it on `reconcile_schedule`; of a replayed one, whoever moves the feed starts the runs, and may trigger this.
"""

from sluice.declare.spec import load_all
from sluice.orchestration.reconcile import reconcile_tasks
from sluice.orchestration.stages import by_the_clock, stage_dag

for spec in load_all():
    schedule = by_the_clock(spec, spec.reconcile_schedule)
    with stage_dag(spec, "reconcile", schedule=schedule, doc=__doc__, max_active_runs=1):
        reconcile_tasks(spec)
