"""Child of test_imports: a day whose every step runs in a process of its own, forked as a LocalExecutor forks tasks.

Prints, as JSON, for each step the modules of heavy libraries that its process had to import itself, and the seconds of
CPU that the parent's imports took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

# Packages whose import takes a tenth of a second or more.
HEAVY = (
    "boto3", "botocore", "dbt", "duckdb", "duckdb_engine", "evidently", "great_expectations", "mlflow", "numpy",
    "pandas", "plotly", "pyarrow", "pyiceberg", "scipy", "sklearn", "sqlalchemy", "xgboost",
)  # fmt: skip


def heavy() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] in HEAVY}


def forked(step: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What a step returns in a process of its own, and what that process imported."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            before = heavy()
            answer = step()
            with os.fdopen(write, "w") as pipe:
                json.dump([answer, sorted(heavy() - before)], pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("a step failed; see its traceback")
    return json.loads(text)


def main(run_day: str) -> None:
    from sluice import crossing
    from sluice.core.runs import Run
    from sluice.declare import spec
    from sluice.declare.spec import PREDICTIONS
    from sluice.ingest.completion import complete, due_sources
    from sluice.models import monitoring
    from sluice.models.config import registry
    from sluice.orchestration import preload
    from sluice_lab import feed

    pipeline, run, found = spec.load("flights"), Run(dag_id="day", run_id="day"), {}
    # Before the preload, in processes of their own: what makes the scene is none of the day.
    forked(lambda: feed.deliver(pipeline, run_day) and None)
    forked(lambda: registry().init())
    started = time.process_time()
    preload.preload()
    spent = time.process_time() - started

    def take(name: str, step: Callable[[], Any]) -> Any:
        answer, found[name] = forked(step)
        return answer

    def cross(table: str) -> None:
        days = [run_day]
        batch = take(f"stage {table}", lambda: crossing.stage(pipeline, table, days, run).batch_id)
        outcome = take(f"audit {table}", lambda: crossing.audit(pipeline, table, batch, run).outcome)
        if outcome not in ("PASS", "WARN"):
            raise RuntimeError(f"{table}: {outcome}")
        take(f"publish {table}", lambda: crossing.publish(pipeline, table, batch, run) and None)

    for source in due_sources(pipeline, [run_day]):
        cross(source)
    take("complete", lambda: complete(pipeline, [run_day], run) and None)
    for table in (*pipeline.derived, PREDICTIONS):
        cross(table)
    take("report", lambda: monitoring.report_days(pipeline, run_day, run) and None)
    take("decide", lambda: monitoring.decide(pipeline, run_day, run)["action"])
    print(json.dumps({"steps": found, "seconds": spent}))


if __name__ == "__main__":
    main(sys.argv[1])
