"""The vendor's own way: ``Transcriber.transcribe_group`` of AssemblyAI's SDK, as it comes.

It ends with transcripts as objects in memory; no ledger, no file, no table. The SDK is in the
development lock of this project and runs in a child process of the same interpreter.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import assemblyai
import httpx

from bench.gauges import Stretch, answer
from bench.ours import API_KEY, make_urls


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Transcribe all recordings in one group."""
    assemblyai.settings.base_url = order["base_url"]
    assemblyai.settings.api_key = API_KEY + "-sdk"
    assemblyai.settings.polling_interval = order.get("polling_interval_s", 3.0)
    looks: dict[str, float] = {}

    def remember(response: httpx.Response) -> None:
        if response.request.method == "GET":
            looks[response.request.url.path.rpartition("/")[2]] = time.time()

    client = assemblyai.Client(settings=assemblyai.settings)
    client.http_client.event_hooks["response"].append(remember)
    urls = [url for url, _ in make_urls(order["count"])]
    config = assemblyai.TranscriptionConfig(speaker_labels=True)
    whole = Stretch()
    transcriber = assemblyai.Transcriber(client=client, config=config)
    completed, ended_with = 0, ""
    try:
        group, _ = transcriber.transcribe_group(urls, return_failures=True)
        wanted = assemblyai.TranscriptStatus.completed
        completed = sum(t.status == wanted for t in group.transcripts)
    except httpx.HTTPError as error:
        # It has no retries: one broken connection ends the group, whatever was paid for.
        ended_with = type(error).__name__
    return {
        "whole": whole.read(),
        "completed": completed,
        "ended_with": ended_with,
        # The last look at a job is the one that found it finished.
        "noticed": {
            name: datetime.fromtimestamp(at, UTC).isoformat() for name, at in looks.items()
        },
    }


if __name__ == "__main__":
    answer(work)
