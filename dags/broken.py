"""### Broken: what is wrong with a pipeline whose YAML cannot be used

Each such pipeline has one DAG in Airflow, `<pipeline>_broken`, whose documentation names every problem. It has none of
its other DAGs until its file is corrected, and no other pipeline is concerned.
"""

from sluice.declare.spec import broken_pipelines
from sluice.orchestration.declaration import broken_dag

for broken in broken_pipelines():
    broken_dag(broken)
