"""The seam between the pipeline and any object store.

What belongs here: the protocol and the values that cross it. Implementations are ``s3.py`` and
``folder.py``; key layout is ``layout.py``. All methods block; callers on an event loop use a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

ABSENT = ""
"""The ETag of what is not there."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as listed or looked up."""

    key: str
    """Complete key inside the store, exactly as stored."""
    etag: str
    size_bytes: int
    last_modified_at: datetime


@dataclass(frozen=True, slots=True)
class ListPage:
    """Up to 1,000 objects and where to go on; ``next_token`` is None on the last page."""

    objects: tuple[StoredObject, ...]
    next_token: str | None


class ObjectStore(Protocol):
    """A flat namespace of objects under one root."""

    root_uri: str
    """Absolute, ends with ``/``."""

    def list_page(self, prefix: str, token: str | None = None) -> ListPage:
        """Return one page of the listing, in key order."""
        ...

    def find(self, key: str) -> StoredObject | None:
        """Look one object up; None when absent."""
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises ``ObjectNotFound``."""
        ...

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        """Return ``length`` bytes from ``start``, fewer at the end of the object.

        Raises ``ObjectNotFound``; ``ObjectChanged`` when ``if_match`` names another version.
        """
        ...

    def iterate(self, key: str, *, if_match: str | None = None) -> Iterator[bytes]:
        """Yield the object's bytes in native chunks, in constant memory."""
        ...

    def put(self, key: str, body: bytes, *, only_if_absent: bool = False) -> str:
        """Write an object whole or not at all, durably; return its ETag.

        Raises ``ObjectChanged`` with ``only_if_absent`` when the key exists already.
        """
        ...

    def make_staging_folder(self) -> Path | None:
        """Return a local folder from which ``put_file`` is a rename; None: any folder will do."""
        ...

    def put_file(self, key: str, path: Path, *, if_match: str | None = None) -> None:
        """Move a finished local file to ``key``, replacing it atomically; ``path`` is gone after.

        With ``if_match`` only the version of that ETag is replaced, with ``ABSENT`` none. Raises
        ``ObjectChanged`` when it is another one; where it is gone S3 says ``ObjectNotFound``.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""
        ...

    def find_end_of_signatures(self) -> datetime | None:
        """Return when URLs that are signed now die with the credentials; None: not before their time."""
        ...

    def presign(self, key: str, *, expires_s: int, token: str) -> str | None:
        """Return a URL that reads the object until ``expires_s`` from now.

        ``token`` is signed into it as ``x-tp-attempt`` (S3 ignores query parameters that start
        with ``x-``). None where the store cannot make URLs.
        """
        ...
