"""Deliveries are parsed in a child process, so that no file can harm the process that decides what becomes of it.

One child reads all files of a stage call, one after the other: importing what it needs costs a fifth of a second, and
loading history stages ninety files. It has limits of its own (see `sluice.ingest.child`); besides, its memory and the
time are watched from here, and it is killed at the first limit that it passes. What it answers is a stranger's word:
its size is limited, its form checked, and the rows that it wrote are validated before they are used.

A child that the kernel's memory killer or a person ended gets a successor, once a file: nothing says that the file was
the cause. If that one is ended as well, or if a child crashes by itself, the file is refused.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.core import errors
from sluice.core.errors import ReaderDiedError, ReaderUnavailableError, SluiceError
from sluice.core.settings import settings
from sluice.declare.limits import Limits
from sluice.ingest import child
from sluice.ingest.budget import MIB, Budget, OverBudgetError
from sluice.ingest.columns import NullLike
from sluice.ingest.layout import Layout
from sluice.ingest.parse import Parsed

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Source

# Seconds between two looks at the child's memory: what it can take unseen where the system limits nothing.
_LOOK = 0.02
# Between the end of a child's answers and its own.
_ENDING_SECONDS = 2
# All that a child may say of one file; the names of a thousand undeclared columns are within it.
_ANSWER_BYTES = 1024 * 1024
# Ways to be ended by somebody else.
_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
# No variable of ours: see `sluice.ingest.child`. The system's allocator gives memory back and reserves none ahead, so
# that a limit of the address space is one of memory.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
# Of a child that starts.
_STARTING = Budget.of(Limits())
_NOTHING_OF_USE = "it said nothing of use"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _NullLike(_Strict):
    column: str
    text: str
    rows: int = Field(ge=1)


class _Read(_Strict):
    rows: int = Field(ge=0)
    counted: int = Field(ge=0)
    left_out: list[str]
    null_like: list[_NullLike]


class _Refused(_Strict):
    kind: Literal["DeliveryUnreadableError", "LimitExceededError", "ContractBrokenError"]
    what: str
    where: str
    allowed: str
    todo: str


class _Answer(_Strict):
    """What a child says: exactly one of these, `ready` before the first job."""

    ready: bool | None = None
    read: _Read | None = None
    refused: _Refused | None = None
    disk: int | None = None
    broke: str | None = None


class _EndedError(Exception):
    """The child ended before it answered; `code` is its exit status, negative for a signal."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class File:
    """A delivery on this disk, and how it is to be read."""

    path: Path
    # Name of the delivery, for errors.
    where: str
    source: Source
    # The version of the contract that it follows.
    version: int


class Reader:
    """A child process that parses deliveries; a context manager, whose child ends with it.

    `scratch` is a folder for the files to be read, which is removed at the end.
    """

    def __enter__(self) -> Reader:
        settings().work.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="reading-", dir=settings().work)
        self.scratch = Path(self._folder.name)
        # Started before it is needed: while it imports, the first file is fetched.
        self._child, self._is_ready = _start(), False
        return self

    def __exit__(self, *_: object) -> None:
        _stop(self._child)
        self._folder.cleanup()

    def read(self, file: File, key: bytes | None = None) -> Parsed:
        """Parse a delivery, as `sluice.ingest.parse.read` does.

        Args:
            key: the key of pseudonyms, which a contract with personal columns needs.

        Raises:
            DeliveryUnreadableError: the file cannot be read; as LimitExceededError where it takes too much, as
                ReaderDiedError where the process that read it broke.
            ContractBrokenError: the file does not follow its contract.
            ReaderUnavailableError: the process does not start.
            OSError: there is no room for what was parsed.
        """
        layout, budget = Layout.of(file.source.contract, file.version), Budget.of(file.source.limits)
        into = self.scratch / "parsed.arrow"
        job = {
            "file": str(file.path),
            "into": str(into),
            "where": file.where,
            "format": file.source.format,
            "pii": file.source.pii,
            "layout": layout.plain(),
            "budget": budget.plain(),
            "key": key.hex() if key else None,
        }
        try:
            budget.check_file(file.path.stat().st_size)
            answer = self._ask(job, budget, file.where)
        except OverBudgetError as over:
            raise over.as_error(file.where) from None
        if answer.refused:
            raise _as_error(answer.refused)
        if answer.disk is not None:
            raise OSError(answer.disk, os.strerror(answer.disk), str(into))
        if not answer.read:
            raise _died(f"broke: {answer.broke or 'it gave no answer'}", file.where)
        table = _rows(into, answer.read.rows, layout, file.where)
        null_like = tuple(NullLike(**each.model_dump()) for each in answer.read.null_like)
        return Parsed(table, tuple(answer.read.left_out), answer.read.counted, null_like)

    def _ask(self, job: dict[str, Any], budget: Budget, where: str) -> _Answer:
        """The answer to a job; a child that was ended from outside gets one successor."""
        line = json.dumps(job).encode()
        for attempt in (1, 2):
            try:
                self._await_ready()
                return _parsed(_exchange(self._child, line, budget), where)
            except _EndedError as ended:
                if ended.code == -signal.SIGXCPU:
                    raise budget.over_cpu() from None
                if -ended.code not in _FROM_OUTSIDE or attempt == 2:
                    raise _died(_how(ended.code, attempt), where) from None
                _stop(self._child)
                self._child, self._is_ready = _start(), False
        raise AssertionError("a second attempt answers or raises")

    def _await_ready(self) -> None:
        """Wait until the child has imported what it needs: what goes wrong until then is no file's fault.

        Raises:
            ReaderUnavailableError: it does not come so far.
            _EndedError: it was ended from outside.
        """
        if self._is_ready:
            return
        try:
            said = _parsed(_answer(self._child, _STARTING), "its start")
        except OverBudgetError as over:
            raise _unavailable(f"it takes more than {over.limit} allows, {over.allowed}") from None
        except ReaderDiedError:
            raise _unavailable(_NOTHING_OF_USE) from None
        except _EndedError as ended:
            if -ended.code in _FROM_OUTSIDE:
                raise
            raise _unavailable(f"it {_how(ended.code, 1)}") from None
        if not said.ready:
            raise _unavailable(said.broke or _NOTHING_OF_USE)
        self._is_ready = True


