"""Parsing the DAG files against a bare `import airflow.sdk`, which every DAG file begins with.

Measured: a fresh process that imports `airflow.sdk` and then runs DAG files as Airflow's parser does, until their DAGs
are there. Floor: the first part of that, by the same process: what our files add is small beside the import, and two
processes of a busy machine would differ by more. The first file of a process pays for what all share (the
specification and its libraries), and Airflow parses each file in a process of its own: so one file alone is measured
as well.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.measure import Clock, Figure, Lab, Sample
from sluice.core.settings import ROOT


def run(lab: Lab) -> list[Figure]:
    names = sorted(path.name for path in (ROOT / "dags").glob("*.py"))
    figures = []
    for title, chosen in (
        (f"parsing all {len(names)} DAG files", names),
        ("parsing ingest.py alone", ["ingest.py"]),
    ):
        measured, floor = [], []
        for _ in range(3 if lab.quick else 7):
            taken = lab.call("benchmarks.parsing:parse", names=chosen, env=_environment(lab))
            measured.append(Sample(**taken["parsed"]))
            floor.append(Sample(**taken["imported"]))
            lab.say(f"{title}: {measured[-1].seconds:.2f} s, of which airflow.sdk {floor[-1].seconds:.2f} s")
        added = median(whole.seconds - part.seconds for whole, part in zip(measured, floor, strict=True))
        says = f"adds {added:.2f} s, DAGs: {measured[0].found['dags']}"
        figures.append(Figure(f"{title} / import airflow.sdk", measured, floor, says))
    return figures


def parse(names: list[str]) -> dict[str, Any]:
    """Child: import the SDK, then run the DAG files named."""
    import runpy

    with Clock() as imported:
        import airflow.sdk  # noqa: F401
    with Clock() as parsed:
        from airflow.sdk.definitions._internal.contextmanager import DagContext

        # As Airflow's parser does: without it a DAG that is bound to no name is not found.
        DagContext.current_autoregister_module_name = __name__
        for name in names:
            runpy.run_path(str(ROOT / "dags" / name), run_name=name.removesuffix(".py"))
    dags = {dag.dag_id for dag, _ in DagContext.autoregistered_dags}
    if len(dags) < len(names):
        raise RuntimeError(f"{len(names)} files gave {len(dags)} DAGs")
    whole = {**imported.sample(), "peak": parsed.sample()["peak"], "found": {"dags": len(dags)}}
    whole["seconds"] += parsed.sample()["seconds"]
    return {"imported": imported.sample(), "parsed": whole}


def _environment(lab: Lab) -> dict[str, str]:
    return {"AIRFLOW_HOME": str(lab.base / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
