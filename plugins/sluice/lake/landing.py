"""The landing zone: a folder or an S3 bucket where producers put files, read and written the same way.

A name is relative to the zone and uses `/`. A write is atomic: a reader sees the whole file or none. What cannot be
reached is an error that names the folder or the bucket, never an empty listing; only a folder inside a reachable
zone may be absent. Endpoint, region and credentials of S3 come from boto3's own chain (`AWS_ENDPOINT_URL_S3`,
`AWS_PROFILE`, an instance role, ...).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from sluice.core.errors import DeliveryMissingError, LandingUnreachableError, SpecInvalidError
from sluice.core.files import replacing
from sluice.lake import s3
from sluice.lake.opening import Opened, plain_file, stored_object

# No name in a bucket begins with a later character.
_LAST = "\U0010ffff"


class _Store(Protocol):
    def create(self) -> None: ...
    def list(self, folder: str) -> Sequence[str]: ...
    def walk(self, is_known: Callable[[str], bool]) -> Iterator[str]: ...
    def open(self, name: str) -> AbstractContextManager[Opened]: ...
    def write(self, name: str, data: bytes) -> None: ...
    def write_new(self, name: str, data: bytes) -> bool: ...
    def exists(self, name: str) -> bool: ...


class Landing:
    """One landing zone.

    Args:
        url: a folder, `file:///folder` or `s3://bucket/prefix`.

    Every method raises LandingUnreachableError where the zone cannot be read or written.

    Raises:
        SpecInvalidError: the URL has another scheme or no bucket.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url.rstrip("/")
        self._store: _Store
        if "://" not in url:
            self._store = _Folder(Path(url))
        elif parts.scheme == "file" and parts.path and not parts.netloc:
            self._store = _Folder(Path(unquote(parts.path)))
        elif parts.scheme == "s3" and parts.netloc:
            self._store = _Bucket(parts.netloc, parts.path.strip("/"))
        else:
            raise SpecInvalidError(
                f"The landing zone {url!r} cannot be used.",
                where="`landing` of the pipeline, or SLUICE_LANDING",
                allowed="a folder, file:///folder or s3://bucket/prefix",
                todo="correct the URL",
            )

    def uri(self, name: str) -> str:
        """The full address of a file, for people and records."""
        return f"{self.url}/{name}"

    def create(self) -> None:
        """Make the folder of a local zone, before the first delivery; a bucket is its owner's to make."""
        self._store.create()

    def list(self, folder: str) -> Sequence[str]:
        """Names of all files under a folder, at any depth, sorted; none where the folder does not exist."""
        return sorted(self._store.list(_inside(folder)))

    def walk(self, is_known: Callable[[str], bool]) -> Iterator[str]:
        """Names of everything in the zone, one at a time and in no order: links, pipes and devices as well as files.

        Of a folder that is not known only the name is given, with a `/` behind it, however much lies in it; of an empty one
        nothing. Names that begin with a dot are of files that are being written, and are left out.

        Args:
            is_known: whether to look into a folder, by its name; each is asked for once or more.
        """
        return self._store.walk(is_known)

    def open(self, name: str) -> AbstractContextManager[Opened]:
        """A file, to be read a piece at a time; what goes wrong meanwhile is told as for every other method.

        Raises:
            DeliveryMissingError: there is no such file.
            DeliveryUnreadableError: it is no plain file inside the zone.
        """
        return self._store.open(_inside(name))

    def read(self, name: str) -> bytes:
        """The content of a file of known size; raises as `open`."""
        with self.open(name) as opened:
            return b"".join(opened.pieces)

    def write(self, name: str, data: bytes) -> None:
        """Write or replace a file, atomically."""
        self._store.write(_inside(name), data)

    def write_new(self, name: str, data: bytes) -> bool:
        """Write a file whose name nobody has taken; of two who do so at the same moment, one gets the name.

        In a folder the name is taken first, so that a reader may see a part of the file: only for a file that is not read
        before another one announces it.

        Returns: whether it was written; False where the name is taken, and that file is as it was.
        """
        return self._store.write_new(_inside(name), data)

    def exists(self, name: str) -> bool:
        return self._store.exists(_inside(name))


def _inside(name: str) -> str:
    """Refuse a name that would leave the zone."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise SpecInvalidError(
            f"{name!r} is no name inside a landing zone.",
            where="landing zone",
            allowed="folder/file, relative to the zone",
            todo="correct the name",
        )
    return name


def _missing(address: str) -> DeliveryMissingError:
    return DeliveryMissingError(
        f"There is no file {address}.",
        where=address,
        allowed="a file that its manifest announces",
        todo="deliver the file, then its manifest",
    )


def _telling(opened: Opened, reaching: AbstractContextManager[None]) -> Opened:
    """What goes wrong while the pieces are read is the zone's; what their reader does wrong is not."""

    def pieces() -> Iterator[bytes]:
        with reaching:
            yield from opened.pieces

    return Opened(opened.size, pieces())