def _start() -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            # Isolated, and without site-packages' start-up code: it is told where to import from.
            [sys.executable, "-I", "-S", child.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a library's last words may quote the file
            env=_ENVIRONMENT,
        )
    except OSError as error:
        raise _unavailable(error.strerror or str(error)) from error
    assert process.stdin
    package = str(Path(child.__file__).parents[2])
    places = [package, *(place for place in sys.path if os.path.isabs(place))]
    _say(process, json.dumps(places).encode(), _STARTING)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe
        pipe.close()


def _say(process: subprocess.Popen[bytes], line: bytes, budget: Budget) -> None:
    """Write a line; that the child has ended shows when its answer is awaited.

    Raises:
        OverBudgetError: the child does not read it; it was killed.
    """
    assert process.stdin
    data, until = memoryview(line + b"\n"), time.monotonic() + budget.wall_seconds
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while data:
            if not selector.select(max(0, until - time.monotonic())):
                process.kill()
                raise budget.over_wall()
            try:
                data = data[os.write(process.stdin.fileno(), data) :]
            except BrokenPipeError:
                return


def _exchange(process: subprocess.Popen[bytes], line: bytes, budget: Budget) -> bytes:
    """One line for another; raises as `_answer`."""
    _say(process, line, budget)
    return _answer(process, budget)


def _answer(process: subprocess.Popen[bytes], budget: Budget) -> bytes:
    """The line that a child says next.

    Raises:
        OverBudgetError: the child takes too much memory or too long; it was killed.
        _EndedError: it ended.
    """
    assert process.stdout
    answer = bytearray()
    until = time.monotonic() + budget.wall_seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(_LOOK):
                piece = os.read(process.stdout.fileno(), 64 * 1024)
                answer += piece
                if not piece:
                    return _silent(process)
                if answer.endswith(b"\n") or len(answer) > _ANSWER_BYTES:
                    return bytes(answer)
            if (taken := _memory(process.pid)) > budget.memory_mib * MIB:
                process.kill()
                raise budget.over_memory(taken)
            if time.monotonic() > until:
                process.kill()
                raise budget.over_wall()


def _silent(process: subprocess.Popen[bytes]) -> bytes:
    """A child that will say nothing any more: usually it has ended; one that lives on is ended, and said nothing."""
    try:
        code = process.wait(_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return b""
    raise _EndedError(code)


def _memory(pid: int) -> int:
    """Resident bytes of a process; 0 where it has just ended, which is seen elsewhere."""
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _parsed(answer: bytes, where: str) -> _Answer:
    if len(answer) > _ANSWER_BYTES:
        raise _died(f"said more than {_ANSWER_BYTES:,} bytes", where)
    try:
        return _Answer.model_validate_json(answer)
    except ValidationError:
        raise _died("gave an answer that cannot be understood", where) from None


def _as_error(refused: _Refused) -> SluiceError:
    kind: type[SluiceError] = getattr(errors, refused.kind)
    return kind(refused.what, where=refused.where, allowed=refused.allowed, todo=refused.todo)


def _rows(path: Path, count: int, layout: Layout, where: str) -> pa.Table:
    """The rows that the child wrote; they are what was promised, or nothing is used.

    Read into memory, not mapped: a child that a file has taken over could change what was validated.
    """
    import pyarrow as pa

    from sluice.ingest.columns import arrow_type

    expected = pa.schema([(name, arrow_type(column.type)) for name, column in layout.declared.items()])
    try:
        table = pa.ipc.open_file(pa.py_buffer(_content(path))).read_all()
        # Offsets that point out of the file would let the next reader of a value crash, or see other memory.
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise _died("wrote rows that cannot be used", where) from error
    if table.schema != expected or table.num_rows != count:
        raise _died("wrote other rows than it said", where)
    path.unlink()
    return table


def _content(path: Path) -> bytes:
    """All of a plain file; its size is bounded by the limits of the process that wrote it.

    Raises:
        OSError: it is something else, such as a pipe, on which a reader would wait for ever.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        return file.read()


def _how(code: int, attempt: int) -> str:
    names = {each.value: each.name for each in signal.Signals}
    by = (
        f"was ended by {names.get(-code, f'signal {-code}')}"
        if code < 0
        else f"ended with exit status {code}"
    )
    return f"{by}, and so was its successor" if attempt == 2 else by


def _unavailable(why: str) -> ReaderUnavailableError:
    return ReaderUnavailableError(
        f"The process that reads deliveries does not start: {why}.",
        where=sys.executable,
        allowed="the environment that Sluice is installed in",
        todo="install the project's requirements for this interpreter, or give the machine room to start a process",
    )


def _died(how: str, where: str) -> ReaderDiedError:
    return ReaderDiedError(
        f"The file could not be read: the process that read it {how}.",
        where=where,
        allowed="a file that can be parsed",
        todo="replay the day if the process was ended from outside; otherwise have the producer deliver a correct "
        "file with the next number, and report the file that does this",
    )
