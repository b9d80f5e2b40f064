"""A process that publishes the same day of two tables over and over, and makes and clears away scratch folders as tasks do.

It prints a line for each publication of both.
"""

from __future__ import annotations

import shutil
import sys
from datetime import date
from itertools import count

import pyarrow as pa

from sluice.core.settings import settings
from sluice.declare import spec
from tests.models.conftest import publish

TABLES = ("features", "outcomes")


def main(day: str) -> None:
    """Publish for ever."""
    flights = spec.load("flights")
    for number in count(1):
        scratch = settings().work / f"attempt-{day}" / "inner"
        scratch.mkdir(parents=True)
        columns = {
            "flight_id": [f"{number}.{place}" for place in range(5)],
            "number": [number] * 5,
            "ds": pa.array([date.fromisoformat(day)] * 5, pa.date32()),
        }
        for table in TABLES:
            publish(flights, table, pa.table(columns))
        shutil.rmtree(scratch.parent)
        print(number, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
