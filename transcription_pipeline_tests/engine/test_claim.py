"""A second ledger, and a ledger restored from an older copy, pay for nothing until told so."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from transcription_pipeline import decisions, pipeline
from transcription_pipeline.engine import claim as claims
from transcription_pipeline.engine.claim import Claim
from transcription_pipeline.errors import LedgerNotOurs
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.providers import assemblyai_list
from transcription_pipeline.providers.base import AudioDelivery
from transcription_pipeline_tests.engine.scene import PROOF_S, Scene


def _use(scene: Scene, ledger: Ledger) -> None:
    scene.tools.ledger.close()
    scene.tools = replace(scene.tools, ledger=ledger)


def _submits(scene: Scene) -> int:
    return scene.emulator.request_counts().get("submit", 0)


def _assert_held(scene: Scene, why: str) -> None:
    (job,) = scene.jobs().values()
    assert (job["state"], job["cause"]) == ("held", "ledger_was_adopted")
    assert "another ledger sent it, if anybody, between" in job["detail"]
    assert why in job["detail"]


def test_a_second_ledger_sends_nothing(scene: Scene, tmp_path: Path) -> None:
    """A lake that another ledger pays for is not paid for twice; adopted, what was paid is found."""
    scene.put(["a.wav", "b.wav"])
    scene.run()
    assert _submits(scene) == 2
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    pipeline.discover(scene.tools)
    with pytest.raises(LedgerNotOurs, match="belongs to ledger"):
        scene.run()
    assert _submits(scene) == 2
    assert decisions.adopt(scene.tools, by="ada") == 2
    assert decisions.adopt(scene.tools, by="ada") == 0
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    assert _submits(scene) == 2
    scene.assert_each_is_paid_once()


def test_a_restored_copy_sends_nothing(scene: Scene, tmp_path: Path) -> None:
    """A copy made before a payment does not know of it, and does not pay again."""
    scene.put(["a.wav"])
    scene.run()
    scene.put(["a.wav", "b.wav"], seconds=3.0)
    scene.tools.ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    scene.tools = replace(scene.tools, ledger=Ledger.open(f"sqlite:///{tmp_path}/ledger.db"))
    scene.run()
    assert _submits(scene) == 3
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/backup.db"))
    with pytest.raises(LedgerNotOurs, match="older copy of itself"):
        scene.run()
    assert decisions.adopt(scene.tools, by="ada") == 2
    scene.run()
    assert _submits(scene) == 3
    assert len(scene.emulator.invoice()) == 3


def test_a_copy_made_while_requests_were_on_their_way(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the copy was about to send, or has never heard of, may have been paid for since."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"operation": "submit", "action": "status", "status": 429})
    scene.limit(window_s=2.0)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "intent"}
    scene.emulator.set_faults()
    scene.tools.ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    scene.tools = replace(scene.tools, ledger=Ledger.open(f"sqlite:///{tmp_path}/ledger.db"))
    scene.limit(window_s=30.0)
    scene.put(["b.wav"], seconds=3.0)
    scene.pass_time(300)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/backup.db"))
    assert decisions.adopt(scene.tools, by="ada") == 2
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()


def test_what_was_never_sent_is_sent_after_an_adoption(scene: Scene, tmp_path: Path) -> None:
    """Adopted jobs that the provider never saw are proved dead, and paid once."""
    scene.put(["a.wav"])
    with closing(Ledger.open(f"sqlite:///{tmp_path}/other.db")) as other:
        Claim(other, scene.tools.lake).take()
    with pytest.raises(LedgerNotOurs):
        scene.run()
    assert _submits(scene) == 0
    decisions.adopt(scene.tools, by="ada")
    scene.run()
    assert scene.attempt_states() == {"a.wav": "ambiguous"}
    scene.pass_time(PROOF_S)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "stored"}
    job = scene.jobs()["a.wav"]
    assert job["attempt_count"] == 2
    assert len(scene.emulator.invoice()) == 1


def test_what_is_on_a_later_page_is_found(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much the lost ledger paid for, and however long ago: none of it is paid again."""
    monkeypatch.setattr(assemblyai_list, "LIST_LIMIT", 2)
    scene.put([f"{n}.wav" for n in range(7)])
    scene.run()
    scene.pass_time(3 * 86_400)
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    assert decisions.adopt(scene.tools, by="ada") == 7
    lists = scene.emulator.request_counts().get("list", 0)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()
    # Four pages tell of all seven; then the jobs are watched like any others.
    assert scene.emulator.request_counts()["list"] - lists <= 4 + 3


def test_a_later_attempt_is_found(scene: Scene, tmp_path: Path) -> None:
    """A copy that knows of no attempt, or of the first, does not repeat the second."""
    scene.put(["a.wav"])
    scene.tools.ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "before.db")
    scene.tools = replace(scene.tools, ledger=Ledger.open(f"sqlite:///{tmp_path}/ledger.db"))
    fault = {"action": "job_error", "operation": "submit", "error": "Server error, try again"}
    scene.emulator.set_faults(fault | {"times": 1})
    for _ in range(3):
        scene.run()
        scene.pass_time(600)
    assert scene.attempt_states() == {"a.wav": "stored"}
    assert _submits(scene) == 2
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/before.db"))
    assert decisions.adopt(scene.tools, by="ada") == 1
    for _ in range(3):
        scene.run()
        scene.pass_time(600)
    assert scene.attempt_states() == {"a.wav": "stored"}
    assert _submits(scene) == 2
    scene.assert_each_is_paid_once()


