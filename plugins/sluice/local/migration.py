"""Bringing an installation that an earlier version made to this one: Airflow's database, the registry's, and the ledger's indexes.

The rule kept here: what a newer version made is refused, by name, before anything is changed. Tables need nothing: a column of the
platform that a table lacks comes with its next publication.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from sluice.core import databases
from sluice.core.errors import SchemaNewerError, StackError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import schema
from sluice.local import stack


@dataclass(frozen=True)
class Database:
    """A database whose schema a library migrates by Alembic."""

    name: str
    url: str
    library: str
    # Folder of the library's migrations, below the library's own.
    scripts: str

    def change(self) -> str:
        """What migrating it would change; "" for nothing.

        Raises:
            SchemaNewerError: its schema is of a revision that the library here does not know.
        """
        from alembic.script import ScriptDirectory

        package = find_spec(self.library)
        assert package is not None
        assert package.origin is not None
        known = ScriptDirectory(str(Path(package.origin).parent / self.scripts))
        newest, found = set(known.get_heads()), self._revisions()
        if unknown := found - {each.revision for each in known.walk_revisions()}:
            raise SchemaNewerError(
                f"{self.name} has the schema {_listed(unknown)}, which the {self.library} installed here does not know.",
                where=make_url(self.url).render_as_string(hide_password=True),
                allowed=f"a schema up to {_listed(newest)}",
                todo="go on with the version of Sluice that migrated it, or restore the backup that was taken before",
            )
        if not found:
            return f"is made, with the schema {_listed(newest)}"
        return "" if found == newest else f"is migrated from the schema {_listed(found)} to {_listed(newest)}"

    def _revisions(self) -> set[str]:
        from alembic.migration import MigrationContext

        made = make_url(self.url)
        if made.get_backend_name() == "sqlite" and not Path(str(made.database)).is_file():
            return set()  # connecting would make it
        engine = create_engine(databases.with_connect_args(self.url), poolclass=NullPool)
        with databases.answering(self.url, self.name), engine.connect() as connection:
            return set(MigrationContext.configure(connection).get_current_heads())


def migrate(*, dry_run: bool) -> Iterator[str]:
    """Bring this installation to this version; yields what changes, a line each. Safe to repeat.

    Raises:
        SchemaNewerError: a database was migrated by a newer version; nothing was changed.
        StackError: the stack is running, or a database could not be migrated.
    """
    # Airflow's migrations import Airflow, which reads its settings then.
    variables = stack.use_environment()
    # It tells of every database that it looks at.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    changes = [(one.name, change) for one in _databases(variables) if (change := one.change())]
    if lacking := schema.lacking():
        changes.append(("The ledger", f"gets the indexes {_listed(lacking)}"))
    clocks = [each for each in spec.load_all() if pipeline_clock.has_file(each)]
    changes += [(f"The clock of {each.pipeline}", "moves into the ledger's database") for each in clocks]
    if changes and not dry_run:
        if running := [name for name in stack.PROGRAMS if stack.running(name)]:
            raise StackError(
                f"The stack is running: {', '.join(running)}.",
                where=str(settings().home),
                allowed="an installation that nothing uses while its databases are migrated",
                todo="run `sluice down`, take a backup (`sluice home backup FOLDER`), and migrate then",
            )
        (settings().home / "logs").mkdir(parents=True, exist_ok=True)
        stack.prepare()
        schema.complete()
        for each in clocks:
            pipeline_clock.import_file(each)
    yield from (f"{name} {change}." for name, change in changes)
    if not changes:
        yield "Nothing to migrate: everything is of this version."
    elif dry_run:
        yield "Nothing was changed: this was a dry run."


def _databases(variables: Mapping[str, str]) -> list[Database]:
    airflow = variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    found = [Database("Airflow's database", airflow, "airflow", "migrations")]
    # That of an MLflow server is migrated where the server runs.
    if not settings().mlflow_url.startswith(("http://", "https://")):
        found.append(
            Database("The registry's database", settings().mlflow_url, "mlflow", "store/db_migrations")
        )
    return found


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
