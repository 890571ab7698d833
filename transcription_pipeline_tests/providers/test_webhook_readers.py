"""Deliveries: real ones are read, forged ones refused, odd ones never more than refused."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.errors import WebhookRefused
from transcription_pipeline.providers.webhooks import (
    READERS,
    Arrival,
    Delivery,
    make_aitronos_token,
)

AT = 1_795_000_000.0
SECRET = "s3cret-ß"
DONE = {"event": "transcription.completed", "transcription_id": "t_1", "status": "completed"}


def _arrive(
    body: Any, headers: dict[str, str] | None = None, *, token: str = "", at: float = AT
) -> Arrival:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Arrival(headers or {}, raw, token, at)


def _sign(raw: bytes, key: bytes, *, stamp: str = "1795000000", as_base64: bool = False) -> Any:
    made = hmac.new(key, stamp.encode() + b"." + raw, sha256)
    text = b64encode(made.digest()).decode() if as_base64 else made.hexdigest()
    return {"x-scriptivox-timestamp": stamp, "x-scriptivox-signature": text}


def _read(provider: str, arrival: Arrival) -> Delivery | None:
    return READERS[provider][1](arrival, SECRET)


KEYS = {
    "digest of the API key": sha256(SECRET.encode()).digest(),
    "hex of that digest": sha256(SECRET.encode()).hexdigest().encode(),
    "the API key": SECRET.encode(),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("as_base64", [False, True])
@pytest.mark.parametrize("stamp", ["1795000000", "1795000000123"])
def test_scriptivox_signs_by_either_documented_key(key: bytes, as_base64: bool, stamp: str) -> None:
    """Both vendor texts, both readings of a hash, seconds or milliseconds, hex or Base64."""
    raw = json.dumps(DONE).encode()
    headers = _sign(raw, key, stamp=stamp, as_base64=as_base64)
    assert _read("scriptivox", _arrive(raw, headers)) == Delivery("t_1", "completed")


@pytest.mark.parametrize(
    ("key", "body", "at"),
    [
        (b"another", DONE, AT),
        (SECRET.encode(), {**DONE, "status": "failed"}, AT),
        (SECRET.encode(), DONE, AT + 301),
        (SECRET.encode(), DONE, AT - 301),
    ],
    ids=["key", "body", "old", "ahead"],
)
def test_scriptivox_refuses_forgeries(key: bytes, body: Any, at: float) -> None:
    """Another key, another body, or a timestamp more than five minutes away."""
    headers = _sign(json.dumps(DONE).encode(), key)
    with pytest.raises(WebhookRefused) as refused:
        _read("scriptivox", _arrive(body, headers, at=at))
    assert refused.value.is_forged


def test_assemblyai_shows_our_secret() -> None:
    """The header we named with the job carries it; without it nothing is believed."""
    body = {"transcript_id": "5552493-16d8", "status": "completed"}
    told = _read("assemblyai", _arrive(body, {"x-webhook-secret": SECRET}))
    assert told == Delivery("5552493-16d8", "completed")
    for headers in ({}, {"x-webhook-secret": "é"}, {"x-webhook-secret": SECRET + "x"}):
        with pytest.raises(WebhookRefused) as refused:
            _read("assemblyai", _arrive(body, headers))
        assert refused.value.is_forged


def test_assemblyai_tells_of_redacted_audio_without_a_job() -> None:
    """That delivery is real, and says nothing we could use."""
    body = {"status": "redacted_audio_ready", "redacted_audio_url": "https://example.com/a"}
    assert _read("assemblyai", _arrive(body, {"x-webhook-secret": SECRET})) is None


@pytest.mark.parametrize(
    "body",
    [
        {"event": "transcription.completed", "data": {"transcription_id": "trans_1"}},
        {"event": "transcription.completed", "transcription_id": "trans_1"},
    ],
)
def test_aitronos_knows_the_path(body: dict[str, Any]) -> None:
    """Nothing else proves it, as its jobs' webhooks have no documented signature."""
    token = make_aitronos_token(SECRET)
    told = _read("aitronos", _arrive(body, token=token))
    assert told == Delivery("trans_1", "transcription.completed")
    with pytest.raises(WebhookRefused):
        _read("aitronos", _arrive(body, token=token[:-1]))


@pytest.mark.parametrize("job", ["", "../x", "a" * 129, 5, None, ["t"]])
def test_what_names_no_job_is_refused(job: object) -> None:
    """An identifier is checked before it goes anywhere."""
    body = {"transcript_id": job, "status": "completed"}
    with pytest.raises(WebhookRefused) as refused:
        _read("assemblyai", _arrive(body, {"x-webhook-secret": SECRET}))
    assert not refused.value.is_forged


@given(
    body=st.binary() | st.recursive(st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_no_body_is_more_than_refused(body: bytes) -> None:
    """Whatever an authenticated sender says, the worst that happens is a refusal."""
    token = make_aitronos_token(SECRET)
    for provider in READERS:
        headers = {"x-webhook-secret": SECRET, **_sign(body, SECRET.encode())}
        with pytest.raises(WebhookRefused):
            _read(provider, _arrive(body, headers, token=token))
