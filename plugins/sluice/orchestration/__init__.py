"""The Airflow side: assets, operators and the stages that `dags/` wires together. The only importer of airflow.

Operators are thin shells. What a task does is a plain function of `sluice.crossing` or `sluice.models`.
"""
