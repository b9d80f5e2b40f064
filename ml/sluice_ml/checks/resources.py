"""What serves every day must fit where it runs: the bytes of a model's file, how fast it scores, and the memory that it adds."""

from __future__ import annotations

from sluice_ml.checks.judged import Finding, Judged
from sluice_ml.config import ResourcesConfig

_MB = 1e6


def check(judged: Judged, limits: ResourcesConfig) -> Finding:
    """FAIL where a limit is passed, with what to do; NOT_APPLICABLE where nothing was measured (a replay of history has no machine)."""
    if judged.usage is None:
        return Finding("resources", "NOT_APPLICABLE", "What the model takes is measured by a training only.")
    used = judged.usage()
    megabytes, memory = used.model_bytes / _MB, used.added_bytes / _MB
    found = {
        f"its file has {megabytes:,.2f} MB (limit {limits.model_mb:g})": megabytes > limits.model_mb,
        f"one thread scores {used.rows_per_second:,.0f} rows a second of CPU time (limit {limits.rows_per_second:,.0f} at least)": used.rows_per_second
        < limits.rows_per_second,
        f"it adds {memory:,.0f} MB of memory (limit {limits.memory_mb:g})": memory > limits.memory_mb,
    }
    fails = any(found.values())
    said = "; ".join(text for text, beyond in found.items() if beyond or not fails)
    todo = " Train fewer or shallower trees (`rounds`, `params.max_depth`), or raise the limit if the machine bears it."
    return Finding(
        "resources",
        "FAIL" if fails else "PASS",
        f"Scoring {used.rows:,} held-out rows: {said}.{todo if fails else ''}",
        {**vars(used), "limits": vars(limits)},
    )
