"""The files of a registered model, and which tag of its version holds the hash of each.

Trees or weights, and description, are the model; the scored held-out rows only show how it was judged. All are plain formats
that other tools read, and none can run code when it is read.
"""

from __future__ import annotations

import hashlib
import io

from sluice_ml.model import BOOSTED, LINEAR, ModelMeta
from sluice_ml.training import Candidate

META, TEST = "model.json", "test.parquet"
CONTENT = {BOOSTED: "model.ubj", LINEAR: "linear.json"}
TAGS = {META: "meta_sha256", TEST: "test_sha256", **dict.fromkeys(CONTENT.values(), "sha256")}


def pack(candidate: Candidate) -> dict[str, bytes]:
    """File name to content; the same candidate gives the same bytes."""
    import pyarrow.parquet as pq

    rows = io.BytesIO()
    pq.write_table(candidate.test, rows)
    return {
        CONTENT[candidate.meta.algorithm]: candidate.content,
        META: candidate.meta.to_json().encode(),
        TEST: rows.getvalue(),
    }


def describe(meta: bytes) -> ModelMeta:
    """The description in a META file. Raises ValueError where it is of another format, or of a kind without a file."""
    read = ModelMeta.from_json(meta.decode())
    if read.algorithm not in CONTENT:
        raise ValueError(f"a model of kind {read.algorithm!r}; this code knows {', '.join(CONTENT)}")
    return read


def unpack(meta: ModelMeta, content: bytes, test: bytes) -> Candidate:
    """What `pack` was given."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return Candidate(content, sha256(content), meta, pq.read_table(pa.BufferReader(test)))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
