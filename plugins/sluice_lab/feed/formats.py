"""How a source system writes a table: the four formats that a pipeline may declare.

The same rows always give the same bytes, so that delivering a day twice is the same delivery.
"""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING

from sluice.declare.spec import Format

if TYPE_CHECKING:
    import pyarrow as pa


def encode(table: pa.Table, fmt: Format) -> bytes:
    """A table as a file: CSV has a header and an empty field for null, JSON has one object a line."""
    if fmt == "csv":
        return _csv(table)
    if fmt == "csv.gz":
        return gzip.compress(_csv(table), mtime=0)
    if fmt == "jsonl":
        return b"".join(
            json.dumps(row, default=lambda value: value.isoformat(), ensure_ascii=False).encode() + b"\n"
            for row in table.to_pylist()
        )
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _csv(table: pa.Table) -> bytes:
    from pyarrow import csv

    out = io.BytesIO()
    csv.write_csv(table, out)
    return out.getvalue()
