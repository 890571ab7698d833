"""Whatever a provider answers: a value, or an error of ours; a transcript that tables can hold."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from transcription_pipeline.errors import NormaliseError, ProviderError
from transcription_pipeline.normalise import NORMALISERS, find_unknown_fields
from transcription_pipeline.providers.aitronos_answers import join_document
from transcription_pipeline.providers.base import Submission, Verdict
from transcription_pipeline.providers.http import Patience
from transcription_pipeline.tables.build import build_tables
from transcription_pipeline_tests.contract.conversations import STEPS, Talk, submit, upload
from transcription_pipeline_tests.contract.damage import Answer, damage
from transcription_pipeline_tests.contract.proxy import Proxy, replay
from transcription_pipeline_tests.engine.scenes import PAID, SCENES
from transcription_pipeline_tests.providers.fault_server import FaultServer

BODIES = int(os.environ.get("WRONG_BODIES", "2000"))
"""Damaged bodies per provider: half of them go through a socket to its client."""
HASTY = Patience(connect_s=5.0, read_s=5.0, deadline_s=10.0, retries=1, retry_wait_s=0.0)
FASTEST = {"assemblyai": {"redacted_audio_wait_s": 0.0}}
_CANCELLED = b'{"id": "txn-456", "status": "failed", "released_cents": 0.0167}'
WRITTEN = {"scriptivox": {"cancel": Answer(200, "application/json", _CANCELLED)}}
"""What no job that is over is answered (the vendor's API reference, read 2026-11-21)."""
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,150}")
_HEADER = {"recording_id": "r" * 32, "provider": "p", "job_id": "j", "attempt_id": "a"}

pytestmark = pytest.mark.timeout(300 if BODIES <= 2_000 else 3_600)
_HALF = hypothesis.settings(max_examples=BODIES // 2, database=None)


@dataclass
class Studio:
    """One provider's good answers, and a loop to repeat them on."""

    talk: Talk
    good: Mapping[str, list[Answer]]
    loop: asyncio.AbstractEventLoop
    operation_of: Callable[[str, str], str]
    base_url: str
    """Where the good answers' own addresses lead."""

    def answers_from(self, base_url: str) -> dict[str, list[Answer]]:
        """Return the good answers as another server would give them."""
        old, new = self.base_url.encode(), base_url.encode()
        return {
            name: [replace(answer, body=answer.body.replace(old, new)) for answer in answers]
            for name, answers in self.good.items()
        }

    def document(self) -> Answer:
        """Return what is kept of a completed job."""
        whole = self.good["get"][-1]
        if self.talk.provider != "aitronos":
            return whole
        pages = [page.body for page in self.good["sentences"]]
        return replace(whole, body=join_document(whole.body, pages))


@pytest.fixture(params=PAID)
def studio(
    request: pytest.FixtureRequest, emulators: Callable[[str], Any], tmp_path: Path
) -> Iterator[Studio]:
    """Learn each provider's answers by talking to its emulator once."""
    server, settings = emulators(request.param)
    server.reset()
    changes = {"stubs": []} if request.param == "aitronos" else {}
    server.configure(**{**settings, **changes, "job_s": 0.0})
    talk = Talk(request.param, tmp_path)
    with Proxy(server) as proxy, asyncio.Runner() as runner:
        runner.run(_learn(proxy.base_url, talk))
        good = {name: list(answers.values()) for name, answers in proxy.heard.items()}
        good |= {name: [answer] for name, answer in WRITTEN.get(request.param, {}).items()}
        assert set(STEPS[request.param]) <= set(good)
        yield Studio(talk, good, runner.get_loop(), server.service.operation_of, proxy.base_url)


async def _learn(base_url: str, talk: Talk) -> None:
    client = SCENES[talk.provider].make_client(base_url)()
    try:
        talk.uploaded = await upload(client, talk)
        told = await submit(client, talk)
        assert told.provider_job_id, told
        talk.job_id = told.provider_job_id
        steps = {n: s for n, s in STEPS[talk.provider].items() if n not in ("cancel", "delete")}
        for step in (*chain.from_iterable(steps.values()), *STEPS[talk.provider].get("delete", ())):
            await step(client, talk)
    finally:
        await client.aclose()


def _make_client(talk: Talk, base_url: str) -> Any:
    told = {"patience": HASTY, **FASTEST.get(talk.provider, {})}
    return SCENES[talk.provider].make_client(base_url, **told)()


def test_any_answer_is_a_value_or_an_error_of_ours(studio: Studio) -> None:
    """Each call that reads an answer gets a damaged one over a socket."""
    talk, current = studio.talk, {}
    server = FaultServer(replay(studio.operation_of, lambda operation: current[operation]))
    studio.loop.run_until_complete(server.__aenter__())
    all_good = studio.answers_from(server.base_url)
    current |= {name: answers[-1] for name, answers in all_good.items()}
    steps = [(name, step) for name, group in STEPS[talk.provider].items() for step in group]

    @_HALF
    @hypothesis.given(st.randoms(use_true_random=False))
    def play(dice: Random) -> None:
        name, step = dice.choice(steps)
        current[name] = _damage(dice.choice(all_good[name]), dice)
        try:
            studio.loop.run_until_complete(_play(talk, server.base_url, step))
        finally:
            current[name] = all_good[name][-1]

    play()
    studio.loop.run_until_complete(server.__aexit__(None, None, None))


def test_any_document_is_a_transcript_or_an_error_with_its_place(studio: Studio) -> None:
    """What is kept of a completed job, damaged, is read into tables or refused."""
    document = studio.document()

    @_HALF
    @hypothesis.given(st.randoms(use_true_random=False))
    def play(dice: Random) -> None:
        read_and_build(studio.talk.provider, damage(document, dice).body)

    play()


def _damage(good: Answer, dice: Random) -> Answer:
    try:
        return damage(good, dice)
    except ValueError:  # captions are no JSON
        return Answer(good.status, good.content_type, dice.randbytes(dice.randrange(50)))


async def _play(talk: Talk, base_url: str, step: Any) -> None:
    client = _make_client(talk, base_url)
    try:
        told = await step(client, talk)
    except ProviderError as error:
        assert step is not submit, "a submit never raises for what came back"
        _check_text(str(error))
    else:
        if isinstance(told, Submission):
            _check_submission(told)
        if isinstance(told, bytes):
            read_and_build(talk.provider, told)
    finally:
        await client.aclose()


def _check_submission(told: Submission) -> None:
    if told.verdict is Verdict.ACCEPTED:
        assert _JOB_ID.fullmatch(told.provider_job_id or "")
    _check_text(f"{told.cause} {told.detail}")


def _check_text(text: str) -> None:
    """Hold what goes to logs and the ledger to one short printable line without an address."""
    assert text.isprintable()
    assert len(text) < 700
    assert "Signature" not in text


def read_and_build(provider: str, body: bytes) -> None:
    """Read a kept answer, and put it into tables if it can be read."""
    find_unknown_fields(provider, body)
    with suppress(NormaliseError):
        build_tables([(_HEADER, NORMALISERS[provider](body))])
