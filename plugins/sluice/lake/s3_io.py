"""How pyiceberg reads the metadata of a table from a bucket: whole, or not at all.

Imported by pyiceberg alone, by its name (`s3.properties`), when it is loaded already.
"""

from __future__ import annotations

import io
from typing import Any

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO  # noqa: TID253 - see above

from sluice.core import retry
from sluice.lake import s3


class WholeFileIO(PyArrowFileIO):
    """As pyiceberg's own, except that a metadata file or a manifest is read in one piece whose length is checked, and
    that no file's size is taken from half an answer.

    Where an answer breaks off in its head, pyarrow takes the file for empty, and pyiceberg for damaged; or it writes
    into the table's metadata that the file has 0 bytes. Parquet files are read in parts: they have marks at both ends,
    and pyarrow looks for them.
    """

    def new_input(self, location: str) -> PyArrowFile:
        return _WholeFile(super().new_input(location))

    def new_output(self, location: str) -> PyArrowFile:
        return _WholeFile(super().new_output(location))


class _WholeFile(PyArrowFile):
    def __init__(self, found: PyArrowFile) -> None:
        super().__init__(found.location, found._path, found._filesystem, found._buffer_size)

    def __len__(self) -> int:
        return s3.size(self.location)

    def open(self, seekable: bool = True) -> Any:
        if not self.location.endswith(".parquet"):
            return io.BytesIO(s3.read(self.location))
        return retry.attempts(s3.ATTEMPTS, _EmptyAnswerError)(self._open_parquet, seekable)

    def _open_parquet(self, seekable: bool) -> Any:
        found: Any = super().open(seekable)
        # Asked for when it was opened; no Parquet file is empty.
        if seekable and not found.size():
            found.close()
            raise _EmptyAnswerError(f"The answer says that {self.location} has 0 bytes.")
        return found


class _EmptyAnswerError(OSError):
    """S3's answer broke off before it said how long the file is."""
