"""A batch in which a third of the answers are damaged: the others are published, in one run."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from transcription_pipeline_tests.contract.conftest import OpenScene
from transcription_pipeline_tests.contract.damage import UNKNOWN_FIELD, Answer, add_fields, damage
from transcription_pipeline_tests.contract.proxy import Proxy
from transcription_pipeline_tests.engine.scene import PROOF_S
from transcription_pipeline_tests.engine.scenes import PAID

COUNT = 24
OVER = {"published", "failed", "held"}


class Damager:
    """Damages what is answered about every third job: its submit, or every look at it."""

    def __init__(self, seed: int) -> None:
        self._dice = Random(seed)
        self._submits = 0
        self._spoilt: set[str] = set()
        self.counts: Counter[str] = Counter()

    def __call__(self, operation: str, path: str, answer: Answer) -> Answer:
        """Change an answer, or leave it."""
        if not 200 <= answer.status < 300:
            return answer
        if operation == "submit":
            self._submits += 1
            if self._submits % 6 == 0:
                return self._damage(operation, answer)
            if self._submits % 6 == 3:
                self._spoilt.add(_find_id(json.loads(answer.body)))
        is_spoilt = operation in {"get", "sentences"} and any(i in path for i in self._spoilt)
        return self._damage(operation, answer) if is_spoilt else answer

    def _damage(self, operation: str, answer: Answer) -> Answer:
        self.counts[operation] += 1
        return damage(answer, self._dice)


def _find_id(told: dict[str, Any]) -> str:
    told = told.get("data") or told
    job_id: str = told.get("id") or told.get("transcription_id") or ""
    return job_id


@pytest.mark.parametrize("provider", PAID)
def test_damaged_answers_are_their_own_jobs_trouble(new_scene: OpenScene, provider: str) -> None:
    """No run ends by them; each job ends published, or with a cause; nothing is paid twice."""
    scene = new_scene(provider)
    damager = Damager(seed=1)
    with Proxy(scene.emulator, damager) as proxy:
        scene.use(base_url=proxy.base_url)
        scene.put([f"calls/{number:02}.wav" for number in range(COUNT)])
        scene.limit(window_s=8.0)
        scene.run()
        scene.write()
        states = [job["state"] for job in scene.jobs().values()]
        assert states.count("published") >= COUNT // 2
        scene.limit(window_s=2.0)
        for seconds in (120, PROOF_S, 24 * 3600, 3600):
            scene.pass_time(seconds)
            scene.run()
            scene.write()
    assert damager.counts.keys() >= {"submit", "get"}
    jobs = list(scene.jobs().values())
    unfinished = [(job["cause"], job["attempt_state"]) for job in jobs if job["state"] not in OVER]
    assert unfinished == []
    assert sum(job["state"] == "published" for job in jobs) >= COUNT * 2 // 3
    assert all(job["cause"] for job in jobs if job["state"] != "published")
    assert scene.tools.ledger.count_states()["unaccounted"] == 0
    charged = [line["provider_job_id"] for line in scene.emulator.invoice()]
    assert len(set(charged)) == len(charged) <= COUNT


@pytest.mark.parametrize("provider", PAID)
def test_unknown_fields_are_reported_and_harm_nothing(
    new_scene: OpenScene, provider: str, tmp_path: Path
) -> None:
    """A field that nobody knows, in every object of every answer, is named and skipped."""
    scene = new_scene(provider)

    def change(operation: str, path: str, answer: Answer) -> Answer:
        is_json = answer.content_type.startswith("application/json")
        return add_fields(answer) if is_json and answer.body else answer

    with Proxy(scene.emulator, change) as proxy:
        scene.use(base_url=proxy.base_url)
        scene.put(["a.wav", "b.wav"])
        assert scene.run().counts["stored"] == 2
    written = scene.write()
    assert written.published == 2
    assert UNKNOWN_FIELD in written.unknown_fields


def test_a_doubt_is_cleared_up_beside_an_unreadable_job(new_scene: OpenScene) -> None:
    """Another job of that minute that cannot be read proves nothing, and stands in nobody's way."""
    scene = new_scene("aitronos")
    scene.emulator.configure(list_order="oldest")
    lost: list[str] = []

    def change(operation: str, path: str, answer: Answer) -> Answer:
        if operation == "submit" and len(lost) < 1:
            lost.append(_find_id(json.loads(answer.body)))
            return answer
        if operation == "submit":
            return Answer(answer.status, answer.content_type, b"{}")
        is_spoilt = operation == "get" and lost[0] in path
        return Answer(200, answer.content_type, b"[]") if is_spoilt else answer

    with Proxy(scene.emulator, change) as proxy:
        scene.use(base_url=proxy.base_url)
        scene.limit(window_s=4.0)
        scene.put(["a.wav", "b.wav"])
        scene.run()
        scene.pass_time(120)
        scene.run()
    assert sorted(scene.attempt_states().values()) == ["accepted", "stored"]
