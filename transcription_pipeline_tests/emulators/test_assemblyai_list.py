"""The list is newest first, cut into pages that lead both ways, and may be behind."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline_tests.emulators.conftest import JOB_S
from transcription_pipeline_tests.emulators.wire_client import WireClient


def _submit_many(emulator: EmulatorServer, client: WireClient, count: int) -> list[str]:
    ids = []
    for number in range(count):
        ids.append(client.submit(f"https://audio.test/{number}.mp3")["id"])
        emulator.advance(1)
    return ids


def test_pages_go_from_new_to_old_by_prev_url(emulator: EmulatorServer, client: WireClient) -> None:
    """Following prev_url shows every transcript once, newest first, and ends in an empty page."""
    ids = _submit_many(emulator, client, 7)
    seen: list[str] = []
    page = client.list("limit=3")
    assert page["page_details"]["next_url"] is not None
    while page["page_details"]["prev_url"] is not None:
        seen += [row["id"] for row in page["transcripts"]]
        page = client.list(urlsplit(page["page_details"]["prev_url"]).query)
    assert seen == ids[::-1]
    assert page["transcripts"] == []


def test_next_url_leads_to_newer_transcripts(emulator: EmulatorServer, client: WireClient) -> None:
    """The first page's next_url is empty until something new is submitted."""
    _submit_many(emulator, client, 2)
    newer = urlsplit(client.list()["page_details"]["next_url"]).query
    assert client.list(newer)["transcripts"] == []
    new = client.submit()["id"]
    assert [row["id"] for row in client.list(newer)["transcripts"]] == [new]


def test_a_row_has_the_recorded_fields(emulator: EmulatorServer, client: WireClient) -> None:
    """Rows name instants with Z, an empty error for successes, and the whole audio URL."""
    url = "https://audio.test/a.mp3?X-Amz-Signature=1&x-tp-attempt=7"
    job = client.submit(url)
    row = client.list()["transcripts"][0]
    assert (row["status"], row["completed"], row["error"]) == ("processing", None, "")
    emulator.advance(JOB_S)
    row = client.list()["transcripts"][0]
    assert row["audio_url"] == url
    assert row["resource_url"] == f"{emulator.base_url}/v2/transcript/{job['id']}"
    assert row["created"].endswith("Z")
    took = datetime.fromisoformat(row["completed"]) - datetime.fromisoformat(row["created"])
    assert took.total_seconds() == pytest.approx(JOB_S, abs=1e-3)


@pytest.mark.parametrize(("style", "expected"), [("null", None), ("absent", "no such key")])
def test_error_of_a_success_is_written_in_three_ways(
    emulator: EmulatorServer, client: WireClient, style: str, expected: str | None
) -> None:
    """The row's error was seen empty, null and absent; each can be had, as can naive instants."""
    emulator.configure(list_error=style, list_has_zone=False)
    client.submit()
    row = client.list()["transcripts"][0]
    assert row.get("error", "no such key") == expected
    assert not row["created"].endswith("Z")


def test_filters_by_status_and_day(emulator: EmulatorServer, client: WireClient) -> None:
    """Status and UTC day narrow the list."""
    old = client.submit()["id"]
    emulator.advance(86_400)
    new = client.submit()["id"]
    ids = [row["id"] for row in client.list("status=completed")["transcripts"]]
    assert ids == [old]
    today = datetime.fromtimestamp(emulator.control("clock")["now"], UTC).date()
    ids = [row["id"] for row in client.list(f"created_on={today}")["transcripts"]]
    assert ids == [new]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "status=done", "before_id=nobody"]
)
def test_bad_queries_are_400(emulator: EmulatorServer, client: WireClient, query: str) -> None:
    """Malformed parameters are refused; unknown ones are ignored."""
    client.submit()
    assert client.ask("GET", f"/v2/transcript?{query}").status == 400
    assert client.ask("GET", "/v2/transcript?model_config=junk").status == 200


def test_two_cursors_in_the_wrong_order_are_refused(
    emulator: EmulatorServer, client: WireClient
) -> None:
    """The recorded sentence answers an after_id older than the before_id."""
    old, new = _submit_many(emulator, client, 2)
    answer = client.ask("GET", f"/v2/transcript?after_id={old}&before_id={new}")
    assert answer.status == 400
    assert answer.json["error"] == "'after_id' must be a newer transcript than 'before_id'"


def test_the_list_can_lag_behind(emulator: EmulatorServer, client: WireClient) -> None:
    """With a lag, new rows, results and deletions show late, while get tells the truth."""
    emulator.configure(list_lag_s=60)
    job = client.submit()["id"]
    emulator.advance(30)
    assert client.list()["transcripts"] == []
    assert client.get(job)["status"] == "completed"
    emulator.advance(31)
    assert client.list()["transcripts"][0]["status"] == "processing"
    emulator.advance(10)
    assert client.list()["transcripts"][0]["status"] == "completed"
    client.ask("DELETE", f"/v2/transcript/{job}")
    assert client.list()["transcripts"][0]["audio_url"].startswith("https://")
    emulator.advance(61)
    assert client.list()["transcripts"][0]["audio_url"] == "deleted_by_user"
