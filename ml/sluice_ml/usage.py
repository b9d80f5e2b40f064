"""What serving a model takes: bytes of its file, rows that it scores a second, and the memory that loading it and scoring add.

Measured in a process of its own: what a training has freed is used again by whatever comes after it, so that beside a training a model
would seem to need less memory than a scoring task gives it. Rows are read whole before, and scored in batches as scoring does, so that
the memory is that of the model and one batch, however many rows were held out. Rows a second are counted by the CPU time of one
thread: seconds on the clock would measure what else the machine does, and how many processors it has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING

from sluice_ml.model import ModelMeta, load

if TYPE_CHECKING:
    from sluice_ml.training import Candidate

# Times that the rows are scored: the median of them counts.
_RUNS = 5
# A model that scores its held-out rows five times for longer than this is too slow for any of ours (flights: a second).
_SECONDS = 600
# Characters of the last line of its standard error that are quoted where it failed.
_QUOTED = 300
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_ROWS, _META, _CONTENT = "rows.arrow", "model.json", "content"


@dataclass(frozen=True)
class Usage:
    """`rows` were scored at `rows_per_second` of one thread's CPU time; `added_bytes` is the peak of memory above that with libraries and rows."""

    rows: int
    model_bytes: int
    rows_per_second: float
    added_bytes: int


def measure(candidate: Candidate, *, batch_rows: int, work: Path) -> Usage:
    """Measure the model that would serve, on the candidate's held-out rows.

    Args:
        batch_rows: rows that scoring scores at once.
        work: an existing folder for what the process that scores reads, which is removed after it.

    Raises:
        ArithmeticError: it could not be measured; says why.
    """
    import pyarrow.feather as feather

    meta = candidate.meta
    with tempfile.TemporaryDirectory(prefix="usage-", dir=work) as name:
        folder = Path(name)
        (folder / _META).write_text(meta.to_json(), encoding="utf-8")
        (folder / _CONTENT).write_bytes(candidate.content)
        rows = candidate.test.select([*meta.numeric, *meta.categorical]).combine_chunks()
        feather.write_feather(rows, folder / _ROWS, chunksize=batch_rows)
        # It imports what this process does, and is given nothing else of its environment: that holds keys and passwords.
        places = os.pathsep.join(place for place in sys.path if os.path.isabs(place))
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", __name__, str(folder.resolve())],
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                text=True,
                env={"PYTHONPATH": places, "LC_ALL": "C.UTF-8"},
            )
        except subprocess.TimeoutExpired:
            raise ArithmeticError(
                f"{candidate.test.num_rows:,} rows were not scored {_RUNS} times within {_SECONDS} s"
            ) from None
    if done.returncode:
        said = done.stderr.splitlines()[-1][:_QUOTED] if done.stderr.strip() else "nothing"
        raise ArithmeticError(f"the process that scores ended with {done.returncode}, and said: {said}")
    # A library may have printed before it.
    return Usage(**json.loads(done.stdout.splitlines()[-1]))


def _score(folder: Path) -> Usage:
    """In the process of its own."""
    import pyarrow.feather as feather
    import xgboost  # noqa: F401 what every process that scores has loaded is not the model's

    meta = ModelMeta.from_json((folder / _META).read_text(encoding="utf-8"))
    # A mapped file would be read in when it is scored, and be counted as the model's.
    rows = feather.read_table(folder / _ROWS, memory_map=False)
    batches = rows.to_batches()
    if _RESET.exists():
        _RESET.write_text("5", encoding="ascii")  # proc(5): the peak is from now on, not that of importing
    before = _peak()
    content = (folder / _CONTENT).read_bytes()
    model = load(content, meta, threads=1)
    seconds = []
    for _ in range(_RUNS):
        began = process_time()
        for batch in batches:
            model.score(batch)
        seconds.append(process_time() - began)
    return Usage(
        rows=rows.num_rows,
        model_bytes=len(content),
        rows_per_second=rows.num_rows / median(seconds),
        added_bytes=_peak() - before,
    )


def _peak() -> int:
    """Bytes that this process's memory had at most.

    On Linux as proc(5) gives it, because the peak of `getrusage` is no less there than that of the process which started this one.
    Elsewhere it cannot be reset: what the model adds is above the peak of importing and reading, too little rather than too much.
    """
    if _STATUS.exists():
        lines = (line.partition(":") for line in _STATUS.read_text(encoding="ascii").splitlines())
        return next(1024 * int(value.split()[0]) for name, _, value in lines if name == "VmHWM")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    try:
        answer = _score(Path(sys.argv[1]))
    except Exception as error:  # noqa: BLE001 a library's text may end with its own stack: the last line says what went wrong
        sys.exit(f"{type(error).__name__}: {error}".splitlines()[0])
    print(json.dumps(vars(answer)))  # noqa: T201 the answer
