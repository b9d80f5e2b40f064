"""Passwords and keys are their owner's from the first byte on, and so is what Airflow writes with keys in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sluice.local import stack
from sluice.settings import settings


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_passwords_and_keys_are_never_readable_by_others(home, open_umask, monkeypatch):
    modes = []
    opened = os.fdopen

    def seen(descriptor, *args, **kwargs):
        found = os.fstat(descriptor)
        modes.append((found.st_mode & 0o777, found.st_size))
        return opened(descriptor, *args, **kwargs)

    monkeypatch.setattr(os, "fdopen", seen)
    _, password = stack.login()
    keys = stack.environment()
    assert modes == [(0o600, 0)] * 2, "mode, before anything is in it"
    folder = home / "airflow"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "passwords.json": 0o600,
        "keys.json": 0o600,
    }
    assert stack.login()[1] == password
    assert stack.environment()["AIRFLOW__CORE__FERNET_KEY"] == keys["AIRFLOW__CORE__FERNET_KEY"]


def test_processes_of_the_stack_write_for_their_owner_only(home, open_umask, monkeypatch):
    (settings().home / "logs").mkdir()
    (settings().home / "run").mkdir()
    file = home / "written"
    code = f"import pathlib; pathlib.Path({str(file)!r}).write_text('x')"
    stack._start("writer", [sys.executable, "-c", code])
    process = stack.running("writer")
    if process is not None:
        process.wait()
    assert file.stat().st_mode & 0o777 == 0o600


def test_airflows_command_line_writes_for_its_owner_only(home, open_umask, monkeypatch):
    given = {}
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **options: given.update(options) or subprocess.CompletedProcess([], 0)
    )
    stack.airflow("version")
    assert given["umask"] == 0o077
