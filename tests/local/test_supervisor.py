"""The supervisor with small programs: real processes, that are killed with SIGKILL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from sluice.local import sessions, supervisor

# Prints its number and that of a child of its own, which ignores SIGTERM, and waits for its end.
PARENT = """
import os, pathlib, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"])
pathlib.Path(sys.argv[1]).with_suffix(".part").write_text(f"{os.getpid()} {child.pid}")
os.replace(pathlib.Path(sys.argv[1]).with_suffix(".part"), sys.argv[1])
signal.pause()
"""


def until(condition, seconds=60):
    """Ask again and again; returns what is found."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "not so in time"
        time.sleep(0.02)  # how often to ask; what is waited for is the answer
    return found


class Stack:
    """A supervisor in a process of its own, and what it runs."""

    def __init__(self, base):
        self.base, self.run, self.logs = base, base / "run", base / "logs"
        self.logs.mkdir()
        self.process = None

    def up(self):
        command = [sys.executable, "-m", "sluice.local.supervisor", self.run, "--logs", self.logs]
        self.process = subprocess.Popen(
            [*command, "--first-wait", "0.01", "--patience", "1"], start_new_session=True
        )
        until(lambda: sessions.leader(sessions.record_of(self.run, sessions.SUPERVISOR)))

    def want_parent(self, name, **options):
        sessions.request_start(
            self.run, name, [sys.executable, "-c", PARENT, str(self.base / name)], **options
        )

    def family(self, name, *, other_than=()):
        """The program and its child, once both run, and are other processes than before."""

        def found():
            if (self.base / name).exists():
                pids = [int(pid) for pid in (self.base / name).read_text().split()]
                if pids != [process.pid for process in other_than] and all(map(psutil.pid_exists, pids)):
                    return [psutil.Process(pid) for pid in pids]
            return None

        return until(found)

    def record(self, name):
        return sessions.record_of(self.run, name)


def is_gone(processes):
    return all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in processes)


@pytest.fixture
def stack(tmp_path):
    made = Stack(tmp_path)
    yield made
    if made.process and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(60)
    sessions.reap(made.run, 1)


def test_program_that_is_killed_comes_back_without_what_it_left(stack):
    stack.want_parent("scheduler")
    stack.up()
    first = stack.family("scheduler")
    first[0].kill()
    second = stack.family("scheduler", other_than=first)
    assert is_gone(first), "the child of the killed one, too"
    until(lambda: stack.record("scheduler").get("pid") == second[0].pid)
    assert (stack.record("scheduler")["restarts"], stack.record("scheduler")["exit_code"]) == (1, -9)


def test_nothing_is_left_of_a_supervisor_that_is_killed(stack):
    stack.want_parent("scheduler")
    stack.want_parent("triggerer")
    stack.up()
    families = [*stack.family("scheduler"), *stack.family("triggerer")]
    stack.process.kill()
    until(lambda: is_gone(families))
    until(lambda: not stack.record("scheduler"))


def test_next_supervisor_ends_what_a_killed_one_and_its_guard_left(stack):
    stack.want_parent("scheduler")
    stack.up()
    first = stack.family("scheduler")
    guards = [each for each in psutil.Process(stack.process.pid).children() if "--guard" in each.cmdline()]
    assert len(guards) == 1
    # Stopped, it can do nothing, as if it had been killed at the same moment.
    guards[0].suspend()
    stack.process.kill()
    stack.process.wait()
    guards[0].kill()
    assert not is_gone(first)
    stack.up()
    second = stack.family("scheduler", other_than=first)
    assert is_gone(first)
    assert not is_gone(second)


def test_guard_that_is_killed_is_replaced(stack):
    stack.want_parent("scheduler")
    stack.up()
    family, mine = stack.family("scheduler"), psutil.Process(stack.process.pid)
    guard = next(each for each in mine.children() if "--guard" in each.cmdline())
    guard.kill()

    def another():
        return [each for each in mine.children() if each != guard and each.status() != psutil.STATUS_ZOMBIE]

    until(lambda: any("--guard" in each.cmdline() for each in another()))
    stack.process.kill()
    until(lambda: is_gone(family))


