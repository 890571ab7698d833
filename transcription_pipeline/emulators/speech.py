"""Where an emulated service gets its words from: really recognised audio, or a script.

``Speech`` is what somebody said, in no vendor's shape; each service formats, punctuates and labels
it by its vendor's rules. A script is made from the URL's path alone, so that the same recording
always says the same, and costs almost nothing, so that the bench measures the pipeline; recognition
is the local recogniser's (``transcription_pipeline.audio.recognise``).
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import math
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

import msgspec

from transcription_pipeline.emulators.backstage import seed_of

if TYPE_CHECKING:
    from transcription_pipeline.audio.recognise import Recognition

_SENTENCE_WORDS = 12
"""The recogniser hears no full stops; a turn is cut into sentences of at most this many words."""
_WORDS_PER_S = 2.4
_SMALL_TALK = (
    "good morning this is anna from the delivery office in london how can i help you today i am "
    "calling about the parcel that should have come on monday it was sent to the wrong street and "
    "nobody called me back could you please tell me where it is now let me look that up for you "
    "the driver was there at nine but there was no answer at the door so it went back to the depot "
    "can we bring it tomorrow between eight and twelve that would be fine thank you very much is "
    "there anything else i can do for you no that was all have a nice day and goodbye yes of course "
    "we are sorry for the trouble john will send a message when the van leaves berlin on friday "
    "maybe another time suits you better what about the second invoice it says forty pounds more "
    "than we agreed last week i understand and will pass that on to our accounts team right away"
)
_VOCABULARY = _SMALL_TALK.split()


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word, lower-case and without punctuation; times in milliseconds, half-open."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    ends_sentence: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What one voice said without being interrupted."""

    voice: int
    """0-based; a voice of a script, or of a recognised recording its channel or a guess."""
    channel: int
    """0-based audio channel."""
    words: tuple[SpokenWord, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """What was said in one recording, turns ordered by start."""

    duration_ms: int
    channel_count: int
    turns: tuple[Turn, ...]


class SpeechSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How an emulator comes by its words, and how long it takes over them."""

    speech: Literal["scripted", "recognised"] = "scripted"
    """Where words come from: a script, or the local recogniser, as ``tp emulate`` starts."""
    fetch_audio: bool = False
    """Whether scripted jobs fetch the audio too; recognised ones always do."""
    word_count: int | None = None
    """Words per scripted transcript; None: as many as the audio has room for."""
    audio_s: float | None = None
    """Length of scripted audio; None: the URL's ``x-tp-audio-s``, else drawn around five minutes."""
    channels: int = 2
    """Channels of scripted audio; voices alternate between them."""
    pool: int = 256
    """Different scripted transcripts before they repeat; more cost more to render."""
    workers: int = 1
    """Recogniser processes."""
    heard: str = ""
    """Folder for what was recognised, by the audio's hash, that several emulators may share."""
    job_time: Literal["fixed", "lognormal"] = "fixed"
    """Whether all jobs take the same time."""
    job_s: float = 0.5
    """Time per job if fixed; recognition that takes longer takes longer."""
    # T = 8 s x LN(0, .2) + 0.03 x audio x LN(0, .25): the job times the bench is compared at.
    job_base_s: float = 8.0
    """Log-normal: the median of what each job takes."""
    job_base_sigma: float = 0.2
    """Log-normal: its spread."""
    job_per_audio_s: float = 0.03
    """Log-normal: the median of what each second of audio takes on top."""
    job_per_audio_sigma: float = 0.25
    """Log-normal: its spread."""

    @property
    def looks_at_audio(self) -> bool:
        """Whether anybody reads the audio: then it is fetched, and uploads are kept."""
        return self.fetch_audio or self.speech == "recognised"


@dataclass(frozen=True, slots=True)
class Script:
    """The seed of a scripted transcript: small, comparable, and enough to speak it."""

    seed: int
    duration_ms: int
    word_count: int
    channel_count: int

    def speak(self) -> Speech:
        """Say it, the same every time."""
        return _speak(self)


def make_script(audio_url: str, settings: SpeechSettings, *, duration_ms: int | None) -> Script:
    """Decide what a recording says, from its URL's path.

    Args:
        audio_url: Only the path and ``x-tp-audio-s`` matter; a fresh signature changes nothing.
        settings: Word count, length and channels where they are prescribed.
        duration_ms: The real length of the audio, if it was looked at.
    """
    parts = urlsplit(audio_url)
    seed = seed_of(parts.path) % max(1, settings.pool)
    if duration_ms is None:
        told = parse_qs(parts.query).get("x-tp-audio-s")
        if told:
            seconds = float(told[0])
        elif settings.audio_s is not None:
            seconds = settings.audio_s
        else:
            # Calls of five minutes, most between two and twelve.
            seconds = random.Random(seed).lognormvariate(math.log(300), 0.5)  # noqa: S311
        duration_ms = round(seconds * 1000)
    room = int(duration_ms / 1000 * _WORDS_PER_S)
    count = room if settings.word_count is None else settings.word_count
    return Script(seed, duration_ms, count, settings.channels)


def draw_job_s(identity: str, duration_ms: int, settings: SpeechSettings) -> float:
    """Draw how long the service works on one job, the same for the same identity."""
    if settings.job_time == "fixed":
        return settings.job_s
    chance = random.Random(seed_of(identity))  # noqa: S311 - reproducible, not secret
    base = settings.job_base_s * chance.lognormvariate(0, settings.job_base_sigma)
    per_audio = settings.job_per_audio_s * chance.lognormvariate(0, settings.job_per_audio_sigma)
    return base + per_audio * duration_ms / 1000


@lru_cache(maxsize=32)
def _speak(script: Script) -> Speech:
    """Lay sentences out in time, then squeeze them into the recording if they are too long."""
    chance = random.Random(script.seed)  # noqa: S311 - reproducible, not secret
    turns: list[tuple[int, list[tuple[str, float, float, float, bool]]]] = []
    clock_ms, left, voice = 200.0, script.word_count, 0
    while left > 0:
        words: list[tuple[str, float, float, float, bool]] = []
        for _ in range(chance.randint(1, 3)):
            length = min(left, chance.randint(3, 11))
            first = chance.randrange(len(_VOCABULARY))
            for index in range(length):
                text = _VOCABULARY[(first + index) % len(_VOCABULARY)]
                end_ms = clock_ms + 90 + 52 * len(text)
                confidence = round(1 - chance.random() ** 3 * 0.6, 5)
                words.append((text, clock_ms, end_ms, confidence, index == length - 1))
                clock_ms = end_ms + 20 + 100 * chance.random()
            clock_ms += 150 + 250 * chance.random()
            left -= length
            if left == 0:
                break
        turns.append((voice, words))
        clock_ms += 200 + 400 * chance.random()
        voice = 1 - voice
    pace = min(1.0, max(1.0, script.duration_ms - 50) / max(clock_ms, 1.0))
    return Speech(
        script.duration_ms,
        script.channel_count,
        tuple(
            Turn(
                voice,
                voice % script.channel_count,
                tuple(
                    SpokenWord(text, int(start * pace), int(end * pace), confidence, is_last)
                    for text, start, end, confidence, is_last in words
                ),
            )
            for voice, words in turns
        ),
    )


def speech_from(recognition: Recognition) -> Speech:
    """Take over what the recogniser heard.

    Several channels are several voices. One channel is given two alternating voices, turn by turn,
    because an emulator cannot tell voices apart.
    """
    turns: list[Turn] = []
    several = len(recognition.channels) > 1
    for channel, heard in enumerate(recognition.channels):
        for number, turn in enumerate(heard.turns):
            words = tuple(
                SpokenWord(
                    word.text,
                    word.start_ms,
                    word.end_ms,
                    round(word.confidence, 5),
                    _ends(index, len(turn.words)),
                )
                for index, word in enumerate(turn.words)
            )
            if words:
                turns.append(Turn(channel if several else number % 2, channel, words))
    turns.sort(key=lambda turn: (turn.words[0].start_ms, turn.channel))
    return Speech(recognition.duration_ms, len(recognition.channels), tuple(turns))


def _ends(index: int, count: int) -> bool:
    return index == count - 1 or index % _SENTENCE_WORDS == _SENTENCE_WORDS - 1


class Recogniser:
    """The local recogniser, started when it is first needed."""

    def __init__(self) -> None:
        self._pool: object | None = None

    async def hear(self, path: Path, settings: SpeechSettings) -> Speech:
        """Recognise one file. Raises ``AudioError`` for what is not audio."""
        if not settings.heard:
            return speech_from(await self._recognise(path, settings))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        kept = Path(settings.heard) / f"{digest}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.with_suffix(".lock").open("wb") as lock:
            while not kept.exists():
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:  # another emulator is at it
                    await asyncio.sleep(0.1)
                    continue
                speech = speech_from(await self._recognise(path, settings))
                scratch = kept.with_suffix(".new")
                scratch.write_bytes(msgspec.json.encode(speech))
                scratch.replace(kept)
        return msgspec.json.decode(kept.read_bytes(), type=Speech)

    async def _recognise(self, path: Path, settings: SpeechSettings) -> Recognition:
        from transcription_pipeline.audio.recognise import RecogniserPool

        if self._pool is None:
            self._pool = RecogniserPool(max_workers=settings.workers)
        assert isinstance(self._pool, RecogniserPool)
        return await self._pool.recognise(path)

    def close(self) -> None:
        """End the recogniser's processes."""
        close = getattr(self._pool, "close", None)
        if close is not None:
            close()
        self._pool = None
