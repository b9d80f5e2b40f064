"""Rehearsals: faults that are tried on a copy of a healthy state, through real DAGs in a real Airflow.

A scenario is one short file in `scenarios/`; docs/rehearsals.md says how to write one. Not used in production.
"""
