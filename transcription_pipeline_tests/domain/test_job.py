"""The state machine and the identities of jobs and attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcription_pipeline.domain.job import (
    DEAD_STATES,
    MOVES,
    AttemptState,
    Job,
    JobState,
    is_legal_move,
    job_state_after,
    make_attempt_id,
    make_job_id,
    make_options_json,
)
from transcription_pipeline.domain.recording import AudioObject, make_recording_id

# Spelled out a second time on purpose: a move added to the code must be added here by a person.
LEGAL = {
    ("intent", "sending"),
    ("intent", "abandoned"),
    ("sending", "accepted"),
    ("sending", "intent"),
    ("sending", "rejected"),
    ("sending", "ambiguous"),
    ("ambiguous", "accepted"),
    ("ambiguous", "intent"),
    ("ambiguous", "abandoned"),
    ("ambiguous", "held"),
    ("held", "accepted"),
    ("held", "abandoned"),
    ("accepted", "completed"),
    ("accepted", "failed"),
    ("accepted", "held"),
    ("completed", "stored"),
    ("completed", "bad_result"),
    ("completed", "held"),
    ("stored", "published"),
    ("stored", "bad_result"),
    ("bad_result", "stored"),
}
PAID = {"accepted", "completed", "stored", "published", "bad_result", "held", "ambiguous"}


@pytest.mark.parametrize(("before", "after"), product(AttemptState, AttemptState))
def test_every_pair_of_states(before: AttemptState, after: AttemptState) -> None:
    """Exactly the moves of the design are legal, and every other pair of states is refused."""
    assert is_legal_move(before, after) is ((before.value, after.value) in LEGAL)


def test_every_state_has_its_moves() -> None:
    """No state is missing from the table of moves."""
    assert set(MOVES) == set(AttemptState)


def test_dead_states_stay_dead() -> None:
    """From a state that frees the job for another attempt there is no way back."""
    assert all(not MOVES[state] for state in DEAD_STATES)


def test_money_keeps_an_attempt_alive() -> None:
    """A state in which money may have been spent never counts as dead."""
    assert not {state.value for state in DEAD_STATES} & PAID


@pytest.mark.parametrize(
    ("state", "job_state"),
    [
        *((s, JobState.IN_PROGRESS) for s in ("intent", "sending", "ambiguous", "accepted")),
        *((s, JobState.IN_PROGRESS) for s in ("completed", "stored", "abandoned")),
        ("held", JobState.HELD),
        ("published", JobState.PUBLISHED),
        *((s, JobState.FAILED) for s in ("bad_result", "rejected", "failed")),
    ],
)
def test_job_state_after(state: str, job_state: JobState) -> None:
    """The state of a job follows from the state of its newest attempt."""
    assert job_state_after(AttemptState(state)) is job_state


def test_options_are_canonical() -> None:
    """Order and absent options make no difference, so asking twice finds the first job."""
    first = make_options_json({"language": "en", "diarize": True, "model": None})
    assert first == make_options_json({"diarize": True, "language": "en"})
    assert first == '{"diarize":true,"language":"en"}'
    assert Job("j", "r", "p", first, "2026-11-21").options == {"diarize": True, "language": "en"}


PART = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=5)


@given(st.lists(st.tuples(PART, PART, PART), min_size=2, max_size=2, unique=True))
def test_different_wishes_are_different_jobs(wishes: list[tuple[str, str, str]]) -> None:
    """Two different recordings, providers or options never share a job."""
    assert make_job_id(*wishes[0]) != make_job_id(*wishes[1])


def test_attempts_of_a_job_are_told_apart() -> None:
    """Each attempt has its own identity of 32 hex digits, the same on every machine."""
    ids = {make_attempt_id("job", number) for number in range(1, 100)}
    assert len(ids) == 99
    assert make_attempt_id("job", 1) == "089163cde480d6220fda3fb1734c0f9a"


AUDIO = AudioObject("calls", "inbox/a.mp3", "e1", 10, datetime(2026, 11, 21, 23, 30, tzinfo=UTC))


def test_a_new_version_is_a_new_recording() -> None:
    """Bucket, key, version and size each make another recording; the time of writing does not."""
    same = AudioObject("calls", "inbox/a.mp3", "e1", 10, AUDIO.last_modified_at + timedelta(days=1))
    assert same.recording_id == AUDIO.recording_id
    others = {
        make_recording_id("other", "inbox/a.mp3", "e1", 10),
        make_recording_id("calls", "inbox/b.mp3", "e1", 10),
        make_recording_id("calls", "inbox/a.mp3", "e2", 10),
        make_recording_id("calls", "inbox/a.mp3", "e1", 11),
        AudioObject("calls", "inbox/a.mp3", "e1", 10, AUDIO.last_modified_at, "v1").recording_id,
    }
    assert len(others | {AUDIO.recording_id}) == 6
    assert all(len(i) == 32 and set(i) <= set("0123456789abcdef") for i in others)


def test_the_day_is_utc() -> None:
    """The partition is the UTC date, whatever zone the store's clock speaks in."""
    east = AUDIO.last_modified_at.astimezone(timezone(timedelta(hours=5)))
    assert AudioObject("b", "k", "e", 1, east).day.isoformat() == "2026-11-21"
