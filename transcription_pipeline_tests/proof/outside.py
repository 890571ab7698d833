"""What happens to the pipeline from outside: to its bucket, its provider, its clock, its people.

Rules of the state machine in ``test_state_machine.py``, which adds the workers. Faults and paces are
what emulators are told (``emulators/faults.py``, their settings); a person knows the provider's books.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from transcription_pipeline import decisions, pipeline
from transcription_pipeline.emulators.server import EmulatorServer
from transcription_pipeline.errors import DecisionRefused
from transcription_pipeline.providers.transport import Patience
from transcription_pipeline_tests.engine.scene import Scene, make_wav
from transcription_pipeline_tests.engine.scenes import open_scene
from transcription_pipeline_tests.proof.witness import Witness
from transcription_pipeline_tests.s3_servers import S3Server

QUICK = Patience(connect_s=0.5, read_s=2.0, deadline_s=3.0, retries=2, retry_wait_s=0.01)
HOUR_S = 3_600.0
KEYS = st.sampled_from("abcdefgh")


def _status(status: int, **more: Any) -> dict[str, Any]:
    return {"action": "status", "status": status, **more}


TAKEN = [{"action": name} for name in ("drop_after", "garbage", "half_headers", "html", "reset")]
TAKEN += [{"action": "truncate"}, _status(500, act=True), _status(502, act=True)]
NOT_TAKEN = [{"action": "drop_before"}, {"action": "reset", "act": False}, _status(503)]
TOLD = [_status(401), _status(402), _status(429, headers={"Retry-After": "900"})]
TOLD += [{"action": "job_error"}]
LOOKS = [_status(502), _status(401), {"action": "drop_before"}, {"action": "truncate"}]
PACES: dict[str, list[dict[str, Any]]] = {
    "aitronos": [{"list_lag_s": 120.0}, {"list_lag_s": 600.0}, {"queue_s": 400.0}],
    "assemblyai": [{"list_lag_s": 120.0}, {"list_lag_s": 600.0}, {"concurrency": 1, "job_s": 300}],
    "plaud": [{"queue_s": 400.0}, {"job_s": 300.0}],
    "scriptivox": [{"list_lag_s": 600.0}, {"created_s": 400.0}, {"idempotency_locked_s": 60.0}],
}
"""How a provider may be slow. Lists lag by less than they are given to settle."""
WINDOW_S = 1.5
"""A run with work that is not done by then leaves the rest to the next, as in life."""


class Outside(RuleBasedStateMachine):
    """One bucket, one provider, one ledger, and whoever touches them besides the workers."""

    def __init__(
        self, emulator: EmulatorServer, calm: dict[str, Any], s3: S3Server, folder: Path
    ) -> None:
        super().__init__()
        self.calm = calm
        self.place = ExitStack()
        here = Path(tempfile.mkdtemp(dir=folder))
        opened = open_scene(emulator, calm, s3, here, patience=QUICK)
        self.scene: Scene = self.place.enter_context(opened)
        self.scene.limit(window_s=WINDOW_S)
        self.witness = Witness(self.scene, here)
        self.place.callback(self.witness.close)
        self.present: dict[str, str] = {}
        """key → etag of what lies in the bucket."""
        self.gone: set[str] = set()
        """etags that were overwritten or deleted."""
        self.put_count = 0

    # -- bucket, provider, time ---------------------------------------------------------------------

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        """A few recordings are there and known."""
        for key in "abc"[:count]:
            self.put(key, is_seen=True)

    @rule(key=KEYS, is_seen=st.booleans())
    def put(self, key: str, is_seen: bool) -> None:
        """Drop a recording, or overwrite one; the next listing may come at once, or too late."""
        self.gone.add(self.present.get(key, ""))
        self.put_count += 1
        body = make_wav(1.0 + self.put_count / 5)
        self.present[key] = self.scene.tools.audio.put(f"{key}.wav", body)
        if is_seen:
            self.discover()

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        """Take a recording out of the bucket."""
        if key in self.present:
            self.gone.add(self.present.pop(key))
            self.scene.tools.audio.delete(f"{key}.wav")

    @rule(choice=st.integers(0, 2))
    def slow_down(self, choice: int) -> None:
        """The provider's list lags, or its queue is long."""
        paces = PACES[self.scene.provider]
        pace = paces[choice % len(paces)]
        self.scene.emulator.configure(**self.calm | pace)

    @rule()
    def calm_down(self) -> None:
        """No faults, no delays."""
        self.scene.emulator.set_faults()
        self.scene.emulator.configure(**self.calm)

    @rule(seconds=st.sampled_from([1, 31, 31, 61, 61, 301, 601, 961, HOUR_S, 25 * HOUR_S]))
    def pass_time(self, seconds: float) -> None:
        """Let both clocks leap."""
        self.scene.pass_time(seconds)

    @rule(which=st.integers(0, 7), status=st.sampled_from(["completed", "error", "odd"]))
    def tell(self, which: int, status: str) -> None:
        """Deliver a webhook, twice: of any job of the provider's, known to us or not, or of none."""
        told = ["nobody", *self.witness.find_provider_jobs()]
        job_id = told[which % len(told)]
        before = self.witness.read("attempts", "attempt_id")
        for _ in range(2):
            self.scene.tools.ledger.record_delivery(
                self.scene.provider,
                job_id,
                status=status,
                body_sha256=sha256(f"{job_id} {status}".encode()).hexdigest(),
                at=self.scene.tools.now(),
            )
        assert self.witness.read("attempts", "attempt_id") == before, "a hint decided something"

    @rule()
    def discover(self) -> None:
        """List the bucket."""
        pipeline.discover(self.scene.tools)

    # -- who decides -------------------------------------------------------------------------------

    @rule(gives_up=st.booleans())
    def resolve(self, gives_up: bool) -> None:
        """A person looks at the provider's own books, and says what became of what is held."""
        jobs = {digest: job_id for job_id, digest in self.witness.find_provider_jobs().items()}
        for row in self.witness.read("attempts", "attempt_id"):
            if row["state"] == "held":
                job_id = jobs.get(row["audio_url_sha256"])
                with suppress(DecisionRefused):
                    decisions.resolve(
                        self.scene.tools,
                        row["attempt_id"],
                        provider_job_id=job_id,
                        gives_up=gives_up and job_id is None,
                        by="ada",
                    )

    @rule()
    def retry(self) -> None:
        """A person lets what failed at no cost be tried again."""
        jobs = self.scene.tools.ledger.read_jobs()
        wanted = [job for job in jobs if job["state"] in {"failed", "quarantined"}]
        revived, _ = decisions.retry(self.scene.tools, wanted, may_cost_again=False, by="ada")
        self.witness.revivals.update(revived)