def test_a_second_attempt_is_found_whose_first_never_arrived(scene: Scene, tmp_path: Path) -> None:
    """The first is in no list, and that proves nothing for the second."""
    scene.put(["a.wav"])
    scene.emulator.set_faults({"operation": "submit", "nth": 1, "action": "drop_before"})
    scene.run()
    scene.pass_time(PROOF_S)
    scene.run()
    assert scene.attempt_states() == {"a.wav": "stored"}
    submits = _submits(scene)
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    assert decisions.adopt(scene.tools, by="ada") == 1
    for _ in range(3):
        scene.run()
        scene.pass_time(PROOF_S)
    assert scene.attempt_states() == {"a.wav": "stored"}
    assert _submits(scene) == submits
    scene.assert_each_is_paid_once()


def test_what_a_refused_copy_still_does_hides_nothing(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fetches what it had paid for; what it does not know of was paid before that."""
    monkeypatch.setattr(assemblyai_list, "LIST_LIMIT", 2)
    scene.emulator.configure(job_s=60.0)
    scene.put(["a.wav"])
    scene.send()
    assert scene.attempt_states() == {"a.wav": "accepted"}
    scene.put([f"{n}.wav" for n in range(5)], seconds=3.0)
    scene.tools.ledger.close()
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    scene.tools = replace(scene.tools, ledger=Ledger.open(f"sqlite:///{tmp_path}/ledger.db"))
    scene.emulator.configure(job_s=0.05)
    scene.pass_time(60)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.pass_time(3_600)
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/backup.db"))
    with pytest.raises(LedgerNotOurs):
        scene.run()
    assert scene.attempt_states()["a.wav"] == "stored"
    decisions.adopt(scene.tools, by="ada")
    scene.pass_time(PROOF_S)
    scene.run()
    assert set(scene.attempt_states().values()) == {"stored"}
    scene.assert_each_is_paid_once()


@pytest.mark.parametrize(
    "used", [{"api_key": "another-account"}, {"delivery": AudioDelivery.UPLOAD}], ids=["key", "way"]
)
def test_what_another_account_paid_for_is_held(
    scene: Scene, tmp_path: Path, used: dict[str, Any]
) -> None:
    """Nothing is in the list that is asked, and that proves nothing."""
    scene.use(**used)
    scene.put(["a.wav"])
    scene.run()
    scene.use()
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    decisions.adopt(scene.tools, by="ada")
    scene.pass_time(PROOF_S)
    scene.run()
    _assert_held(scene, "also paid for with assemblyai/us.")
    assert _submits(scene) == 1


@pytest.mark.parametrize(
    ("listed", "after_s", "cause"),
    [
        ({"listed_url": "cut"}, PROOF_S, "list_names_no_audio"),
        ({"listed_url": "absent"}, PROOF_S, "list_names_no_audio"),
        ({"list_lag_s": 1e9}, 31 * 86_400, "older_than_the_list"),
    ],
    ids=["no queries", "no audio", "too long ago"],
)
def test_what_a_list_cannot_tell_is_held(
    scene: Scene, tmp_path: Path, listed: dict[str, Any], after_s: float, cause: str
) -> None:
    """No absence is proved by a list whose rows may be anybody's, or that does not reach so far."""
    scene.put(["a.wav"])
    scene.run()
    scene.emulator.configure(**listed)
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    decisions.adopt(scene.tools, by="ada")
    scene.pass_time(after_s)
    scene.run()
    _assert_held(scene, cause)
    assert _submits(scene) == 1


def test_what_was_uploaded_by_a_lost_ledger_is_held(scene: Scene, tmp_path: Path) -> None:
    """An upload's address is the provider's, and was known to the lost ledger alone."""
    scene.use(delivery=AudioDelivery.UPLOAD)
    scene.put(["a.wav"])
    scene.run()
    _use(scene, Ledger.open(f"sqlite:///{tmp_path}/second.db"))
    decisions.adopt(scene.tools, by="ada")
    scene.pass_time(4 * 86_400)
    scene.run()
    _assert_held(scene, "nothing_to_know_it_by")
    assert _submits(scene) == 1


def test_a_run_that_began_before_an_adoption_ends(scene: Scene, tmp_path: Path) -> None:
    """It would look nothing up: it sends nothing, and the next run goes on."""
    with closing(Ledger.open(f"sqlite:///{tmp_path}/other.db")) as other:
        Claim(other, scene.tools.lake).take()
    before = scene.tools.ledger.find_adoption()
    decisions.adopt(scene.tools, by="ada")
    mine = Claim(scene.tools.ledger, scene.tools.lake)
    with pytest.raises(LedgerNotOurs, match="adopted meanwhile"):
        mine.hold(before)
    mine.hold(scene.tools.ledger.find_adoption())


def test_two_ledgers_at_one_moment(scene: Scene, tmp_path: Path) -> None:
    """Of two that claim an empty lake only one has it."""
    with closing(Ledger.open(f"sqlite:///{tmp_path}/other.db")) as other:
        first, second = Claim(scene.tools.ledger, scene.tools.lake), Claim(other, scene.tools.lake)
        first.hold()
        with pytest.raises(LedgerNotOurs):
            second.hold()
        second.take()
        second.hold()


def test_a_mark_is_left_while_and_after(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The epoch is higher after a run than at any moment at which requests were sent."""
    monkeypatch.setattr(claims, "EVERY_S", 0.0)
    scene.put([f"{n}.wav" for n in range(3)])
    scene.run()
    standing = Claim(scene.tools.ledger, scene.tools.lake).look()
    assert standing.claimed == standing.ours
    assert standing.ours.epoch == 4  # three requests, and the end


def test_discovering_claims_nothing(scene: Scene) -> None:
    """Who only looks leaves no mark: the first paid request does."""
    scene.put(["a.wav"])
    assert Claim(scene.tools.ledger, scene.tools.lake).look().claimed is None
