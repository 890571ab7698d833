"""Every key in the lake and how a bucket address is read; pure.

No S3 key of a recording ever becomes part of a path: identities are hashes, days are dates and
provider names come from a fixed list, so nothing a customer names can leave the lake's root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from transcription_pipeline.errors import ConfigurationError

CLAIM_KEY = "ledger/claim.json"
"""Which ledger pays for what is in this lake."""
ACCOUNTS_PREFIX = "ledger/accounts/"
"""With which accounts it was paid, an empty object each."""
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket and a prefix in it; the prefix is empty or ends with ``/``."""

    bucket: str
    prefix: str


def parse_s3_uri(uri: str, setting: str) -> BucketAddress:
    """Read ``s3://bucket/prefix/``; raises ``ConfigurationError`` naming ``setting``."""
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not _BUCKET.match(bucket):
        raise ConfigurationError(f"{setting}: {uri!r} is not s3://bucket/prefix/")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return BucketAddress(bucket, prefix)


def make_raw_key(provider: str, recording_id: str, attempt_id: str) -> str:
    """Return where a raw answer is kept, zstd-compressed and otherwise byte for byte."""
    return f"raw/provider={provider}/{recording_id[:2]}/{recording_id}/{attempt_id}.json.zst"


def make_side_file_prefix(kind: str, provider: str, recording_id: str) -> str:
    """Return where all files of one kind lie that belong to one recording's answers."""
    return f"{kind}/provider={provider}/{recording_id[:2]}/{recording_id}/"


def make_side_file_key(
    kind: str, provider: str, recording_id: str, attempt_id: str, extension: str
) -> str:
    """Return where a file is kept that belongs to an answer, such as ``redacted_audio``."""
    prefix = make_side_file_prefix(kind, provider, recording_id)
    return f"{prefix}{attempt_id}{extension}"


def make_table_key(table: str, day: str, provider: str | None) -> str:
    """Return the one file of a table's partition; ``provider`` is None for tables by day alone."""
    by_provider = f"/provider={provider}" if provider else ""
    return f"tables/{table}/date={day}{by_provider}/part-0.parquet"


def is_rewritten_by_clients(key: str) -> bool:
    """Say whether HTTP clients change this key's path (``a/../b``, ``//``) and fetch another object."""
    parts = key.split("/")
    return any(part in {"", ".", ".."} for part in parts)
