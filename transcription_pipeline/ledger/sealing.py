"""Paid requests at rest: encrypted while their outcome is open, erased once it is decided.

A request may carry a signed URL, which is a key to the audio. Providers that answer the same bytes
with the same job need them again after a crash, so they are kept, sealed with Fernet (AES-CBC and
HMAC). The key comes from ``TRANSCRIPTION_LEDGER_KEY`` or, for SQLite, from a file beside it that
only its owner can read.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from transcription_pipeline.errors import ConfigurationError, SealedOtherwise

KEY_VARIABLE = "TRANSCRIPTION_LEDGER_KEY"


class Seal:
    """Seals and opens request bodies with one key, found or made on first use."""

    def __init__(self, *, key: str | None, key_file: Path | None) -> None:
        self._key = key
        self._key_file = key_file
        self._fernet: Fernet | None = None

    def close(self, body: bytes) -> str:
        """Encrypt a request."""
        return self._get().encrypt(body).decode()

    def open(self, sealed: str) -> bytes:
        """Decrypt a request; raises ``SealedOtherwise`` when it was sealed with another key."""
        try:
            return self._get().decrypt(sealed.encode())
        except InvalidToken:
            raise SealedOtherwise("a kept request was sealed with another key") from None

    def _get(self) -> Fernet:
        if self._fernet is None:
            key = self._key or self._read_or_make()
            try:
                self._fernet = Fernet(key.encode())
            except ValueError:
                raise ConfigurationError(
                    f"{KEY_VARIABLE}: not a key; make one with `python -c 'from cryptography.fernet"
                    " import Fernet; print(Fernet.generate_key().decode())'`"
                ) from None
        return self._fernet

    def _read_or_make(self) -> str:
        if self._key_file is None:
            raise ConfigurationError(f"{KEY_VARIABLE} is not set (needed with PostgreSQL)")
        try:
            handle = os.open(self._key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._key_file.read_text()
        with os.fdopen(handle, "w") as file:
            file.write(key := Fernet.generate_key().decode())
            file.flush()
            os.fsync(file.fileno())
        return key
