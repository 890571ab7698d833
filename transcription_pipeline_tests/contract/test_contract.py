"""Every provider through the whole engine, from bucket to tables, in everything that may happen."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from transcription_pipeline.errors import AuthenticationFailed
from transcription_pipeline.ledger.instants import from_text
from transcription_pipeline.normalise import NORMALISERS
from transcription_pipeline_tests.contract.conftest import OpenScene
from transcription_pipeline_tests.contract.table import PROVIDERS, ROWS, Row
from transcription_pipeline_tests.contract.troubles import KEY, nothing
from transcription_pipeline_tests.engine.scene import Scene

SECRETS = {
    "aitronos": {"api_key": "canary-key-1"},
    "assemblyai": {"api_key": "canary-key-1"},
    "local": {},
    "plaud": {"api_key": "canary-key-1", "secret_key": "canary-key-2"},
    "scriptivox": {"api_key": "canary-key-1"},
}
LONG_WINDOW_S, SHORT_WINDOW_S = 30.0, 0.45
STEPS = 12
"""Runs after which a job must be over: a few retries, or its deadline."""
THEIRS = ("werkzeug", "moto", "boto", "urllib3")
"""Loggers of the S3 server and its client, not ours."""
CELLS = [
    pytest.param(provider, name, id=f"{provider}: {name}")
    for name, row in ROWS.items()
    for provider in PROVIDERS
    if row.ends[provider].state != "never"
]


class Story:
    """One cell while it is played, and everything that was said in it."""

    def __init__(self, scene: Scene, row: Row) -> None:
        self.scene = scene
        self.row = row
        self.end = row.ends[scene.provider]
        self.said: list[str] = []

    @property
    def job(self) -> dict[str, Any]:
        """The only job, as ``tp jobs`` shows it."""
        jobs = [r for r in self.scene.tools.ledger.read_jobs() if r["state"] != "quarantined"]
        (row,) = [job for job in jobs if job["recording_id"] in self.scene.keys]
        return row

    def run(self, window_s: float) -> None:
        """Do one run and one write."""
        self.scene.limit(window_s=window_s)
        try:
            self.said.append(json.dumps(self.scene.run().summarise()))
        except AuthenticationFailed as error:
            self.said.append(str(error))
        self.said.append(repr(self.scene.write()))

    def begin(self) -> None:
        """Do the first run, as long as it takes to have the job accepted if it shall wait there."""
        if not self.row.waits:
            self.run(LONG_WINDOW_S)
            return
        window_s = SHORT_WINDOW_S
        self.run(window_s)
        while self.scene.emulator and not self._is_met():
            window_s *= 2
            assert window_s < LONG_WINDOW_S, self.job
            self.run(window_s)

    def _is_met(self) -> bool:
        """Say whether the job waits where it shall, and has met what goes wrong there."""
        rules = self.scene.emulator.control("faults")["rules"]
        is_struck = not rules or any(rule["struck"] for rule in rules)
        return self.job["attempt_state"] == "accepted" and is_struck

    def run_on(self) -> None:
        """Do a later run, which nobody needs to cut short where jobs do not wait."""
        is_short = self.row.waits and self.scene.emulator
        self.run(SHORT_WINDOW_S if is_short else LONG_WINDOW_S)

    def go_on(self) -> None:
        """Run whenever something is due, until the job is over."""
        for _ in range(STEPS):
            if self.job["state"] != "in_progress":
                return
            self.scene.pass_time(self._wait_s())
            self.run_on()

    def _wait_s(self) -> float:
        """Say how long nothing is due: until a retry, an open gate, or the deadline."""
        tools, job = self.scene.tools, self.job
        instants = [job["scheduled_at"], job["attempt_deadline_at"]]
        ahead = [from_text(at) - tools.now() for at in instants if at]
        waits = [wait for wait in ahead if wait > timedelta(0)]
        if tools.ledger.find_gate(self.scene.provider, tools.now()):
            waits.append(timedelta(minutes=10))
        return min(waits, default=timedelta(0)).total_seconds() + 1

    def everything_written(self, folder: Path, caplog: pytest.LogCaptureFixture) -> str:
        """Return all that reports, the ledger's files and the log say."""
        ledger = b"".join(file.read_bytes() for file in sorted(folder.glob("ledger.db*")))
        logged = [r.getMessage() for r in caplog.records if not r.name.startswith(THEIRS)]
        return "\n".join([*self.said, *logged, ledger.decode("latin-1")])

    def heard(self) -> list[str]:
        """Return the texts that the provider gave."""
        lake, key = self.scene.tools.lake, self.job["raw_key"]
        if key is None or self.job["state"] != "published":
            return []
        body = zstandard.decompress(lake.get(key))
        return [text for text in NORMALISERS[self.scene.provider](body).segments.text if text]


