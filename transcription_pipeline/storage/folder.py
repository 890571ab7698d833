"""A local directory as an object store: the lake of a single machine.

What belongs here: durable, atomic files. It cannot make URLs and does not watch audio; a bucket of
recordings is always S3 (``s3.py``).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from transcription_pipeline.errors import ObjectChanged, ObjectNotFound, StorageUnavailable
from transcription_pipeline.storage.objects import ABSENT, ListPage, StoredObject
from transcription_pipeline.storage.staging import LOCK, sweep

_CHUNK_BYTES = 1 << 20


class FolderStore:
    """Objects as files below ``root``; writes are staged outside the visible tree and renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.root_uri = self._root.as_uri() + "/"
        # Readers glob below tables/ and raw/; no temporary name inside them is safe for all.
        self._staging = self._root / ".staging"
        self._has_staging = False

    def list_page(self, prefix: str, token: str | None = None) -> ListPage:
        """Return everything whose key starts with ``prefix``, in key order, on one page."""
        del token
        base = self._path(prefix.rpartition("/")[0])
        found = [
            self._describe(path)
            for path in base.rglob("*")
            if path.is_file() and self._staging not in path.parents
        ]
        found = [item for item in found if item.key.startswith(prefix)]
        return ListPage(tuple(sorted(found, key=lambda item: item.key)), None)

    def find(self, key: str) -> StoredObject | None:
        """Look one file up."""
        path = self._path(key)
        return self._describe(path) if path.is_file() else None

    def get(self, key: str) -> bytes:
        """Return the whole file."""
        with self._open(key, None) as file:
            return file.read()

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        """Return a piece of the file."""
        with self._open(key, if_match) as file:
            file.seek(start)
            return file.read(length)

    def iterate(self, key: str, *, if_match: str | None = None) -> Iterator[bytes]:
        """Yield the file in pieces of one mebibyte."""
        with self._open(key, if_match) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def put(self, key: str, body: bytes, *, only_if_absent: bool = False) -> str:
        """Write a file whole and durably, or not at all."""
        path = self._path(key)
        with _errors(key):
            staged = self._stage(body)
            try:
                etag = _make_etag(staged.stat())  # kept by the rename, so it names this version
                _make_folder(path.parent)
                if only_if_absent:
                    os.link(staged, path)  # fails when the name exists: a rename would replace it
                else:
                    staged.replace(path)
                _sync_folder(path.parent)
            finally:
                staged.unlink(missing_ok=True)
        return etag

    def make_staging_folder(self) -> Path | None:
        """Return the folder for unfinished files, on the lake's own file system, swept at first."""
        if not self._has_staging:
            self._staging.mkdir(parents=True, exist_ok=True)
            sweep(self._staging)
            self._has_staging = True
        return self._staging

    def put_file(self, key: str, path: Path, *, if_match: str | None = None) -> None:
        """Move a finished file into place."""
        target = self._path(key)
        with _errors(key):
            _make_folder(target.parent)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            if if_match is None:
                path.replace(target)
            else:
                self._replace_version(target, path, if_match, key)
            _sync_folder(target.parent)

    def delete(self, key: str) -> None:
        """Remove a file."""
        self._path(key).unlink(missing_ok=True)

    def find_end_of_signatures(self) -> datetime | None:
        """Return None: there are no signatures."""
        return None

    def presign(self, key: str, *, expires_s: int, token: str) -> str | None:
        """Return None: nobody outside can read a folder."""
        del key, expires_s, token
        return None

    def _replace_version(self, target: Path, path: Path, etag: str, key: str) -> None:
        self.make_staging_folder()
        # No system call compares and renames: those who compare do so one at a time. The lock ends
        # with the file, so also with the process.
        with (self._staging / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if etag != (_make_etag(target.stat()) if target.exists() else ABSENT):
                raise ObjectChanged("another version", key=key)
            path.replace(target)

    def _path(self, key: str) -> Path:
        if ".." not in key and not key.startswith("/"):
            return self._root / key
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root):
            raise ObjectNotFound("outside the lake", key=key)
        return path

    def _open(self, key: str, if_match: str | None) -> BinaryIO:
        with _errors(key):
            file = self._path(key).open("rb")
        # Looked at through the open file: the name may point to another version by now.
        if if_match is not None and _make_etag(os.fstat(file.fileno())) != if_match:
            file.close()
            raise ObjectChanged("another version", key=key)
        return file

    def _stage(self, body: bytes) -> Path:
        self.make_staging_folder()
        staged = self._staging / token_hex(16)
        try:
            with staged.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            staged.unlink(missing_ok=True)
            raise
        return staged

    def _describe(self, path: Path) -> StoredObject:
        stat = path.stat()
        return StoredObject(
            key=path.relative_to(self._root).as_posix(),
            etag=_make_etag(stat),
            size_bytes=stat.st_size,
            last_modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
        )


@contextmanager
def _errors(key: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ObjectChanged("exists already", key=key) from None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ObjectNotFound("no such file", key=key) from None
    except OSError as error:
        raise StorageUnavailable(f"the folder failed: {error.strerror}", key=key) from None


def _make_etag(stat: os.stat_result) -> str:
    return f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}"


def _make_folder(folder: Path) -> None:
    # A new folder is durable only once its own parent has been synced, too.
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
