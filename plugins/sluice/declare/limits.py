"""What one delivery may cost to read, before it is refused: the defaults, and where each number comes from.

A delivery is a stranger's file. These limits are what keeps a task that reads one within its memory and time, whatever
the file holds. They are far above what a real delivery needs and far below what a machine has: a source that really
needs more says so under `limits` in the pipeline's YAML. "Real" below is the largest delivery of the default pipeline's
year (six sources, 2013): 116 kB, 3,322 rows, 11 columns, values up to 50 characters, gzip 4.1 to 1. How long reading
takes and how much memory it needs was measured with 2 million rows of the arrivals.
"""

from __future__ import annotations

from pydantic import Field

from sluice.declare.contracts import Strict

# A manifest has some 250 bytes; producers may add keys of their own. Not a source's to change: it is read before
# anything else of the delivery is believed.
MANIFEST_BYTES = 64 * 1024


class Limits(Strict):
    """Limits of one source's deliveries, each for one file."""

    # Size as delivered. Real: 0.1; 2 million rows of the arrivals have 39 as csv.gz.
    file_mib: int = Field(128, ge=1)
    # Size of what it unpacks to: text, or values of Parquet. Real: 0.1; 2 million rows of the arrivals have 115.
    unpacked_mib: int = Field(256, ge=1)
    # Unpacked size to delivered size, asked from the first MiB on. Real: 4; gzip itself ends at 1,032.
    ratio: int = Field(100, ge=1)
    # Real: 3,322. A year of all flights out of New York has 336,776.
    rows: int = Field(2_000_000, ge=1)
    # Undeclared ones included. Real: 11.
    columns: int = Field(1_000, ge=1)
    # Of one value, and of all column names together. Real: 50 bytes.
    cell_kib: int = Field(64, ge=1)
    # Resident memory of the process that reads. Measured: 540 for 2 million rows of the arrivals, 620 for 215 MiB of JSON.
    memory_mib: int = Field(2_048, ge=128)
    # Processor time. Measured: 2.5 for 2 million rows of the arrivals, 9 for 215 MiB of JSON.
    cpu_seconds: int = Field(60, ge=1)
    # Time by the clock: a machine that has other things to do is not the file's fault.
    wall_seconds: int = Field(300, ge=1)