@pytest.mark.parametrize(("provider", "name"), CELLS)
def test_it_ends_as_it_must(
    new_scene: OpenScene,
    provider: str,
    name: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """State and cause, one charge at most, nothing lost, and nothing said that is a secret."""
    caplog.set_level(logging.DEBUG)
    scene, row = new_scene(provider, **SECRETS[provider]), ROWS[name]
    scene.put([KEY])
    row.arrange(scene)
    story = Story(scene, row)
    story.begin()
    _check_before_the_end(story)
    row.later(scene)
    if row.later is not nothing:
        story.run_on()
    story.go_on()
    _check_end(story)
    _check_money(story)
    told = story.everything_written(tmp_path, caplog)
    for secret in (*SECRETS[provider].values(), "Signature=", *story.heard()):
        assert secret not in told
    assert bool(story.heard()) == (story.job["state"] == "published" and _speaks(provider, name))


def _speaks(provider: str, name: str) -> bool:
    # What is put into the bucket is silence; emulators speak all the same unless they are told.
    return name == "ok" or (provider != "local" and name != "silent audio")


def _check_before_the_end(story: Story) -> None:
    """Hold what waits to a stated deadline, and what is gated to its gate."""
    scene, job = story.scene, story.job
    if not scene.emulator:
        return
    if story.row.waits or story.end.state == "gated":
        assert job["state"] == "in_progress"
    if story.row.waits:
        deadline: datetime = from_text(job["attempt_deadline_at"])
        assert deadline > scene.tools.now()
    if story.end.state == "gated":
        assert scene.tools.ledger.find_gate(scene.provider, scene.tools.now()) == story.end.cause
        assert scene.emulator.request_counts()["submit"] == 1


def _check_end(story: Story) -> None:
    """Hold the job to its end, named as a person is shown it, with nothing lost."""
    job, end, ledger = story.job, story.end, story.scene.tools.ledger
    state = "published" if end.state == "gated" else end.state
    assert (job["recording_id"], job["provider"]) == (*story.scene.keys, story.scene.provider)
    assert job["state"] == state, (job["cause"], job["detail"])
    assert job["cause"] == (None if state == "published" else end.cause)
    counted = ledger.count_states()
    assert counted["unaccounted"] == 0
    assert counted["by_provider"][story.scene.provider][state] == 1


def _check_money(story: Story) -> None:
    """One charge at most, and exactly one for what is in the tables."""
    if not story.scene.emulator:
        assert story.job["cost_micros"] is None
        return
    charged = [line["amount_micros"] for line in story.scene.emulator.invoice()]
    assert len(charged) <= 1
    if story.job["state"] == "published":
        assert len(charged) == 1


def test_every_cell_is_decided() -> None:
    """Each row says for each provider how it ends, and why wherever it cannot happen."""
    for name, row in ROWS.items():
        assert tuple(row.ends) == PROVIDERS, name
        assert all(end.cause for end in row.ends.values() if end.state != "published"), name
