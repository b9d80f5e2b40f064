"""Secrets come from Airflow connections, and so from whatever secrets backend the installation uses."""

from __future__ import annotations

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from sluice.declare.spec import Pipeline
from sluice.ingest.pseudonyms import CONNECTION, require_key


def pseudonym_key(spec: Pipeline, table: str) -> bytes | None:
    """The key of pseudonyms where a table is a source with personal data; None for every other table.

    Raises:
        PseudonymKeyMissingError: the connection is not there, or has no password that is long enough.
    """
    if table not in spec.sources or not spec.sources[table].contract.pseudonymised:
        return None
    try:
        password = BaseHook.get_connection(CONNECTION).password
    except AirflowNotFoundException:
        password = None
    key = password.encode() if password else None
    return require_key(spec.sources[table].contract, f"{spec.pipeline}.{table}", key)
