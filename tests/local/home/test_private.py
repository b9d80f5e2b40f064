"""Passwords and keys are their owner's from the first byte on, and so is what Airflow writes with keys in it."""

from __future__ import annotations

import os
import sys
import time

import pytest

from sluice.core.settings import settings
from sluice.local import sessions, stack


@pytest.fixture
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_passwords_and_keys_are_never_readable_by_others(home, open_umask, monkeypatch):
    modes = []
    opened = os.open

    def seen(path, *args, **kwargs):
        descriptor = opened(path, *args, **kwargs)
        if "airflow" in str(path):
            found = os.fstat(descriptor)
            modes.append((found.st_mode & 0o777, found.st_size))
        return descriptor

    monkeypatch.setattr(os, "open", seen)
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
    file = home / "written"
    code = f"import pathlib, signal; pathlib.Path({str(file)!r}).write_text('x'); signal.pause()"
    sessions.request_start(settings().home / "run", stack.MAIL_SINK, [sys.executable, "-c", code])
    try:
        stack._supervise()
        deadline = time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)  # how often to ask; what is waited for is the file
        written = [file, *(home / "run").glob("*.json"), *(home / "run" / "wanted").iterdir()]
        assert {path.name: path.stat().st_mode & 0o777 for path in written} == {
            "written": 0o600,
            "mail-sink.json": 0o600,
            "supervisor.json": 0o600,
        }
    finally:
        stack.down(lambda text: None)


def test_airflows_command_line_writes_for_its_owner_only(home, open_umask, monkeypatch):
    """This process becomes Airflow, so that a signal for it reaches Airflow."""
    given = {}

    def become(executable, arguments, environment):
        given.update(umask=os.umask(0), arguments=arguments, environment=environment)

    monkeypatch.setattr(os, "execve", become)
    stack.airflow("version")
    assert given["umask"] == 0o077
    assert given["arguments"][1:] == ["version"]
    assert given["environment"]["AIRFLOW_HOME"] == str(home / "airflow")
