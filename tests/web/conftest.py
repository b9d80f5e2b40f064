"""A reports folder as gates and monitoring leave it: a published range, a held day that was corrected, a drift report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

# What a report made from hostile data could hold: it says in its title whether it is sandboxed.
REPORT = """<!doctype html><title>report</title><body><p id="told">loading</p><a href="other.html">inner</a><script>
document.title = "script ran"
let origin = "kept"
try { document.cookie } catch (error) { origin = "opaque" }
fetch("/api/v2/dags").then(() => "reached", () => "blocked").then((api) => {
  document.getElementById("told").textContent = `${origin} ${api} LABEL`
})
</script>"""


def write_gate(reports: Path, table: str, partitions: list[str], batch: str, outcome: str) -> str:
    """Write a gate's page and verdict as the gate does; returns the page's path relative to `reports`."""
    folder = reports / "flights" / "gates" / table / partitions[0]
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{batch}.html"
    page.write_text(REPORT.replace("LABEL", f"{table} {outcome}"), encoding="utf-8")
    page.with_suffix(".json").write_text(
        json.dumps({"outcome": outcome, "partitions": partitions}), encoding="utf-8"
    )
    return page.relative_to(reports).as_posix()


@pytest.fixture
def reports(tmp_path, home) -> Path:
    root = tmp_path / "home" / "reports"
    march = [f"2013-03-{day:02}" for day in range(1, 32)]
    for table in ("schedule", "arrivals", "weather"):
        write_gate(root, table, march, "20130401T080000000000-aaaaaa", "PASS")
        for day in ("2013-04-01", "2013-04-02"):
            write_gate(root, table, [day], "20130402T080000000000-bbbbbb", "PASS")
    write_gate(root, "arrivals", ["2013-04-03"], "20130404T080000000000-cccccc", "HOLD")
    write_gate(root, "arrivals", ["2013-04-03"], "20130404T100000000000-dddddd", "PASS")
    write_gate(root, "weather", ["2013-04-03"], "20130404T080000000000-eeeeee", "WARN")
    monitoring = root / "flights" / "monitoring" / "2013-04-02"
    monitoring.mkdir(parents=True)
    for name in ("index", "data_drift"):
        (monitoring / f"{name}.html").write_text(REPORT.replace("LABEL", name), encoding="utf-8")
    dbt = root / "flights" / "dbt"
    dbt.mkdir()
    (dbt / "index.html").write_text(REPORT.replace("LABEL", "dbt"), encoding="utf-8")
    return root
