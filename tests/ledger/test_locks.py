"""One process at a time, of all machines that share a ledger on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sluice.core.settings import settings
from sluice.notify import delivery
from tests.proof.postgres import Postgres, binaries

pytestmark = pytest.mark.slow

HOLDER = """
import signal
from sluice.notify import delivery
with delivery.alone("fault"):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def server(monkeypatch) -> Iterator[Postgres]:
    """A PostgreSQL server that keeps the ledger of every home here."""
    folder = binaries()
    if folder is None:
        pytest.skip("there is no PostgreSQL on this machine (initdb, postgres)")
    made = Postgres(folder)
    made.do("create database ledger")
    monkeypatch.setenv("SLUICE_LEDGER_URI", made.url("ledger"))
    monkeypatch.setenv("SLUICE_LOCK_SECONDS", "60")
    yield made
    made.close()


@pytest.fixture
def elsewhere(server, home, tmp_path, monkeypatch) -> Iterator[subprocess.Popen]:
    """A process with a home of its own, as on another machine, that holds the lock of a fault."""
    environment = {**os.environ, "SLUICE_HOME": str(tmp_path / "another home")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    settings.cache_clear()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def _is_free() -> bool:
    with delivery.alone("fault", wait=False) as is_alone:
        return is_alone


def test_work_of_another_machine_is_left_to_it_and_of_another_fault_is_not(elsewhere):
    assert not _is_free()
    with delivery.alone("another fault", wait=False) as is_alone:
        assert is_alone


def test_lock_dies_with_its_holder_and_who_waits_goes_on(elsewhere):
    def wait() -> bool:
        with delivery.alone("fault") as is_alone:
            return is_alone

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(wait)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
        elsewhere.kill()
        assert waiting.result(timeout=60)


def test_ledger_that_does_not_answer_keeps_nobody_from_mailing(elsewhere, server):
    server.stop()
    assert _is_free()


def test_one_process_of_a_machine_is_alone_without_a_server(home):
    with delivery.alone("fault"):
        assert not _is_free()
    assert _is_free()
    assert Path(settings().work / "mail" / "fault.lock").is_file()
