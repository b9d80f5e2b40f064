"""Keep a small home of the version that is checked out: `python -m tests.local.home.keep FILE.tar.xz`.

It has what an upgrade has to bring over: a published table, decisions, a registered model, Airflow's database and the registry's. Keys,
logins and logs are left out. Run it before the version is raised, and add the file to `tests/local/home/kept/`.
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
from contextlib import chdir
from datetime import date
from pathlib import Path

import pyarrow as pa

from sluice import ledger
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ledger import model_records
from sluice.local import stack
from sluice.models.config import registry
from sluice_ml.training import fit
from tests.models.conftest import DAY, flights_rows, publish, small_config

KEPT = ("home.json", "catalog.db", "ledger.db", "mlflow.db", "lake", "models", "airflow/airflow.db")


def main(archive: Path) -> None:
    """Make the home in a temporary folder, and pack it."""
    archive = archive.resolve()
    # MLflow records the current folder.
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        home = Path(folder, "home")
        os.environ["SLUICE_HOME"] = str(home)
        settings.cache_clear()
        flights = spec.load("flights")
        rows = {"flight_id": ["a", "b"], "ds": pa.array([date.fromisoformat("2013-03-30")] * 2, pa.date32())}
        publish(flights, "features", pa.table(rows))
        (settings().home / "logs").mkdir(exist_ok=True)
        stack.prepare()
        candidate = fit(flights_rows(flights), small_config(flights))
        with registry().training(flights.model.name, {"as_of": DAY}) as run_id:
            version = registry().log(run_id, candidate)
        about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
        ledger.append(model_records.Trained(version=version), **about)
        with tarfile.open(archive, "w:xz") as packed:
            for name in KEPT:
                packed.add(home / name, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
