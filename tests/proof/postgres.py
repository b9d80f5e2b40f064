"""A real PostgreSQL server of the tests' own: made by initdb in a scratch folder, stopped, started, and its connections
cut, by the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

# Seconds within which a server must answer.
_PATIENCE = 60


def binaries() -> Path | None:
    """The folder of initdb and postgres; None where there is no PostgreSQL on this machine."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    for folder in [*([Path(found).resolve().parent] if found else []), *newest_first]:
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    return None


class Postgres:
    """One server, on a free port of the loopback address; `stop` and `start` it, and `close` it at the end."""

    def __init__(self, folder: Path) -> None:
        self._binaries = folder
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-postgres-"))
        # PostgreSQL refuses to be run by root.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        data = ["-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
        self._run([str(folder / "initdb"), *data]).wait(_PATIENCE)
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        given = {"listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "fsync": "off"}
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        self._server = self._run([*command, *options])
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg2.OperationalError:
                assert self._server.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)  # how often to ask; what is waited for is the answer

    def stop(self) -> None:
        """Stop it at once; who is connected is cut off."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(_PATIENCE)

    def close(self) -> None:
        if self._server.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def connect(self, database: str) -> Any:
        made = psycopg2.connect(host="127.0.0.1", port=self.port, user="postgres", dbname=database)
        made.autocommit = True
        return made

    def do(self, statement: str, database: str = "postgres") -> None:
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def cut(self, database: str) -> int:
        """End every connection to a database; returns how many there were."""
        with closing(self.connect("postgres")) as connection, connection.cursor() as cursor:
            cursor.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = %s",
                (database,),
            )
            return cursor.fetchone()[0]

    @contextmanager
    def locked(self, database: str, *tables: str) -> Iterator[None]:
        """Somebody else holds tables meanwhile, and lets nobody read or write them."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            connection.autocommit = False
            for table in tables:
                cursor.execute(f"lock table {table} in access exclusive mode")
            yield
            connection.rollback()

    def _run(self, command: list[str]) -> subprocess.Popen:
        ids = (
            {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {}
        )
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **ids)
