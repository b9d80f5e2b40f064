"""How pyiceberg reads the metadata of a table from a bucket: whole, or not at all.

Imported by pyiceberg alone, by its name (`s3.properties`), when it is loaded already.
"""

from __future__ import annotations

import io
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO  # noqa: TID253 - see above

from sluice.lake import s3


class WholeFileIO(PyArrowFileIO):
    """As pyiceberg's own, except that a metadata file or a manifest is read in one piece whose length is checked.

    Where an answer breaks off in its head, pyarrow takes the file for empty, and pyiceberg for damaged. Parquet files,
    which are read in parts, have marks at both ends, and pyarrow looks for them.
    """

    def new_input(self, location: str) -> PyArrowFile:
        found = super().new_input(location)
        return found if location.endswith(".parquet") else _WholeFile(found)


class _WholeFile(PyArrowFile):
    def __init__(self, found: PyArrowFile) -> None:
        super().__init__(found.location, found._path, found._filesystem, found._buffer_size)

    def open(self, seekable: bool = True) -> Any:
        return io.BytesIO(s3.read(self.location))
