"""The process that reads: it ends in every way that a process can end, and the one that asked it goes on."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
import types

import psutil
import pytest

from sluice.core.errors import (
    DeliveryUnreadableError,
    LimitExceededError,
    ReaderDiedError,
    ReaderUnavailableError,
)
from sluice.declare.limits import Limits
from sluice.declare.spec import Source
from sluice.ingest import deliveries, reader
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from sluice.ingest.reader import File, Reader
from tests.ingest.hostile import HEADER, MIB

KEY = b"only for this test: forty characters!!!!"


def source(*, pii=None, nullable=False, **limits):
    """Two columns, one of them personal if asked for."""
    columns = {"id": {"type": "integer"}, "text": {"type": "string", "nullable": nullable}}
    if pii:
        columns[pii] = {"type": "string", "pii": True}
    told = dict.fromkeys(("owner", "description", "grain", "licence", "purpose"), "x")
    told |= {"key": ["id"], "format": "csv", "cadence": "daily", "pii": "direct" if pii else "none"}
    return Source.model_validate({**told, "contract": {"version": 1, "columns": columns}, "limits": limits})


@pytest.fixture
def read(home):
    """Read a file with a reader."""

    def act(active, data=HEADER + b"1,x\n", *, declared=None, key=None):
        path = active.scratch / "delivered"
        path.write_bytes(data)
        return active.read(File(path, "a file", declared or source(), 1), key)

    return act


def test_read_several_files_with_one_process(read):
    with Reader() as active:
        ids = [read(active, HEADER + b"%d,x\n" % at).table["id"].to_pylist() for at in range(5)]
        with pytest.raises(DeliveryUnreadableError, match="0 bytes"):
            read(active, b"")
        first = active._child
        assert read(active).table.to_pylist() == [{"id": 1, "text": "x"}]
        assert active._child is first
    assert ids == [[at] for at in range(5)]
    assert first.poll() is not None
    assert not active.scratch.exists()


def test_read_rows_outlive_the_reader(read):
    with Reader() as active:
        table = read(active, HEADER + b"1,x\n" * 10_000).table
    assert table["id"].to_pylist() == [1] * 10_000


def test_read_process_that_was_ended_from_outside_gets_a_successor(read, proofs):
    with Reader() as active:
        active._child.kill()
        active._child.wait()
        rows = read(active).table.num_rows
    proofs("hostile file", "reader killed once", violations=rows != 1)
    assert rows == 1


def test_read_process_that_is_ended_again_is_a_refusal(read, proofs):
    stop, me = threading.Event(), psutil.Process()

    def kill_all():
        while not stop.is_set():
            for process in me.children():
                process.kill()

    killer = threading.Thread(target=kill_all)
    with Reader() as active:
        killer.start()
        try:
            with pytest.raises(
                ReaderDiedError, match="was ended by SIGKILL, and so was its successor"
            ) as caught:
                read(active)
        finally:
            stop.set()
            killer.join()
    proofs("hostile file", "reader killed twice")
    assert "replay the day" in caught.value.todo


@pytest.mark.parametrize(("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGABRT, "SIGABRT")])
def test_read_process_that_crashed_is_a_refusal_at_once(read, proofs, number, name):
    with Reader() as active:
        active._await_ready()
        os.kill(active._child.pid, number)
        with pytest.raises(ReaderDiedError, match=f"was ended by {name}\\."):
            read(active)
    proofs("hostile file", f"reader ended by {name}")


def test_read_process_that_hangs_is_ended(read, proofs):
    with Reader() as active:
        active._await_ready()
        os.kill(active._child.pid, signal.SIGSTOP)
        with pytest.raises(LimitExceededError, match="takes longer than 1 s") as caught:
            read(active, declared=source(wall_seconds=1))
        hung = active._child
    proofs("hostile file", "reader hangs")
    assert "limits.wall_seconds" in caught.value.todo
    assert hung.poll() == -signal.SIGKILL


def test_process_that_reads_nothing_any_more_is_ended(home, proofs):
    """A job that is larger than a pipe could wait for ever to be read."""
    with Reader() as active:
        active._await_ready()
        os.kill(active._child.pid, signal.SIGSTOP)
        with pytest.raises(reader.OverBudgetError, match="takes longer than 1 s"):
            reader._say(active._child, b" " * MIB, Budget.of(Limits(wall_seconds=1)))
    proofs("hostile file", "reader reads nothing")


def test_rows_that_are_changed_after_they_were_looked_at_stay_what_they_were(home, proofs):
    """As by a process that keeps its file open."""
    with Reader() as active:
        path, rows = active.scratch / "delivered", active.scratch / "parsed.arrow"
        path.write_bytes(HEADER + b"1,\n2,\n")
        declared = source(nullable=True)
        count = active._ask(job_of(active, path, declared), Budget.of(declared.limits), "a file").read.rows
        with rows.open("r+b") as kept:
            table = reader._rows(rows, count, Layout.of(declared.contract), "a file")
            before = table.to_pylist()
            size = kept.seek(0, os.SEEK_END)
            kept.seek(0)
            kept.write(b"\xff" * size)
            kept.flush()
        table.validate(full=True)
        assert table.to_pylist() == before
    proofs("hostile file", "rows changed after they were validated")


def test_rows_in_a_pipe_are_refused_and_not_waited_for(home, proofs):
    with Reader() as active:
        os.mkfifo(active.scratch / "parsed.arrow")
        with pytest.raises(ReaderDiedError, match="wrote rows that cannot be used"):
            reader._rows(active.scratch / "parsed.arrow", 1, Layout.of(source().contract), "a file")
    proofs("hostile file", "rows in a pipe")


@pytest.mark.parametrize(
    ("limited", "watched", "said"),
    [
        # As if the system of the process did not keep to its limit.
        (4096, 128, r"more than 128 MiB of memory: .* so far"),
        # As if nobody watched: macOS limits nothing there.
        pytest.param(
            128,
            4096,
            r"more than 128 MiB of memory\.",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits an address space"),
        ),
    ],
)
def test_read_memory_is_limited_twice(read, proofs, limited, watched, said):
    data = HEADER + b"1,\n" * (5 * MIB)
    with Reader() as active:
        path = active.scratch / "delivered"
        path.write_bytes(data)
        job = job_of(active, path, source(nullable=True, memory_mib=limited, rows=10**9))
        try:
            answer = active._ask(job, Budget.of(Limits(memory_mib=watched)), "a file")
            told = answer.refused.what
        except reader.OverBudgetError as over:
            told = over.what
    proofs("hostile file", f"memory, limited to {limited}, watched to {watched}")
    assert re.search(said, told)


def job_of(active, path, declared):
    """A job as `Reader.read` makes it, to be asked under another budget."""
    return {
        "file": str(path),
        "into": str(active.scratch / "parsed.arrow"),
        "where": "a file",
        "format": declared.format,
        "pii": "none",
        "layout": Layout.of(declared.contract).plain(),
        "budget": Budget.of(declared.limits).plain(),
        "key": None,
    }


def test_read_key_is_in_no_argument_and_no_variable(read):
    declared = source(pii="id")
    with Reader() as active:
        assert read(active, declared=declared, key=KEY).table["id"].to_pylist() != ["1"]
        process = psutil.Process(active._child.pid)
        told = f"{process.cmdline()} {process.environ()}"
        assert not [text for text in (KEY.decode(), KEY.hex()) if text in told]
        assert set(process.environ()) == set(reader._ENVIRONMENT)
        assert [path.name for path in active.scratch.iterdir()] == ["delivered"]


def test_read_error_of_personal_data_shows_no_value(read):
    declared = source(pii="text")
    with Reader() as active, pytest.raises(Exception, match="the value is not an integer") as caught:
        read(active, HEADER + b"Jane Doe,x\n", declared=declared, key=KEY)
    assert "Jane" not in str(caught.value)


def test_read_without_room_for_the_rows_is_no_fault_of_the_file(read):
    with Reader() as active:
        (active.scratch / "parsed.arrow").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left on device"):
            read(active)


def test_reader_that_cannot_start_is_worth_another_try(read, monkeypatch):
    monkeypatch.setattr("sys.path", [place for place in reader.sys.path if "site-packages" not in place])
    with Reader() as active, pytest.raises(ReaderUnavailableError, match="No module named 'pyarrow'"):
        read(active)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit(1)", "it ended with exit status 1"),
        ("import os; os.abort()", "it was ended by SIGABRT"),
        ("print('Welcome!')", "it said nothing of use"),
    ],
    ids=["exits", "crashes", "says something else"],
)
def test_reader_that_breaks_before_it_has_seen_a_file_blames_none(read, monkeypatch, tmp_path, script, said):
    path = tmp_path / "plugins" / "sluice" / "child.py"
    path.parent.mkdir(parents=True)
    path.write_text(script)
    monkeypatch.setattr(reader, "child", types.SimpleNamespace(__file__=str(path)))
    with Reader() as active, pytest.raises(ReaderUnavailableError, match=f"does not start: {said}\\."):
        read(active)


def test_reader_for_which_the_machine_has_no_room_is_worth_another_try(home, monkeypatch):
    def refuse(*_given, **_more):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(reader.subprocess, "Popen", refuse)
    with (
        pytest.raises(ReaderUnavailableError, match=f"does not start: {os.strerror(errno.EAGAIN)}"),
        Reader(),
    ):
        pass


# What a process may say that a hostile file has taken over.
ANSWERS = {
    "no JSON": ("print('yes')", "cannot be understood"),
    "another form": ('print(\'{"read": {"rows": 1}}\')', "cannot be understood"),
    "another error": (
        'print(\'{"refused": {"kind": "SystemExit", "what": "", "where": "", "allowed": "", "todo": ""}}\')',
        "cannot be understood",
    ),
    "too much": ("while True: sys.stdout.write('x' * 100_000)", "said more than 1,048,576 bytes"),
    "nothing, and lives on": ("import os; os.close(1); sys.stdin.read()", "cannot be understood"),
    "nothing": ("sys.exit(3)", "ended with exit status 3"),
    "no rows": (
        """print('{"read": {"rows": 1, "left_out": [], "counted": 1, "null_like": []}}')""",
        "wrote rows that cannot be used",
    ),
    "other rows": ("rows(pa.table({'id': [1, 2], 'text': ['x', 'y']}))", "wrote other rows than it said"),
    "another type": ("rows(pa.table({'id': ['1'], 'text': ['x']}))", "wrote other rows than it said"),
    "text that is none": (
        "rows(pa.table({'id': [1], 'text': pa.array([b'\\xff']).view(pa.string())}))",
        "wrote rows that cannot be used",
    ),
    "text from outside": (
        "rows(pa.table({'id': [1], 'text': ['xxxxx']}), bytes([0, 0, 0, 0, 5, 0, 0, 0]), "
        "bytes([9, 0, 0, 0, 0, 202, 154, 59]))",
        "wrote rows that cannot be used",
    ),
    "bytes of noise": ("open(job['into'], 'wb').write(b'x' * 500); say()", "wrote rows that cannot be used"),
}
TAKEN_OVER = """
import json, sys
sys.path[:] = json.loads(sys.stdin.readline())
import pyarrow as pa
print('{"ready": true}', flush=True)
job = json.loads(sys.stdin.readline())
def say(): print('{"read": {"rows": 1, "left_out": [], "counted": 1, "null_like": []}}', flush=True)
def rows(table, offsets=b"", changed=b""):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    written = sink.getvalue().to_pybytes()
    with open(job["into"], "wb") as file:
        file.write(written.replace(offsets, changed) if offsets else written)
    say()
"""


@pytest.mark.parametrize("name", ANSWERS)
def test_read_answer_that_cannot_be_trusted_is_a_refusal(read, proofs, monkeypatch, tmp_path, name):
    says, expected = ANSWERS[name]
    script = tmp_path / "plugins" / "sluice" / "child.py"
    script.parent.mkdir(parents=True)
    script.write_text(TAKEN_OVER + says)
    monkeypatch.setattr(reader, "child", types.SimpleNamespace(__file__=str(script)))
    with Reader() as active, pytest.raises(ReaderDiedError, match=expected):
        read(active)
    proofs("hostile file", f"reader answers {name}")


def test_land_hostile_file_is_refused_before_anything_is_written(home):
    from sluice.declare import spec

    with pytest.raises(LimitExceededError, match="too many columns"):
        deliveries.land(
            spec.load("flights"), "airlines", "2013-01-02", b"carrier,name" + b",x" * 2_000 + b"\n"
        )
    assert not list(home.glob("landing/*"))
