"""The stack's own commands, with the smallest of its components: the mail sink."""

from __future__ import annotations

import socket

import psutil
import pytest

from sluice.core.settings import settings
from sluice.local import sessions, stack
from sluice_lab.rehearsal.bench import free_ports
from sluice_lab.rehearsal.conditions import until


@pytest.fixture
def local(home, monkeypatch):
    monkeypatch.setenv("SLUICE_SMTP_PORT", str(free_ports(1)))
    settings.cache_clear()
    yield home
    stack.down(lambda text: None)


def _answers() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", settings().smtp_port)) == 0


def test_component_that_is_killed_comes_back_until_it_is_stopped(local):
    stack.start_mail_sink()
    until(_answers, "the sink does not answer")
    first = stack.running(stack.MAIL_SINK)
    first.kill()
    until(lambda: (found := stack.running(stack.MAIL_SINK)) and found != first, "it is not back")
    until(_answers, "the sink does not answer")
    (line,) = [line for line in stack.status() if line.startswith("mail-sink: running since")]
    assert line.endswith("restarted 1 times")
    assert stack.stop(stack.MAIL_SINK) == [stack.MAIL_SINK]
    assert not _answers()
    assert stack.stop(stack.MAIL_SINK) == []
    stack.start_mail_sink()
    supervisor = stack.running(sessions.SUPERVISOR)
    said = []
    stack.down(said.append)
    assert said == ["Stopped mail-sink"]
    assert not psutil.pid_exists(supervisor.pid) or supervisor.status() == psutil.STATUS_ZOMBIE
    stack.down(said.append)
    assert said[1:] == ["Nothing was running"]


@pytest.mark.slow
def test_component_that_cannot_run_is_said_to_fail_and_runs_once_the_cause_is_gone(local):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings().smtp_port))
        taken.listen()
        sessions.request_start(stack._run_folder(), stack.MAIL_SINK, stack._command(stack.MAIL_SINK))
        stack._supervise()
        until(stack.failing, "it is not said to fail")
        assert any(
            line.startswith("mail-sink: FAILED, ended with 1 after each of ") for line in stack.status()
        )
        assert "SLUICE_SMTP_PORT" in (local / "logs" / "mail-sink.log").read_text()
    stack.start_mail_sink()
    assert stack.failing() == []
    until(_answers, "the sink does not answer")