def test_program_that_dies_at_once_is_reported_once_and_comes_up_by_itself_when_the_cause_is_gone(stack):
    report = f"import pathlib; pathlib.Path({str(stack.base / 'report')!r}).open('a').write('told')"
    cause = stack.base / "no database"
    cause.touch()
    dying = [
        sys.executable,
        "-c",
        f"import os, signal, sys\nif os.path.exists({str(cause)!r}): sys.exit(3)\nsignal.pause()",
    ]
    sessions.request_start(stack.run, "scheduler", dying, on_failure=[sys.executable, "-c", report])
    stack.want_parent("triggerer")
    stack.up()
    until(lambda: stack.record("scheduler").get("failed"))
    until((stack.base / "report").exists)
    record = stack.record("scheduler")
    assert (record["exit_code"], record["failed"]) == (3, True)
    assert record["deaths"] == record["restarts"] >= supervisor.Backoff().tell_after
    assert "FAILED scheduler ended with 3" in (stack.logs / "supervisor.log").read_text()
    assert not is_gone(stack.family("triggerer")), "the others go on"
    cause.unlink()
    until(lambda: sessions.leader(stack.record("scheduler")))
    assert (stack.base / "report").read_text() == "told"


def test_command_that_does_not_exist_is_said_to_have_failed(stack):
    sessions.request_start(stack.run, "scheduler", [str(stack.base / "no such program")])
    stack.up()
    until(lambda: stack.record("scheduler").get("failed"))
    assert "no such program" in (stack.logs / "supervisor.log").read_text()


def test_sigterm_ends_programs_in_the_order_of_their_ranks(stack):
    saying = (
        "import pathlib, signal, sys; path = pathlib.Path(sys.argv[1])\n"
        "def end(*_):\n  path.open('a').write(sys.argv[2] + '\\n'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); path.with_suffix('.' + sys.argv[2]).touch(); signal.pause()"
    )
    said = stack.base / "said"
    for rank, name in enumerate(("first", "second", "third")):
        sessions.request_start(stack.run, name, [sys.executable, "-c", saying, str(said), name], rank=rank)
    stack.up()
    until(lambda: len(list(stack.base.glob("said.*"))) == 3)
    stack.process.terminate()
    assert stack.process.wait(60) == 0
    assert said.read_text().split() == ["first", "second", "third"]
    assert list(stack.run.glob("*.json")) == []


def test_second_supervisor_of_one_home_is_refused(stack):
    stack.up()
    second = subprocess.run(
        [sys.executable, "-m", "sluice.local.supervisor", stack.run, "--logs", stack.logs],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Another supervisor runs this stack" in second.stderr
    assert second.returncode != 0
    assert stack.process.poll() is None


def test_log_of_a_program_is_rotated_and_its_owners_only(stack):
    size = (supervisor.LOG_PARTS + 3) * supervisor.LOG_BYTES
    line = "x" * 1_023
    printing = f"import sys\nfor _ in range({size // 1_024}): print({line!r})\nprint('the end', flush=True)"
    ending = f"{printing}\nimport signal; signal.pause()"
    sessions.request_start(stack.run, "scheduler", [sys.executable, "-c", ending])
    stack.up()
    log = stack.logs / "scheduler.log"
    until(lambda: log.exists() and b"the end" in log.read_bytes()[-100:])
    parts = list(stack.logs.glob("scheduler.log*"))
    assert len(parts) == supervisor.LOG_PARTS + 1
    assert max(part.stat().st_size for part in parts) <= supervisor.LOG_BYTES
    assert {part.stat().st_mode & 0o777 for part in parts} == {0o600}


def test_waits_grow_twofold_to_a_limit():
    backoff = supervisor.Backoff(first=1, longest=10)
    assert [backoff.wait(deaths) for deaths in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 8, 10, 10]


def test_session_of_another_process_with_a_recorded_number_is_left_alone(stack):
    with program() as process:
        record = sessions.identify(process.pid)
        earlier = {**record, "identity": record["identity"] + 1}
        assert sessions.leader(earlier) is None
        assert sessions.members(earlier) == []
        stack.run.mkdir()
        (stack.run / "scheduler.json").write_text(json.dumps(earlier))
        assert sessions.reap(stack.run) == []
        assert process.poll() is None
        assert [each.pid for each in sessions.members(record)] == [process.pid]


def test_session_is_known_after_the_clock_of_the_system_was_put_forward(monkeypatch):
    """The kernel tells when it booted by the clock as it is now, so that all that runs seems to have started later."""
    with program() as process:
        record = sessions.identify(process.pid)
        booted = psutil.boot_time() + 3600
        monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: booted)
        assert psutil.Process(process.pid).create_time() == pytest.approx(record["started"] + 3600, abs=2)
        assert sessions.leader(record)
        assert [each.pid for each in sessions.members(record)] == [process.pid]


@contextmanager
def program():
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True
    )
    try:
        until(lambda: os.getsid(process.pid) == process.pid)
        yield process
    finally:
        process.kill()
        process.wait()
