"""What serving a model takes: bytes of its file, rows that it scores a second, and the memory that loading it and scoring add.

Measured in a process of its own: what a training has freed is used again by whatever comes after it, so that beside a training a model
would seem to need less memory than a scoring task gives it. Rows are counted by the CPU time of one thread: seconds on the clock
would measure what else the machine does, and how many processors it has.
"""

from __future__ import annotations

import json
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
_STATUS = Path("/proc/self/status")
_ROWS, _META, _CONTENT = "rows.arrow", "model.json", "content"


@dataclass(frozen=True)
class Usage:
    """`rows` were scored at `rows_per_second` of one thread's CPU time; `added_bytes` is the peak of memory above what the process had."""

    rows: int
    model_bytes: int
    rows_per_second: float
    added_bytes: int


def measure(candidate: Candidate) -> Usage:
    """Measure the model that would serve, on the candidate's held-out rows.

    Raises:
        ArithmeticError: it could not be measured; says why.
    """
    import pyarrow.feather as feather

    meta = candidate.meta
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / _META).write_text(meta.to_json(), encoding="utf-8")
        (folder / _CONTENT).write_bytes(candidate.content)
        rows = candidate.test.select([*meta.numeric, *meta.categorical])
        feather.write_feather(rows, folder / _ROWS, compression="uncompressed")
        command = [sys.executable, "-m", __name__, name]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            raise ArithmeticError(
                f"{candidate.test.num_rows:,} rows were not scored {_RUNS} times within {_SECONDS} s"
            ) from None
    if done.returncode:
        raise ArithmeticError(
            f"the process that scores ended with {done.returncode}; was its memory limited?"
        )
    return Usage(**json.loads(done.stdout))


def _score(folder: Path) -> Usage:
    """In the process of its own."""
    import pyarrow.feather as feather
    import xgboost  # noqa: F401 what every process that scores has loaded is not the model's

    meta = ModelMeta.from_json((folder / _META).read_text(encoding="utf-8"))
    rows = feather.read_table(folder / _ROWS, memory_map=True)
    before, _ = _memory()
    content = (folder / _CONTENT).read_bytes()
    model = load(content, meta, threads=1)
    seconds = []
    for _ in range(_RUNS):
        began = process_time()
        model.score(rows)
        seconds.append(process_time() - began)
    return Usage(
        rows=rows.num_rows,
        model_bytes=len(content),
        rows_per_second=rows.num_rows / median(seconds),
        added_bytes=_memory()[1] - before,
    )


def _memory() -> tuple[int, int]:
    """Bytes of this process's memory now, and at its peak.

    On Linux as proc(5) gives them, because the peak of `getrusage` is no less there than that of the process which started this one.
    """
    if _STATUS.exists():
        lines = (line.partition(":") for line in _STATUS.read_text(encoding="ascii").splitlines())
        found = {name: value for name, _, value in lines}
        now, peak = (1024 * int(found[name].split()[0]) for name in ("VmRSS", "VmHWM"))
        return now, peak
    import resource

    import psutil

    return psutil.Process().memory_info().rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(json.dumps(vars(_score(Path(sys.argv[1])))))  # noqa: T201 the answer
