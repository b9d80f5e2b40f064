"""### Maintain: keep day 365 as cheap as day 1

Checks the chain of the ledger, then clears away what `retention` in the pipeline's YAML says is no longer needed: old
snapshots, files that no snapshot refers to, staged batches that nobody sees or waits for, old pages, mails and scratch
folders. Then it looks for the file of every published partition. Never touched are what readers see, what a training
has pinned, what is held or set aside, what a task may be about to publish, and Airflow's own database. The logs say
what went; so does `sluice ledger --kind maintained`.

A live pipeline runs it on `maintain_schedule`; of a replayed one, trigger it. It may run beside anything, be killed, and
run again. `sluice maintain flights --dry-run` says what it would do.
"""

from sluice.declare.spec import load_all
from sluice.orchestration.maintain import maintain_tasks
from sluice.orchestration.stages import by_the_clock, stage_dag

for spec in load_all():
    schedule = by_the_clock(spec, spec.maintain_schedule)
    with stage_dag(spec, "maintain", schedule=schedule, doc=__doc__, max_active_runs=1):
        maintain_tasks(spec)
