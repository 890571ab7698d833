"""A local directory as an object store: the lake of a single machine.

What belongs here: durable, atomic files. It cannot make URLs and does not watch audio; a bucket of
recordings is always S3 (``s3.py``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

from transcription_pipeline.errors import ObjectChanged, ObjectNotFound, StorageUnavailable
from transcription_pipeline.storage.objects import ListPage, StoredObject

_CHUNK_BYTES = 1 << 20


class FolderStore:
    """Objects as files below ``root``; writes are staged outside the visible tree and renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.root_uri = self._root.as_uri() + "/"
        # Readers glob below tables/ and raw/; no temporary name inside them is safe for all.
        self._staging = self._root / ".staging"

    def list_page(self, prefix: str, token: str | None = None) -> ListPage:
        """Return everything below ``prefix`` in key order; a folder needs no pages."""
        del token
        base = self._root / prefix
        found = [
            self._describe(path)
            for path in sorted(base.rglob("*"))
            if path.is_file() and self._staging not in path.parents
        ]
        return ListPage(tuple(found), None)

    def find(self, key: str) -> StoredObject | None:
        """Look one file up."""
        path = self._path(key)
        return self._describe(path) if path.is_file() else None

    def get(self, key: str) -> bytes:
        """Return the whole file."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise ObjectNotFound("no such file in the lake", key=key) from None

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        """Return a piece of the file."""
        self._check(key, if_match)
        with self._path(key).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def iterate(self, key: str, *, if_match: str | None = None) -> Iterator[bytes]:
        """Yield the file in pieces of one mebibyte."""
        self._check(key, if_match)
        with self._path(key).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def put(self, key: str, body: bytes, *, only_if_absent: bool = False) -> str:
        """Write a file whole and durably, or not at all."""
        path = self._path(key)
        try:
            staged = self._stage(body)
            path.parent.mkdir(parents=True, exist_ok=True)
            if only_if_absent:
                try:
                    os.link(staged, path)  # fails when the name exists: a rename would replace it
                except FileExistsError:
                    raise ObjectChanged("exists already", key=key) from None
                finally:
                    staged.unlink()
            else:
                staged.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise StorageUnavailable(f"cannot write: {error.strerror}", key=key) from None
        return md5(body, usedforsecurity=False).hexdigest()

    def make_staging_folder(self) -> Path | None:
        """Return the folder for unfinished files, on the lake's own file system."""
        self._staging.mkdir(parents=True, exist_ok=True)
        return self._staging

    def put_file(self, key: str, path: Path) -> None:
        """Move a finished file into place."""
        target = self._path(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise StorageUnavailable(f"cannot write: {error.strerror}", key=key) from None

    def delete(self, key: str) -> None:
        """Remove a file."""
        self._path(key).unlink(missing_ok=True)

    def presign(self, key: str, *, expires_s: int, token: str) -> str | None:
        """Return None: nobody outside can read a folder."""
        del key, expires_s, token
        return None

    def _path(self, key: str) -> Path:
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root):
            raise ObjectNotFound("outside the lake", key=key)
        return path

    def _stage(self, body: bytes) -> Path:
        handle, name = tempfile.mkstemp(dir=self.make_staging_folder())
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        return Path(name)

    def _describe(self, path: Path) -> StoredObject:
        stat = path.stat()
        return StoredObject(
            key=path.relative_to(self._root).as_posix(),
            etag=f"{stat.st_ino:x}-{stat.st_mtime_ns:x}-{stat.st_size:x}",
            size_bytes=stat.st_size,
            last_modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
        )

    def _check(self, key: str, if_match: str | None) -> None:
        found = self.find(key)
        if found is None:
            raise ObjectNotFound("no such file", key=key)
        if if_match is not None and found.etag != if_match:
            raise ObjectChanged("another version", key=key)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
