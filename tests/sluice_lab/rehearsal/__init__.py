"""A package, so that the Airflow that it starts is stopped after its last test."""
