"""What the ledger answers: counts that add up, work in order, days to publish, what was learned."""

from __future__ import annotations

from datetime import timedelta

from transcription_pipeline.domain.job import AttemptState
from transcription_pipeline.domain.recording import AudioFacts
from transcription_pipeline.domain.wait_model import WaitModel
from transcription_pipeline.ledger.changes import Postpone, Probed, Refuse
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.ledger.scenario import (
    AT,
    DAY,
    PROVIDER,
    S,
    after,
    commit,
    find_job_id,
    make_audio,
    make_move,
    make_opening,
    make_path,
    plan_jobs,
    race,
    record,
)


def test_counts_add_up(ledger: Ledger) -> None:
    """Every recording × provider is counted once, and none is unaccounted for."""
    wishes: dict[str, dict[str, object]] = {PROVIDER: {}, "local": {}}
    audios = [make_audio(number) for number in range(6)]
    record(ledger, *audios, wishes=wishes)
    jobs = [find_job_id(ledger, audio) for audio in audios]
    commit(
        ledger,
        *make_path(jobs[0], S.PUBLISHED),
        *make_path(jobs[1], S.ACCEPTED),
        make_move(jobs[1], S.ACCEPTED, S.HELD),
        Refuse(jobs[2], "too_long", AT),
        Probed(audios[3].recording_id, AT, None, "not_audio"),
    )
    assert ledger.count_states() == {
        "recordings": 6,
        "by_provider": {
            PROVIDER: {"in_progress": 2, "published": 1, "failed": 1, "held": 1},
            "local": {"in_progress": 5, "published": 0, "failed": 0, "held": 0},
        },
        "quarantined": 1,
        "unaccounted": 0,
    }


def test_counts_of_an_empty_ledger(ledger: Ledger) -> None:
    """A new ledger counts nothing."""
    assert ledger.count_states() == {
        "recordings": 0,
        "by_provider": {},
        "quarantined": 0,
        "unaccounted": 0,
    }


def test_work_is_longest_first(ledger: Ledger) -> None:
    """Known lengths come first, longest before shorter; unknown ones by size."""
    sizes = {0: 10, 1: 20, 2: 30, 3: 5_000, 4: 9_000}
    audios = {n: make_audio(n, size_bytes=size) for n, size in sizes.items()}
    record(ledger, *audios.values())
    for number, duration_ms in ((0, 1_000), (1, 90_000), (2, 30_000)):
        recording_id = audios[number].recording_id
        commit(ledger, Probed(recording_id, AT, AudioFacts("mp3", "mp3", 8_000, 1, duration_ms)))
    work = ledger.list_work(DAY, PROVIDER, AT)
    assert [w.recording.size_bytes for w in work] == [20, 30, 10, 9_000, 5_000]


def test_work_carries_its_live_attempt(ledger: Ledger) -> None:
    """A job comes with its live attempt, or with none when the last one is dead."""
    first, second, third = plan_jobs(ledger, 3)
    commit(ledger, *make_path(first, S.SENDING))
    commit(ledger, make_opening(second), make_move(second, S.INTENT, S.ABANDONED))
    work = {w.job.job_id: w for w in ledger.list_work(DAY, PROVIDER, AT)}
    live = work[first].attempt
    assert live is not None
    assert live.state is AttemptState.SENDING
    assert work[second].attempt is None
    assert work[second].attempt_count == 1
    assert work[third].attempt is None
    assert work[third].attempt_count == 0


def test_work_is_due_at_its_instant(ledger: Ledger) -> None:
    """A postponed job is invisible one microsecond before its time and due at it."""
    (job_id,) = plan_jobs(ledger, 1)
    due_at = after(minutes=5)
    commit(ledger, Postpone(job_id, due_at, "rate_limited", AT))
    early = due_at - timedelta(microseconds=1)
    assert ledger.list_work(DAY, PROVIDER, early) == []
    assert ledger.list_due_partitions(early) == []
    (work,) = ledger.list_work(DAY, PROVIDER, due_at)
    assert work.job.scheduled_at == due_at
    assert work.job.cause == "rate_limited"
    assert [(p.day, p.provider, p.due_count) for p in ledger.list_due_partitions(due_at)] == [
        (DAY, PROVIDER, 1)
    ]


def test_only_open_jobs_are_work(ledger: Ledger) -> None:
    """Published, held and failed jobs are no work for a run."""
    first, second, third, fourth = plan_jobs(ledger, 4)
    commit(
        ledger,
        *make_path(first, S.PUBLISHED),
        *make_path(second, S.ACCEPTED),
        make_move(second, S.ACCEPTED, S.HELD),
        Refuse(third, "too_long", AT),
    )
    assert [w.job.job_id for w in ledger.list_work(DAY, PROVIDER, AT)] == [fourth]


def test_due_partitions_are_counted_and_ordered(ledger: Ledger) -> None:
    """Partitions come by day and provider, each with its number of due jobs."""
    next_day = make_audio(9, at=after(days=1))
    record(ledger, make_audio(0), make_audio(1), wishes={PROVIDER: {}, "local": {}})
    record(ledger, next_day, at=after(days=1))
    commit(ledger, *make_path(find_job_id(ledger, make_audio(0)), S.PUBLISHED))
    due = ledger.list_due_partitions(AT)
    assert [(p.day, p.provider, p.due_count) for p in due] == [
        (DAY, PROVIDER, 1),
        (DAY, "local", 2),
        ("2026-11-22", PROVIDER, 1),
    ]
    assert ledger.list_partitions() == [(p.day, p.provider) for p in due]


