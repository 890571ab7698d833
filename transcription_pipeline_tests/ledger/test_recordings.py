"""Recordings and the jobs their routes want are remembered once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from transcription_pipeline.domain.job import JobState
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.errors import LedgerError
from transcription_pipeline.ledger.changes import Probed
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
    DAY,
    FIRST_DAY,
    PROVIDER,
    S,
    after,
    commit,
    find_job_id,
    make_audio,
    make_move,
    make_path,
    plan_jobs,
    race,
    record,
)

FACTS = AudioFacts("mp3", "mp3float", 16_000, 2, 90_000)


def test_nothing_ends_an_erasure(ledger: Ledger) -> None:
    """Whoever decides about an attempt, or looks into the audio, later: the tombstone stays."""
    audio = make_audio(0)
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, *make_path(job_id, S.COMPLETED))
    ledger.record_erasure(audio.recording_id, by="ada", at=AT)
    commit(ledger, make_move(job_id, S.COMPLETED, S.STORED))
    job = ledger.get_job(job_id)
    assert (job.state, job.cause) == (JobState.QUARANTINED, "erased")
    assert ledger.list_attempts(DAY, PROVIDER, [S.STORED]) == []
    assert ledger.list_work(DAY, PROVIDER, AT) == []
    commit(ledger, Probed(audio.recording_id, AT, FACTS))
    assert ledger.read_recordings()[0]["quarantine_reason"] == "erased"


def test_recording_twice_changes_nothing(ledger: Ledger) -> None:
    """A second sighting of the same objects finds them known and adds neither rows nor jobs."""
    audios = [make_audio(number) for number in range(5)]
    wishes: dict[str, dict[str, object]] = {"assemblyai": {"language": "en"}, "local": {}}
    assert record(ledger, *audios, wishes=wishes) == 5
    before = (ledger.read_recordings(), ledger.read_jobs())
    assert record(ledger, *audios, *audios, wishes=wishes, at=after(hours=1)) == 0
    assert (ledger.read_recordings(), ledger.read_jobs()) == before
    assert len(before[1]) == 10


def test_known_and_new_are_told_apart(ledger: Ledger) -> None:
    """Of a page that is partly known only the new objects are counted and written."""
    record(ledger, make_audio(0), make_audio(1))
    assert record(ledger, make_audio(1), make_audio(2)) == 1
    ids = [make_audio(number).recording_id for number in range(4)]
    assert ledger.find_known_recordings(ids) == set(ids[:3])


def test_changed_options_do_not_make_a_second_job(ledger: Ledger) -> None:
    """A recording that has a job keeps it when the configuration changes: nobody pays twice."""
    record(ledger, make_audio(0), wishes={"assemblyai": {"language": "en"}})
    record(ledger, make_audio(0), wishes={"assemblyai": {"language": "de"}})
    assert [job["options_json"] for job in ledger.read_jobs()] == ['{"language":"en"}']


def test_everything_is_kept_as_seen(ledger: Ledger) -> None:
    """Odd keys, versions and sizes beyond 32 bits come back exactly."""
    odd = replace(
        make_audio(0, size_bytes=5_000_000_000_000), key="a b/%2F+/é音/../x\n'.mp3", version_id="v1"
    )
    record(ledger, odd)
    (row,) = ledger.read_recordings()
    assert row["key"] == odd.key
    assert row["version_id"] == "v1"
    assert row["size_bytes"] == odd.size_bytes
    (work,) = ledger.list_work(DAY, "assemblyai", AT)
    assert work.recording.last_modified_at == odd.last_modified_at
    assert work.recording.key == odd.key


def test_old_recordings_belong_to_the_first_day(ledger: Ledger) -> None:
    """What was written before the first partition is put there and not lost."""
    record(ledger, make_audio(0, at=AT - timedelta(days=3_000)))
    assert [row["day"] for row in ledger.read_recordings()] == [FIRST_DAY.isoformat()]


def test_recordings_from_the_future_belong_to_today(ledger: Ledger) -> None:
    """A store whose clock is ahead puts no recording into a day that is not there yet."""
    record(ledger, make_audio(0, at=AT + timedelta(days=3_000)))
    assert [row["day"] for row in ledger.read_recordings()] == [DAY]


def test_many_at_once(ledger: Ledger) -> None:
    """Thousands of objects in one call exceed no limit of the database."""
    audios = [make_audio(number) for number in range(3_000)]
    assert record(ledger, *audios) == 3_000
    assert len(ledger.find_known_recordings([a.recording_id for a in audios] * 25)) == 3_000
    assert ledger.count_states()["by_provider"]["assemblyai"]["in_progress"] == 3_000


def test_racing_discoveries_agree(ledger: Ledger, ledger_url: str) -> None:
    """Eight discoveries of the same page, in different order, write and count each object once."""
    audios = [make_audio(number) for number in range(60)]
    ledgers = [Ledger.open(ledger_url) for _ in range(8)]

    def discover(number: int) -> int:
        shuffled = audios[number * 7 :] + audios[: number * 7]
        wishes: dict[str, dict[str, object]] = {"assemblyai": {"keyterms": [str(number)]}}
        return record(ledgers[number], *shuffled, wishes=wishes)

    assert sum(race(8, discover)) == 60
    assert len(ledger.read_jobs()) == 60
    assert ledger.count_states()["unaccounted"] == 0
    for opened in ledgers:
        opened.close()


def test_facts_are_remembered(ledger: Ledger) -> None:
    """What probing found comes back with the work."""
    plan_jobs(ledger, 1)
    commit(ledger, Probed(make_audio(0).recording_id, AT, FACTS))
    (work,) = ledger.list_work(DAY, "assemblyai", AT)
    assert work.recording.facts == FACTS


def test_quarantine_keeps_it_from_every_provider(ledger: Ledger) -> None:
    """A quarantined recording has no work left, and its jobs say why."""
    record(ledger, make_audio(0), wishes={"assemblyai": {}, "local": {}})
    commit(ledger, Probed(make_audio(0).recording_id, AT, None, "not_audio", "text"))
    assert ledger.list_due_partitions(AT) == []
    assert {(job["state"], job["cause"]) for job in ledger.read_jobs()} == {
        ("quarantined", "not_audio")
    }
    counts = ledger.count_states()
    assert counts["quarantined"] == 1
    assert counts["unaccounted"] == 0


def test_quarantine_does_not_hide_money(ledger: Ledger) -> None:
    """A job that was submitted before the audio was found bad is followed to its end."""
    (job_id,) = plan_jobs(ledger, 1)
    commit(ledger, *make_path(job_id, S.ACCEPTED))
    commit(ledger, Probed(make_audio(0).recording_id, AT, None, "source_gone"))
    assert ledger.get_job(job_id).state is JobState.IN_PROGRESS


def test_a_fallback_is_one_more_job(ledger: Ledger) -> None:
    """A job added beside the route's is found again when asked for twice, and is accounted for."""
    plan_jobs(ledger, 1)
    recording_id = make_audio(0).recording_id
    first = ledger.record_job(recording_id, "local", {"language": "en"}, at=AT)
    again = ledger.record_job(recording_id, "local", {"language": "en"}, at=after(hours=1))
    assert first == again
    assert find_job_id(ledger, make_audio(0), "local") == first.job_id
    assert len(ledger.read_jobs()) == 2
    assert ledger.count_states()["unaccounted"] == 0


def test_other_options_are_the_same_provider(ledger: Ledger) -> None:
    """A second job with other options at the same provider leaves nothing unaccounted for."""
    plan_jobs(ledger, 1)
    ledger.record_job(make_audio(0).recording_id, "assemblyai", {"language": "de"}, at=AT)
    assert len(ledger.read_jobs()) == 2
    assert ledger.count_states()["unaccounted"] == 0


def test_racing_fallbacks_agree(ledger: Ledger) -> None:
    """Eight threads that ask for the same fallback get the same job, counted once."""
    plan_jobs(ledger, 1)
    recording_id = make_audio(0).recording_id
    jobs = race(8, lambda _: ledger.record_job(recording_id, "local", {}, at=AT))
    assert len({job.job_id for job in jobs}) == 1
    assert ledger.count_states()["unaccounted"] == 0


def test_nothing_hangs_on_an_unknown_recording(ledger: Ledger) -> None:
    """A job for a recording, or a look at a job, that the ledger does not have is refused."""
    with pytest.raises(LedgerError, match="not in the ledger"):
        ledger.record_job("0" * 32, "local", {}, at=AT)
    with pytest.raises(LedgerError, match="not in the ledger"):
        ledger.get_job("0" * 32)
