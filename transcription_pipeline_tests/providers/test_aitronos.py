"""Aitronos's client through a socket: what is sent, and what answers to paid requests prove."""

from __future__ import annotations

import json
from typing import Any

import pytest

from transcription_pipeline.composition import REGISTRY
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.provider_settings import AitronosSettings, Money
from transcription_pipeline.providers.aitronos import open_provider
from transcription_pipeline.providers.aitronos_options import find_problems, make_fields
from transcription_pipeline.providers.base import (
    Cost,
    Verdict,
)
from transcription_pipeline_tests.providers.aitronos_world import (
    ATTEMPT_ID,
    KEY,
    URL,
    accept,
    ask,
    ask_canned,
    emulator,
    make_provider,
    make_request,
    no_waiting,
    server,
    settings,
    submit,
)

__all__ = ["emulator", "no_waiting", "server", "settings"]  # fixtures

# -- submit ------------------------------------------------------------------------------------


def test_a_job_is_charged_once_when_it_is_accepted(emulator: EmulatorServer) -> None:
    """An accepted job has an id, a line on the invoice in synapses, and the price by list."""
    job_id = accept(emulator)
    (line,) = emulator.invoice()
    assert (line["provider_job_id"], line["attempt_token"]) == (job_id, ATTEMPT_ID)
    price = make_provider("http://x.invalid").price({}, 30_000)
    assert price == Cost(30_000_000, "SYNAPSES", 30_000)
    assert (line["amount_micros"], line["currency"]) == (price.micros, price.currency)


@pytest.mark.parametrize("auth", ["api_key", "bearer"])
def test_both_ways_to_show_the_key(emulator: EmulatorServer, auth: str) -> None:
    """The key goes as ``X-API-Key``, or as a session's token."""
    emulator.configure(api_keys={KEY: "account"})
    told = ask(emulator.base_url, lambda p: p.submit(make_request(p)), auth=auth)
    assert told.verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("rule", "verdict", "cause", "gate"),
    [
        ({"action": "status", "status": 401}, Verdict.NOT_SENT, "gate_auth", "auth"),
        ({"action": "status", "status": 402}, Verdict.NOT_SENT, "gate_funds", "funds"),
        ({"action": "status", "status": 403}, Verdict.NOT_SENT, "gate_auth", "auth"),
        ({"action": "status", "status": 422}, Verdict.REJECTED, "request_rejected", None),
        ({"action": "rate_limit", "burst": 0}, Verdict.NOT_SENT, "rate_limited", None),
        ({"action": "status", "status": 409}, Verdict.AMBIGUOUS, "http_409", None),
        ({"action": "status", "status": 500}, Verdict.AMBIGUOUS, "http_500", None),
        ({"action": "status", "status": 501}, Verdict.AMBIGUOUS, "http_501", None),
        ({"action": "status", "status": 502}, Verdict.AMBIGUOUS, "http_502", None),
        ({"action": "redirect"}, Verdict.AMBIGUOUS, "http_307", None),
        ({"action": "html"}, Verdict.AMBIGUOUS, "accepted_without_id", None),
        ({"action": "hang"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drip"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "truncate"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drop_after"}, Verdict.AMBIGUOUS, "no_answer", None),
        ({"action": "drop_before"}, Verdict.AMBIGUOUS, "no_answer", None),
    ],
    ids=lambda v: v.get("status", v["action"]) if isinstance(v, dict) else "",
)
def test_what_an_answer_to_the_paid_request_proves(
    emulator: EmulatorServer, rule: dict[str, Any], verdict: Verdict, cause: str, gate: str | None
) -> None:
    """Only named refusals free the attempt; everything else leaves it open, and is sent once."""
    emulator.set_faults({**rule, "operation": "submit"})
    told = submit(emulator)
    assert (told.verdict, told.cause, told.gate) == (verdict, cause, gate)
    assert emulator.request_counts() == {"submit": 1}
    assert KEY not in repr(told)
    assert "Signature" not in repr(told)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"success": true, "data": {}}',
        b'{"success": false, "data": {"transcription_id": "trans_1"}}',
        b'{"success": true, "data": {"transcription_id": "trans_../../x"}}',
        b'{"success": true, "data": {"transcription_id": 7}}',
        b'{"text": "synchronous", "segments": []}',
    ],
    ids=range(7),
)
def test_a_success_without_a_good_id_is_ambiguous(body: bytes) -> None:
    """A 2xx that names no job of ours may have been charged: it stays open."""
    told = ask_canned(201, body, lambda p: p.submit(make_request(p)))
    assert (told.verdict, told.cause) == (Verdict.AMBIGUOUS, "accepted_without_id")


def test_nothing_listening_proves_that_nothing_was_sent() -> None:
    """Without a connection the attempt may be sent again."""
    told = ask("http://127.0.0.1:9", lambda p: p.submit(make_request(p)))
    assert told.verdict is Verdict.NOT_SENT


def test_a_balance_that_is_too_small_closes_the_gate(emulator: EmulatorServer) -> None:
    """INSUFFICIENT_SYNAPSES is a matter of funds, and nothing is charged."""
    emulator.configure(balance_synapses=29)
    told = submit(emulator)
    assert (told.gate, told.verdict) == ("funds", Verdict.NOT_SENT)
    assert told.detail is not None
    assert "INSUFFICIENT_SYNAPSES" in told.detail
    assert emulator.invoice() == []


# -- options -----------------------------------------------------------------------------------


def test_options_become_sections_of_the_body() -> None:
    """Every option stands where the page has it, and what nobody asked for is left out."""
    provider = make_provider("http://x.invalid")
    options = {
        "language": "de",
        "diarize": True,
        "speakers_expected": 2,
        "redact_pii": ["email"],
        "extra": {"intelligence_features": {"summarization_enabled": True}},
    }
    assert json.loads(make_request(provider, **options).body) == {
        "organization_id": "org_1",
        "transcription_options": {"language": "de", "audio_url": URL},
        "speaker_analysis": {"diarization_enabled": True, "speakers_expected_count": 2},
        "privacy_settings": {"pii_redaction_enabled": True, "pii_policies": ["email"]},
        "intelligence_features": {"summarization_enabled": True},
    }
    assert make_fields({"diarize": False, "language": "auto"}) == {
        "transcription_options": {"language": "en"}
    }


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"diarize": True, "speakers_expected": 10}, 0),
        ({"diarize": True, "speakers_expected": 11}, 1),
        ({"speakers_expected": 2}, 1),
        ({"extra": {"organization_id": "org_2"}}, 1),
        ({"extra": {"transcription_options": {"audio_url": "x"}}}, 1),
        ({"extra": {"webhook": {"url": "https://x.test"}}}, 0),
    ],
)
def test_what_cannot_be_honoured_is_told(options: dict[str, Any], count: int) -> None:
    """Values out of range, and fields that are not for a route to set, are problems."""
    assert len(find_problems(options)) == count


def test_what_no_answer_carries_is_no_option() -> None:
    """Analyses that can be ordered but come back in no documented answer are not offered."""
    offered = REGISTRY["aitronos"].options
    assert offered.isdisjoint({"sentiment", "entities", "highlights", "summary", "word_timestamps"})


def test_an_agreed_price_replaces_the_lists() -> None:
    """It is in synapses, like the list's."""
    secrets = {"aitronos_api_key": KEY, "aitronos_organization_id": "org_1"}
    half = AitronosSettings(price_per_hour=Money(micros=1_800_000_000, currency="SYNAPSES"))
    price = open_provider(half, secrets).price({}, 3_000)
    assert price == Cost(2_000_000, "SYNAPSES", 3_000)
