"""The one door to S3 and to stores that speak its API.

What belongs here: boto3 and the translation of its errors. All methods block. Keys are taken and
given exactly as stored; nothing normalises ``//`` or ``..``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from transcription_pipeline.errors import (
    ConfigurationError,
    ObjectArchived,
    ObjectChanged,
    ObjectNotFound,
    StorageError,
    StorageUnavailable,
)
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.objects import ABSENT, ListPage, StoredObject

ATTEMPT_PARAMETER = "x-tp-attempt"
"""S3 ignores query parameters that start with ``x-`` and logs them (S3 user guide, LogFormat)."""

_CHUNK_BYTES = 1 << 20

# boto3 offers no per-call argument for extra signed parameters; its event runs in this context.
_attempt_token: ContextVar[str | None] = ContextVar("attempt_token", default=None)


def open_s3_client(
    endpoint_url: str | None = None, region: str | None = None, *, attempts: int = 5
) -> Any:
    """Return a boto3 client with bounded waits, SigV4 everywhere and a pool for many threads.

    Quiets boto3's loggers: at DEBUG they write whole signed URLs, each a key to the audio.
    """
    for name in ("boto3", "botocore", "urllib3", "s3transfer"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url or None,
        region_name=region or "us-east-1",
        config=Config(
            # Custom endpoints would otherwise be presigned with SigV2, which many refuse.
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": attempts},
            max_pool_connections=32,
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            # Checksums on every GET and PUT cost CPU and confuse some compatible stores.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class S3ObjectStore:
    """Objects below one prefix of one bucket. Keys are relative to the prefix."""

    def __init__(
        self, address: BucketAddress, *, make_client: Callable[[], Any] = open_s3_client
    ) -> None:
        self.bucket = address.bucket
        self.prefix = address.prefix
        self.root_uri = f"s3://{address.bucket}/{address.prefix}"
        self._make_client = make_client
        self._making = Lock()
        self._cached: Any = None

    @property
    def _client(self) -> Any:
        # Made on first use: building a store does no I/O and costs no import of credentials.
        with self._making:  # boto3 makes clients in one thread at a time only
            if self._cached is None:
                client = self._make_client()
                client.meta.events.register("before-sign.s3.GetObject", _add_attempt_token)
                self._cached = client
        return self._cached

    def list_page(self, prefix: str, token: str | None = None) -> ListPage:
        """Return up to 1,000 objects below ``prefix``, in key order."""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        if token:
            arguments["ContinuationToken"] = token
        with _errors(self.root_uri + prefix):
            answer = self._client.list_objects_v2(**arguments)
        objects = tuple(
            StoredObject(
                key=item["Key"][len(self.prefix) :],
                etag=item["ETag"].strip('"'),
                size_bytes=item["Size"],
                last_modified_at=item["LastModified"],
            )
            for item in answer.get("Contents", ())
        )
        return ListPage(objects, answer.get("NextContinuationToken"))

    def find(self, key: str) -> StoredObject | None:
        """Look one object up."""
        try:
            with _errors(key):
                head = self._client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except ObjectNotFound:
            return None
        return StoredObject(
            key=key,
            etag=head["ETag"].strip('"'),
            size_bytes=head["ContentLength"],
            last_modified_at=head["LastModified"],
        )

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        with _errors(key):
            body: bytes = self._client.get_object(Bucket=self.bucket, Key=self.prefix + key)[
                "Body"
            ].read()
        return body

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        """Return a piece of the object; empty when ``start`` is at or past its end."""
        arguments = self._arguments(key, if_match)
        arguments["Range"] = f"bytes={start}-{start + length - 1}"
        try:
            with _errors(key):
                body: bytes = self._client.get_object(**arguments)["Body"].read()
        except _RangeNotSatisfiable:
            return b""
        return body

    def iterate(self, key: str, *, if_match: str | None = None) -> Iterator[bytes]:
        """Yield the object as it arrives; memory does not depend on its size."""
        with _errors(key):
            body = self._client.get_object(**self._arguments(key, if_match))["Body"]
            with closing(body):  # also when the reader stops early
                yield from iter(lambda: body.read(_CHUNK_BYTES), b"")

    def put(self, key: str, body: bytes, *, only_if_absent: bool = False) -> str:
        """Write an object; with ``only_if_absent`` exactly one of many writers wins."""
        arguments: dict[str, Any] = {"IfNoneMatch": "*"} if only_if_absent else {}
        with _errors(key):
            answer = self._client.put_object(
                Bucket=self.bucket, Key=self.prefix + key, Body=body, **arguments
            )
        etag: str = answer["ETag"].strip('"')
        return etag

    def make_staging_folder(self) -> Path | None:
        """Return None: an upload does not care where the file lies."""
        return None

    def put_file(self, key: str, path: Path, *, if_match: str | None = None) -> None:
        """Upload a finished local file in one PUT (atomic: readers see the old or the new).

        ``ObjectChanged`` may also be the answer to the repetition of a PUT that did arrive.
        """
        arguments = self._arguments(key, if_match or None)
        if if_match == ABSENT:
            arguments["IfNoneMatch"] = "*"
        with _errors(key), path.open("rb") as file:
            self._client.put_object(Body=file, **arguments)
        path.unlink()

    def delete(self, key: str) -> None:
        """Remove an object."""
        with _errors(key):
            self._client.delete_object(Bucket=self.bucket, Key=self.prefix + key)

    def find_end_of_signatures(self) -> datetime | None:
        """Return when the credentials end, which are refreshed first if they can be.

        A signed URL dies with the session it was signed in (S3 user guide, "Sharing objects with
        presigned URLs"). None for keys that do not expire, and where the end is not told: a plain
        session token in the environment.
        """
        with _errors(self.root_uri):
            credentials = boto3.Session().get_credentials()
            if credentials is None:
                return None
            credentials.get_frozen_credentials()
        # Its only public sign of the end is that it refreshes in time.
        return getattr(credentials, "_expiry_time", None)

    def presign(self, key: str, *, expires_s: int, token: str) -> str | None:
        """Return a signed GET URL that carries ``token``; changing the token breaks the signature."""
        mark = _attempt_token.set(token)
        try:
            with _errors(key):
                url: str = self._client.generate_presigned_url(
                    "get_object",
                    Params={"Bucket": self.bucket, "Key": self.prefix + key},
                    ExpiresIn=expires_s,
                )
        finally:
            _attempt_token.reset(mark)
        return url

    def _arguments(self, key: str, if_match: str | None) -> dict[str, Any]:
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Key": self.prefix + key}
        if if_match is not None:
            arguments["IfMatch"] = f'"{if_match}"'
        return arguments


def _add_attempt_token(request: Any, **_: Any) -> None:
    token = _attempt_token.get()
    if token is not None:
        request.params[ATTEMPT_PARAMETER] = token


class _RangeNotSatisfiable(StorageError):
    pass


@contextmanager
def _errors(key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        if code in {"NoSuchKey", "404", "NotFound", "NoSuchBucket"}:
            raise ObjectNotFound(f"not found ({code})", key=key) from None
        if code == "InvalidObjectState":  # 403 (S3 API reference, GetObject)
            raise ObjectArchived("in an archive; restore it first", key=key) from None
        if status == 416:
            raise _RangeNotSatisfiable("past the end", key=key) from None
        if status == 412:
            raise ObjectChanged("condition failed", key=key) from None
        # 409: another conditional write is under way; neither has won yet (S3 user guide).
        if status in {409, 429} or status >= 500:
            raise StorageUnavailable(f"S3 answered {status} {code}", key=key) from None
        raise StorageError(f"S3 answered {status} {code}", key=key) from None
    except NoCredentialsError:
        raise ConfigurationError(
            "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile"
        ) from None
    except BotoCoreError as error:
        # Its text may repeat the URL; the class says enough.
        raise StorageUnavailable(f"no answer from S3: {type(error).__name__}", key=key) from None


def ensure_bucket_with_events(
    endpoint_url: str, region: str, address: BucketAddress, queue: str
) -> None:
    """Make a bucket that reports new objects to a queue, on an embedded server; repeatable.

    The embedded server keeps objects but may forget queues and notifications when it is killed, so
    all of it is said again at every start.
    """
    client = open_s3_client(endpoint_url, region)
    with _errors(address.bucket):
        try:
            client.head_bucket(Bucket=address.bucket)
        except ClientError:
            client.create_bucket(Bucket=address.bucket)
        sqs = boto3.client("sqs", endpoint_url=endpoint_url, region_name=region)
        url = sqs.create_queue(QueueName=queue)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        client.put_bucket_notification_configuration(
            Bucket=address.bucket,
            NotificationConfiguration={
                "QueueConfigurations": [
                    {
                        "QueueArn": arn,
                        "Events": ["s3:ObjectCreated:*"],
                        "Filter": {
                            "Key": {"FilterRules": [{"Name": "prefix", "Value": address.prefix}]}
                        },
                    }
                ]
            },
        )
