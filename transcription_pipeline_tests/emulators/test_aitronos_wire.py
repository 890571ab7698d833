"""Aitronos emulated: what is created, charged and refused, by the fields and codes of the pages."""

from __future__ import annotations

import re
from typing import Any

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.aitronos_wire import (
    JOB_S,
    PATH,
    URL,
    ask,
    create,
    emulator,
    make_body,
    server,
    settings,
)

__all__ = ["emulator", "server", "settings"]  # fixtures


def test_the_created_answer_is_the_pages(emulator: EmulatorServer) -> None:
    """The answer of a create has the fields, types and price of the documented sample."""
    answer = ask(emulator, "POST", PATH, make_body())
    body = answer.json
    assert answer.status == 201
    assert set(body) == {"success", "data", "billing", "metadata", "actions"}
    data = body["data"]
    assert re.fullmatch("trans_[0-9a-f]{32}", data["transcription_id"])
    assert (data["status"], data["model_key"]) == ("queued", "fvt-1")
    assert data["audio_metadata"] == {"url": URL, "duration_seconds": 125.5, "language_code": "en"}
    assert list(data["timestamps"]) == ["created_at"]
    assert body["billing"]["synapses_consumed"] == 126
    assert body["billing"]["currency"] == "synapses"
    assert body["billing"]["multipliers"] == {"base": 1.0, "organization": 1.0, "priority": 1.0}
    assert re.fullmatch("txn_[0-9a-f]{32}", body["billing"]["transaction_id"])
    assert body["actions"]["check_status"].endswith(data["transcription_id"])


def test_the_charge_is_made_at_accept(emulator: EmulatorServer) -> None:
    """The invoice has the charge before any work is done, and none after."""
    create(emulator)
    before = emulator.invoice()
    emulator.advance(JOB_S + 10)
    assert [line["amount_micros"] for line in before] == [126_000_000]
    assert emulator.invoice() == before


def test_too_few_synapses(emulator: EmulatorServer) -> None:
    """402 has the documented code and details, and charges nothing."""
    emulator.configure(balance_synapses=50)
    answer = ask(emulator, "POST", PATH, make_body())
    error = answer.json["error"]
    assert (answer.status, answer.json["success"]) == (402, False)
    assert set(error) == {
        *("code", "message", "system_message", "type", "status", "details", "trace_id", "timestamp")
    }
    assert (error["code"], error["type"]) == ("INSUFFICIENT_SYNAPSES", "client_error")
    assert error["details"] == {
        "required_synapses": 126,
        "available_synapses": 50,
        "organization_id": "org_abc123def456",
    }
    assert emulator.invoice() == []


def test_plain_http_is_refused(emulator: EmulatorServer) -> None:
    """An http URL is INVALID_AUDIO_URL as documented, but for this machine's while that is set."""
    refused = ask(emulator, "POST", PATH, make_body("http://example.com/audio.mp3"))
    error = refused.json["error"]
    assert (refused.status, error["code"], error["type"]) == (
        422,
        "INVALID_AUDIO_URL",
        "validation_error",
    )
    assert error["details"]["reason"] == "Audio URL must use HTTPS protocol"
    local = make_body("http://127.0.0.1:1/audio.mp3")
    assert ask(emulator, "POST", PATH, local).status == 201
    emulator.configure(http_urls="refused")
    assert ask(emulator, "POST", PATH, local).status == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        ([], "body"),
        ({}, "organization_id"),
        (make_body() | {"organization_id": "abc"}, "organization_id"),
        (make_body() | {"transcription_options": {}}, "transcription_options.audio_url"),
        (
            make_body() | {"transcription_options": {"audio_url": URL}},
            "transcription_options.language",
        ),
        (
            make_body(speaker_analysis={"speakers_expected_count": 11}),
            "speaker_analysis.speakers_expected_count",
        ),
        (
            make_body(speaker_analysis={"diarization_enabled": 1}),
            "speaker_analysis.diarization_enabled",
        ),
        (make_body(privacy_settings={"pii_policies": "x"}), "privacy_settings.pii_policies"),
        (make_body(webhook={"url": "http://x.test"}), "webhook.url"),
        (make_body(intelligence_features=[]), "intelligence_features"),
    ],
    ids=range(11),
)
def test_a_bad_body_is_refused_unpaid(emulator: EmulatorServer, body: Any, field: str) -> None:
    """Fields that are missing, of a wrong type or out of range are 422, and cost nothing."""
    answer = ask(emulator, "POST", PATH, body)
    assert (answer.status, answer.json["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json["error"]["details"] == {"field": field}
    assert emulator.invoice() == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x_api_key": ""}, 401, "AUTHENTICATION_REQUIRED"),
        ({"x_api_key": "wrong"}, 401, "INVALID_API_KEY"),
        ({"x_api_key": "", "authorization": "Bearer wrong"}, 401, "TOKEN_INVALID"),
        ({"x_api_key": "gone"}, 401, "API_KEY_DEACTIVATED"),
        ({"x_api_key": "", "authorization": "Bearer good"}, 200, None),
        ({"x_api_key": "good"}, 200, None),
    ],
    ids=range(6),
)
def test_keys_and_tokens(
    emulator: EmulatorServer, headers: dict[str, str], status: int, code: str | None
) -> None:
    """Both documented ways are taken, and each refusal has its documented code."""
    emulator.configure(api_keys={"good": "a", "gone": "a"}, revoked_keys=["gone"])
    answer = ask(emulator, "GET", PATH, **headers)
    assert answer.status == status
    assert code is None or answer.json["error"]["code"] == code


def test_an_organization_without_access(emulator: EmulatorServer) -> None:
    """A create for another organization is 403."""
    emulator.configure(organizations=["org_other"])
    answer = ask(emulator, "POST", PATH, make_body())
    assert (answer.status, answer.json["error"]["code"]) == (403, "ORGANIZATION_ACCESS_DENIED")
