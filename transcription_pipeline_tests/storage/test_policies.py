"""The IAM policies in ``deploy/iam``: enough for what each role does, and for nothing else."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from transcription_pipeline import decisions, pipeline
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline_tests.engine.scene import Scene, make_wav
from transcription_pipeline_tests.s3_servers import S3Server, find_free_port
from transcription_pipeline_tests.world import REPOSITORY

POLICIES = REPOSITORY / "deploy" / "iam"
AUDIO, LAKE = "audio-bucket", "lake-bucket"
MakeClient = Callable[[], Any]


def _read(name: str) -> dict[str, Any]:
    text = (POLICIES / f"{name}.json").read_text()
    policy: dict[str, Any] = json.loads(
        text.replace("AUDIO_BUCKET", AUDIO).replace("LAKE_BUCKET", LAKE)
    )
    return policy


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.mark.parametrize("name", ["pipeline", "erasure"])
def test_nothing_is_allowed_by_wildcard(name: str) -> None:
    """Every action is named, every resource is one of the two buckets, and TLS is demanded."""
    denies = 0
    for statement in _read(name)["Statement"]:
        if statement["Effect"] == "Deny":
            denies += statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            continue
        assert all("*" not in action for action in _list(statement["Action"]))
        for resource in _list(statement["Resource"]):
            assert resource.startswith(("arn:aws:s3:::audio-bucket", "arn:aws:s3:::lake-bucket"))
            assert not resource.endswith(":::*")
            writes = {"s3:PutObject", "s3:DeleteObject"} & set(_list(statement["Action"]))
            assert not (writes and AUDIO in resource), "the watched bucket is never written"
    assert denies == 1


@contextmanager
def _run_guarded_s3(*names: str) -> Iterator[tuple[str, dict[str, MakeClient]]]:
    """Run an S3 server that enforces policies; yield its address and a client maker per role."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(url, timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        root = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        admin = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **root)
        iam = boto3.client("iam", endpoint_url=url, region_name="us-east-1", **root)
        for bucket in (AUDIO, LAKE):
            admin.create_bucket(Bucket=bucket)
        makers = {"root": lambda: admin}
        for name in names:
            iam.create_user(UserName=name)
            policy = _read(name)
            # moto takes an unknown condition for a refusal; the test above looks at them.
            allows = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
            policy["Statement"] = [
                {k: v for k, v in statement.items() if k != "Condition"} for statement in allows
            ]
            document = json.dumps(policy)
            iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            makers[name] = lambda key=key: boto3.client(  # type: ignore[misc]
                "s3",
                endpoint_url=url,
                region_name="us-east-1",
                aws_access_key_id=key["AccessKeyId"],
                aws_secret_access_key=key["SecretAccessKey"],
                config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
            )
        admin.put_object(Bucket=AUDIO, Key="inbox/a.wav", Body=make_wav())
        text = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", text)
        urllib.request.urlopen(request).close()
        yield url, makers
    finally:
        server.terminate()
        server.wait()


def _stores(make: MakeClient) -> tuple[S3ObjectStore, S3ObjectStore]:
    return (
        S3ObjectStore(BucketAddress(AUDIO, ""), make_client=make),
        S3ObjectStore(BucketAddress(LAKE, "transcripts/"), make_client=make),
    )


def test_each_role_can_do_its_part_and_no_other(tmp_path: Path, moto: S3Server) -> None:
    """A recording goes from bucket to table as one role, and is erased as the other."""
    with (
        EmulatorServer("assemblyai", job_s=0.05, word_count=10) as emulator,
        _run_guarded_s3("pipeline", "erasure") as (_, makers),
    ):
        scene = Scene.build(emulator, moto, tmp_path)
        audio, lake = _stores(makers["pipeline"])
        scene.tools = replace(scene.tools, audio=audio, lake=lake, audio_prefix="inbox/")
        with closing(scene.tools.ledger):
            assert pipeline.discover(scene.tools).new == 1
            report = asyncio.run(scene.transcribe())
            assert report is not None
            assert report.counts["stored"] == 1
            assert scene.write().published == 1
            pipeline.write_catalogue(scene.tools, scene.day)
            lake.put("probe/doctor", b"x")
            lake.delete("probe/doctor")

            (job,) = scene.jobs().values()
            with pytest.raises(Exception, match=r"AccessDenied|Forbidden"):
                lake.delete(job["raw_key"])
            for bucket, key in ((AUDIO, "inbox/a.wav"), (AUDIO, "other/b.wav")):
                for act in ("put_object", "delete_object"):
                    with pytest.raises(ClientError, match="AccessDenied"):
                        getattr(makers["pipeline"](), act)(Bucket=bucket, Key=key)
            with pytest.raises(ClientError, match="AccessDenied"):
                makers["erasure"]().get_object(Bucket=AUDIO, Key="inbox/a.wav")

            eraser = replace(scene.tools, lake=_stores(makers["erasure"])[1])
            done = decisions.erase(eraser, job["recording_id"], by="ada")
            assert (done.raw_answers, done.unconfirmed) == (1, [])
