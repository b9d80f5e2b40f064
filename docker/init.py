"""Prepare an installation for this image's version: databases, their schemas, the login and the pool. Safe to repeat."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import psycopg2
from sqlalchemy.engine import URL, make_url

from sluice.core import retry
from sluice.core.errors import StackError
from sluice.core.settings import settings
from sluice.local import keys, stack

# Seconds that the server may take to come up.
_PATIENCE = 120


def main() -> None:
    """Do what is not done yet, and say so.

    Raises:
        StackError: the database server does not answer.
        subprocess.CalledProcessError: a schema could not be migrated, or is of a newer version; `sluice migrate` has said why.
    """
    s = settings()
    for url in (
        os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
        s.catalog_url,
        s.ledger_url,
        s.mlflow_url,
    ):
        create(make_url(url))
    keys.login()
    _run("sluice", "migrate")
    for name, slots in stack.POOLS.items():
        # One that is there keeps the slots that somebody gave it.
        if subprocess.run(
            ["sluice", "airflow", "pools", "get", name], capture_output=True, check=False
        ).returncode:
            _run("sluice", "airflow", "pools", "set", name, str(slots), "memory-hungry tasks of Sluice")


def create(url: URL) -> None:
    """Create a database of a PostgreSQL server, unless it is there; wait for the server."""
    with closing(_connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("select 1 from pg_database where datname = %s", (url.database,))
        if not cursor.fetchone():
            cursor.execute(f"create database \"{url.database}\" encoding 'UTF8' template template0")
            _say(f"created database {url.database}")


def _connect(url: URL) -> psycopg2.extensions.connection:
    said = ""

    def connected() -> psycopg2.extensions.connection | None:
        nonlocal said
        try:
            return psycopg2.connect(
                host=url.host, port=url.port, user=url.username, dbname="postgres", connect_timeout=10
            )
        except psycopg2.OperationalError as error:
            said = " ".join(str(error).split())
            _say(f"waiting for the database server: {said}")
            return None

    return retry.until(
        connected,
        seconds=_PATIENCE,
        pause=1,
        otherwise=lambda: StackError(
            f"The database server has not answered for {_PATIENCE} s: {said}.",
            where=f"{url.host}:{url.port or 5432}",
            todo="look at the server's log, and at its name, user and password in the environment",
        ),
    )


def _run(*command: str) -> None:
    _say(" ".join(command))
    subprocess.run(command, check=True)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