class _Folder:
    """A local folder. A file being written starts with a dot and is not listed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def _reaching(self, address: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LandingUnreachableError(
                f"The landing folder {self.root} cannot be used: {error.strerror or error}.",
                where=str(address),
                allowed="a folder that this process may read and write",
                todo="create or mount the folder, or correct its permissions or `landing`",
            ) from error

    def create(self) -> None:
        with self._reaching(self.root):
            self.root.mkdir(parents=True, exist_ok=True)

    def list(self, folder: str) -> Sequence[str]:
        with self._reaching(self.root / folder):
            os.scandir(self.root).close()  # a zone that is not there must not look like an empty one
            return list(self._files(folder))

    def _files(self, folder: str) -> Iterator[str]:
        """Names of the files under a folder; not by recursion, which a deep enough folder ends."""
        waiting = [folder] if (self.root / folder).is_dir() else []
        while waiting:
            inside = waiting.pop()
            with os.scandir(os.path.join(self.root, inside)) as entries:
                for entry in entries:
                    name = f"{inside}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name)
                    elif not entry.name.startswith(".") and os.path.isfile(entry.path):
                        yield name

    def walk(self, is_known: Callable[[str], bool]) -> Iterator[str]:
        with self._reaching(self.root):
            yield from self._entries("", is_known)

    def _entries(self, folder: str, is_known: Callable[[str], bool]) -> Iterator[str]:
        """By recursion: as deep as folders are known. A folder that vanishes meanwhile has none."""
        try:
            scanned = os.scandir(self.root / folder)
        except FileNotFoundError:
            if folder:
                return
            raise
        with scanned as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                # `lost+found` is the file system's own, where the zone is a disk of its own.
                if entry.name.startswith(".") or name == "lost+found":
                    continue
                if is_known(name) and entry.is_dir():
                    yield from self._entries(f"{name}/", is_known)
                elif not entry.is_dir(follow_symlinks=False):
                    yield name
                elif _holds_something(entry.path):
                    yield f"{name}/"

    @contextmanager
    def open(self, name: str) -> Iterator[Opened]:
        path = self.root / name
        with ExitStack() as stack:
            with self._reaching(path):
                if not path.exists():
                    raise _missing(str(path))
                opened = stack.enter_context(plain_file(self.root, path))
            yield _telling(opened, self._reaching(path))

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        with self._reaching(path), replacing(path) as part:
            part.write_bytes(data)

    def write_new(self, name: str, data: bytes) -> bool:
        path = self.root / name
        with self._reaching(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = path.open("xb")
            except FileExistsError:
                return False
            try:
                with file:
                    file.write(data)
            except OSError:
                path.unlink()
                raise
        return True

    def exists(self, name: str) -> bool:
        with self._reaching(self.root / name):
            return (self.root / name).is_file()


def _holds_something(folder: str) -> bool:
    """Whether a folder has an entry; one that may not be read counts as if it had."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False  # gone since it was listed
    except PermissionError:
        return True


class _Bucket:
    """A prefix of an S3 bucket."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""
        with self._reaching(""):
            self.client = s3.client()

    @contextmanager
    def _reaching(self, name: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        address = f"s3://{self.bucket}/{self.prefix}{name}"
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchKey":
                raise _missing(address) from error
            raise LandingUnreachableError(
                f"The landing bucket {self.bucket!r} cannot be used: {error}.",
                where=address,
                allowed="a bucket that answers and that these credentials may list, read and write",
                todo="check the bucket's name, AWS_ENDPOINT_URL_S3, the network and the credentials",
            ) from error

    def create(self) -> None:
        return None

    def _pages(self, **options: str) -> Iterator[dict]:
        return iter(self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **options))

    def list(self, folder: str) -> Sequence[str]:
        with self._reaching(folder):
            pages = self._pages(Prefix=f"{self.prefix}{folder}/")
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        # Consoles create a key that ends in "/" for a folder.
        return [key.removeprefix(self.prefix) for key in keys if not key.endswith("/")]

    def walk(self, is_known: Callable[[str], bool]) -> Iterator[str]:
        with self._reaching(""):
            after: dict[str, str] = {}
            while True:
                skipped = None
                for name in self._names(**after):
                    if skipped := _unknown_folder(name, is_known):
                        break
                    if not name.rsplit("/", 1)[-1].startswith("."):
                        yield name
                if skipped is None:
                    return
                if not skipped.rsplit("/", 2)[-2].startswith("."):
                    yield skipped
                # The listing goes on behind the folder: however many objects it has, they cost nothing.
                after = {"StartAfter": f"{self.prefix}{skipped}{_LAST}"}

    def _names(self, **options: str) -> Iterator[str]:
        """Names of all objects, in the order of their keys; without the empty ones that consoles create for a folder."""
        for page in self._pages(Prefix=self.prefix, **options):
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    yield item["Key"].removeprefix(self.prefix)

    @contextmanager
    def open(self, name: str) -> Iterator[Opened]:
        with self._reaching(name):
            opened = stored_object(self.client, self.bucket, self.prefix + name)
        yield _telling(opened, self._reaching(name))

    def write(self, name: str, data: bytes) -> None:
        with self._reaching(name):
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=data)

    def write_new(self, name: str, data: bytes) -> bool:
        from botocore.exceptions import ClientError

        with self._reaching(name):
            try:
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + name, Body=data, IfNoneMatch="*")
            except ClientError as error:
                # The second: somebody else writes this very name at this moment.
                if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return False
                raise
        return True

    def exists(self, name: str) -> bool:
        # Listed, not headed: the answer to HEAD has no body to tell a missing object from a missing bucket.
        key = self.prefix + name
        with self._reaching(name):
            return any(
                item["Key"] == key for page in self._pages(Prefix=key) for item in page.get("Contents", [])
            )


def _unknown_folder(name: str, is_known: Callable[[str], bool]) -> str | None:
    """The outermost folder of an object's name that is not known, with the `/` behind it; None if each is."""
    parts = name.split("/")[:-1]
    folders = ("/".join(parts[: at + 1]) for at in range(len(parts)))
    return next((f"{folder}/" for folder in folders if not is_known(folder)), None)