def test_attempts_are_listed_by_state(ledger: Ledger) -> None:
    """Only attempts of the partition that are in a wanted state are listed."""
    first, second = plan_jobs(ledger, 2)
    commit(ledger, *make_path(first, S.STORED), *make_path(second, S.ACCEPTED))
    assert [a.job_id for a in ledger.list_attempts(DAY, PROVIDER, [S.STORED])] == [first]
    assert ledger.list_attempts(DAY, "local", [S.STORED]) == []


def test_options_of_many_jobs(ledger: Ledger) -> None:
    """Options come back as written and decoded, for more jobs than one IN list holds."""
    jobs = plan_jobs(ledger, 3)
    found = ledger.find_options(jobs + [f"absent-{n}" for n in range(2_000)])
    assert found == dict.fromkeys(jobs, ("{}", {}))


def _publish(ledger: Ledger, day: str = DAY) -> None:
    ledger.record_publication(day, ledger.take_fingerprints(day)[day])


def test_a_day_is_stale_until_published(ledger: Ledger) -> None:
    """A new or changed day is stale, and fresh once what it is now has been published."""
    (job_id,) = plan_jobs(ledger, 1)
    assert ledger.list_stale_days() == [DAY]
    _publish(ledger)
    assert ledger.list_stale_days() == []
    commit(ledger, Postpone(job_id, after(hours=2), "later", after(seconds=1)))
    assert ledger.list_stale_days() == [DAY]
    _publish(ledger)
    assert ledger.list_stale_days() == []


def test_a_change_during_publication_is_not_lost(ledger: Ledger) -> None:
    """A change after the fingerprint was taken leaves the day stale, though published later."""
    (job_id,) = plan_jobs(ledger, 1)
    before = ledger.take_fingerprints()[DAY]
    commit(ledger, Refuse(job_id, "too_long", after(seconds=1)))
    ledger.record_publication(DAY, before)
    assert ledger.list_stale_days() == [DAY]


def test_a_change_with_an_older_instant_is_not_lost(ledger: Ledger) -> None:
    """What is committed late under an earlier instant than the newest still makes the day stale."""
    late, early = plan_jobs(ledger, 2)
    commit(ledger, Refuse(late, "too_long", after(seconds=9)))
    _publish(ledger)
    commit(ledger, Refuse(early, "too_long", after(seconds=1)))
    assert ledger.list_stale_days() == [DAY]


def test_each_day_has_its_own_fingerprint(ledger: Ledger) -> None:
    """Publishing one day leaves the others stale."""
    record(ledger, make_audio(0))
    record(ledger, make_audio(1, at=after(days=1)), at=after(days=1))
    _publish(ledger)
    assert ledger.list_stale_days() == ["2026-11-22"]


def test_the_wait_model_survives(ledger: Ledger) -> None:
    """What was learned comes back; a model that knows less does not replace it."""
    assert ledger.find_wait_model(PROVIDER) is None
    wise, young = WaitModel(), WaitModel()
    for audio_s in range(1, 40):
        wise.learn(audio_s, 3 + audio_s / 10)
    young.learn(1.0, 1.0)
    ledger.save_wait_model(PROVIDER, young)
    ledger.save_wait_model(PROVIDER, wise)
    ledger.save_wait_model(PROVIDER, young)
    assert ledger.find_wait_model(PROVIDER) == wise
    assert ledger.find_wait_model("local") is None


def test_a_gate_closes_until_its_instant(ledger: Ledger) -> None:
    """A closed gate names its reason until it lapses or is opened; the last reason counts."""
    ledger.close_gate(PROVIDER, "funds", until=after(minutes=5), at=AT)
    ledger.close_gate(PROVIDER, "auth", until=after(minutes=10), at=AT)
    assert ledger.find_gate(PROVIDER, after(minutes=9)) == "auth"
    assert ledger.find_gate(PROVIDER, after(minutes=10)) is None
    assert ledger.find_gate("local", AT) is None
    ledger.open_gate(PROVIDER)
    assert ledger.find_gate(PROVIDER, AT) is None


def test_racing_notes_all_succeed(ledger: Ledger) -> None:
    """Gates, publications and models written by eight threads at once disturb nobody."""

    def note(number: int) -> None:
        model = WaitModel()
        model.learn(1.0, number + 1)
        ledger.close_gate(PROVIDER, f"reason {number}", until=after(hours=1), at=AT)
        ledger.record_publication(DAY, f"print {number}")
        ledger.save_wait_model(PROVIDER, model)

    race(8, note)
    assert (ledger.find_gate(PROVIDER, AT) or "").startswith("reason")
    assert ledger.find_wait_model(PROVIDER) is not None


def test_probe_is_seen_by_the_day(ledger: Ledger) -> None:
    """Probing a recording makes its day stale: the catalogue shows what was found."""
    plan_jobs(ledger, 1)
    _publish(ledger)
    later = after(seconds=5)
    facts = AudioFacts("mp3", "mp3float", 8_000, 1, 1_000)
    commit(ledger, Probed(make_audio(0).recording_id, later, facts))
    assert ledger.list_stale_days() == [DAY]
