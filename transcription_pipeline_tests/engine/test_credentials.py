"""A URL dies with the credentials that signed it: what cannot live long enough is not begun."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from transcription_pipeline.errors import ConfigurationError
from transcription_pipeline.storage.layout import BucketAddress
from transcription_pipeline.storage.s3 import S3ObjectStore
from transcription_pipeline_tests.engine.scene import LIMITS, Scene


@pytest.fixture
def lend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Return what lets the machine's credentials come from a process, and end so soon."""

    def lend_for(seconds: float) -> datetime:
        end = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
        told = {"Version": 1, "AccessKeyId": "lent", "SecretAccessKey": "lent"}
        told |= {"SessionToken": "lent", "Expiration": end.isoformat()}
        (tmp_path / "told.json").write_text(json.dumps(told))
        code = f"print(open({str(tmp_path / 'told.json')!r}).read())"
        config = tmp_path / "aws-config"
        process = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
        config.write_text(f"[default]\ncredential_process = {process}\n")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        return end

    return lend_for


def test_the_end_of_lent_credentials_is_known(lend) -> None:  # type: ignore[no-untyped-def]
    """Keys of a session end with it; keys that are nobody's session do not end."""
    store = S3ObjectStore(BucketAddress("calls", ""))
    assert store.find_end_of_signatures() is None
    end = lend(3600)
    assert store.find_end_of_signatures() == end


def test_a_run_that_would_sign_dying_urls_is_refused(scene: Scene, lend) -> None:  # type: ignore[no-untyped-def]
    """Nothing is sent; with credentials that live long enough the same run goes on."""
    scene.put(["a.wav"])
    lend(LIMITS.url_expires_s - 5)
    with pytest.raises(ConfigurationError, match="the credentials that sign them end in"):
        scene.run()
    assert scene.emulator.request_counts().get("submit", 0) == 0
    lend(LIMITS.url_expires_s + 3600)
    assert scene.run().counts["stored"] == 1
