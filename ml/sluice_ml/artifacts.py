"""The files of a registered model, and which tag of its version holds the hash of each.

Trees and description are the model; the scored held-out rows only show how it was judged. All three are plain formats that
other tools read, and none can run code when it is read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping

from sluice_ml.model import ModelMeta
from sluice_ml.training import Candidate

UBJ, META, TEST = "model.ubj", "model.json", "test.parquet"
TAGS = {UBJ: "sha256", META: "meta_sha256", TEST: "test_sha256"}


def pack(candidate: Candidate) -> dict[str, bytes]:
    """File name to content; the same candidate gives the same bytes."""
    import pyarrow.parquet as pq

    rows = io.BytesIO()
    pq.write_table(candidate.test, rows)
    return {UBJ: candidate.ubj, META: candidate.meta.to_json().encode(), TEST: rows.getvalue()}


def unpack(files: Mapping[str, bytes]) -> Candidate:
    """What `pack` was given."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    test = pq.read_table(pa.BufferReader(files[TEST]))
    return Candidate(files[UBJ], sha256(files[UBJ]), ModelMeta.from_json(files[META].decode()), test)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
