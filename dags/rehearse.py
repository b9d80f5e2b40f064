"""### Rehearse: try a fault on a copy of a healthy state

Choose what shall go wrong. The task starts a second Airflow with a home and ports of its own, delivers the fault there
and runs the real DAGs. Its log says what was expected, what was seen, and which mails were caught; it is red where the
two differ. Nothing of this installation is touched. `sluice rehearse --list` says what each scenario is about.
"""

from sluice_lab.rehearsal import scenario_list
from sluice_lab.rehearsal.dag import rehearse_dag

dag = rehearse_dag({each.name: each.title for each in scenario_list.all_scenarios()}, doc=__doc__)
