"""The process in which deliveries are parsed: jobs come in by the line, answers go out by the line, both JSON.

Run as a script by `sluice.ingest.reader`, in an environment without a variable of the parent's, so that a parser that a
hostile file has taken over finds no credentials there. The first line says where to import from; the key of pseudonyms
comes with a job and is in no argument, variable or file.

numpy and pandas are kept out: pyarrow works without them, and importing them takes longer than parsing a day.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import traceback
from math import ceil
from pathlib import Path
from typing import Any, TextIO

_MIB = 1024 * 1024


def main() -> None:
    # Whatever a library prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.path[:] = json.loads(sys.stdin.readline())
    sys.modules["numpy"] = sys.modules["pandas"] = None  # type: ignore[assignment]
    # A core dump would hold the key, and people's data.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _say(answers, _ready())
    for line in sys.stdin:
        _say(answers, _answer(json.loads(line)))


def _say(answers: TextIO, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _ready() -> dict[str, Any]:
    """Import everything that a job needs, before its time and memory are counted."""
    try:
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet  # noqa: F401 - all of them

        import sluice.ingest.parse  # noqa: F401
    except ImportError as error:
        return {"broke": str(error)}
    return {"ready": True}


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    """What became of a job: `read`, `refused`, `disk` (that of the scratch file), or `broke`."""
    from sluice.core.errors import SluiceError
    from sluice.ingest.budget import Budget

    budget = Budget(**job["budget"])
    _limit(budget)
    try:
        return {"read": _parse(job, budget)}
    except SluiceError as error:
        return {"refused": _fields_of(error)}
    except MemoryError:
        return {"refused": _fields_of(budget.over_memory().as_error(job["where"]))}
    except Exception as error:  # noqa: BLE001 - its own message may quote the file
        if isinstance(error, OSError) and error.errno:
            return {"disk": error.errno}
        at = traceback.extract_tb(error.__traceback__)[-1]
        return {"broke": f"{type(error).__name__} in {Path(at.filename).name}, line {at.lineno}"}


def _limit(budget: Any) -> None:
    """Limits that the operating system enforces, counted from here; the parent watches as well.

    macOS takes the limit of memory and does not keep it, or refuses it: there the parent's watch is the only one.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set(resource.RLIMIT_CPU, ceil(used.ru_utime + used.ru_stime) + budget.cpu_seconds)
    _set(resource.RLIMIT_FSIZE, budget.memory_mib * _MIB)
    pages = Path("/proc/self/statm")
    if pages.exists():
        mapped = int(pages.read_text().split()[0]) * resource.getpagesize()
        _set(resource.RLIMIT_AS, mapped + budget.memory_mib * _MIB)


def _set(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    with contextlib.suppress(ValueError, OSError):  # a hard limit that is lower already, which will do
        resource.setrlimit(what, (soft, hard))


def _parse(job: dict[str, Any], budget: Any) -> dict[str, Any]:
    import pyarrow as pa

    from sluice.ingest.layout import Layout
    from sluice.ingest.parse import read

    parsed = read(
        Path(job["file"]).read_bytes(),
        job["format"],
        Layout.from_plain(job["layout"]),
        budget,
        where=job["where"],
        pii=job["pii"],
        key=bytes.fromhex(job["key"]) if job["key"] else None,
    )
    with pa.OSFile(job["into"], "wb") as sink, pa.ipc.new_file(sink, parsed.table.schema) as writer:
        writer.write_table(parsed.table)
    return {
        "rows": parsed.table.num_rows,
        "counted": parsed.counted,
        "left_out": list(parsed.left_out),
        "null_like": [vars(each) for each in parsed.null_like],
    }


def _fields_of(error: Any) -> dict[str, str]:
    return {
        "kind": type(error).__name__,
        "what": error.what,
        "where": error.where,
        "allowed": error.allowed,
        "todo": error.todo,
    }


if __name__ == "__main__":
    main()
