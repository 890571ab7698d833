"""What one provider heard in one recording, in our shape: columns, not objects.

Normalisers fill a ``Transcript``; ``tables/build.py`` turns many into Arrow tables. Words are kept
as parallel lists because a call has thousands of them and an object each would cost more than
everything else together.

Times are integer milliseconds from the start of the recording, half-open ``[start_ms, end_ms)``.
None means that the provider gave no such value; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

PAUSE_MS = 1_000
"""A pause this long ends an utterance where the provider gives no turns of its own."""


@dataclass(slots=True)
class Words:
    """The smallest timed units, as columns of equal length, in order of channel-merged time."""

    start_ms: list[int] = field(default_factory=list)
    end_ms: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    confidence: list[float | None] = field(default_factory=list)
    speaker_label: list[str | None] = field(default_factory=list)
    channel: list[int | None] = field(default_factory=list)
    """0-based; None when the answer is not per channel."""
    utterance_index: list[int | None] = field(default_factory=list)
    segment_index: list[int | None] = field(default_factory=list)

    def __len__(self) -> int:
        """Count the words."""
        return len(self.text)


@dataclass(slots=True)
class Turns:
    """Segments or utterances, as columns of equal length, ordered by start."""

    start_ms: list[int] = field(default_factory=list)
    end_ms: list[int] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    confidence: list[float | None] = field(default_factory=list)
    speaker_label: list[str | None] = field(default_factory=list)
    channel: list[int | None] = field(default_factory=list)
    word_count: list[int | None] = field(default_factory=list)
    """None when the answer carries no words."""
    language: list[str | None] = field(default_factory=list)
    """Of segments alone; the list is empty when it is told only for the whole."""

    def __len__(self) -> int:
        """Count the turns."""
        return len(self.text)


INSIGHT_KINDS = (
    "entity",
    "sentiment",
    "highlight",
    "chapter",
    "summary",
    "topic",
    "content_safety",
    "pii",
    "translation",
    "understanding",
)
"""Kinds of findings; the last is for analyses that have no shape of their own here."""


@dataclass(slots=True)
class Insights:
    """What further analyses found, as columns of equal length, in the order they are numbered."""

    kind: list[str] = field(default_factory=list)
    start_ms: list[int | None] = field(default_factory=list)
    end_ms: list[int | None] = field(default_factory=list)
    speaker_label: list[str | None] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)
    score: list[float | None] = field(default_factory=list)
    payload_json: list[str | None] = field(default_factory=list)

    def __len__(self) -> int:
        """Count the findings."""
        return len(self.kind)

    def add(
        self,
        kind: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        speaker_label: str | None = None,
        label: str | None = None,
        text: str | None = None,
        score: float | None = None,
        payload_json: str | None = None,
    ) -> None:
        """Add one finding; ``kind`` is one of ``INSIGHT_KINDS``."""
        self.kind.append(kind)
        self.start_ms.append(start_ms)
        self.end_ms.append(end_ms)
        self.speaker_label.append(speaker_label)
        self.label.append(label)
        self.text.append(text)
        self.score.append(score)
        self.payload_json.append(payload_json)


@dataclass(frozen=True, slots=True)
class ToldCost:
    """What the provider itself says a job cost; ``billed_ms`` is None when it does not say."""

    micros: int
    currency: str
    billed_ms: int | None = None


@dataclass(slots=True)
class Transcript:
    """One normalised answer."""

    text: str
    words: Words
    segments: Turns
    utterances: Turns
    model: str | None = None
    language: str | None = None
    """As the provider writes it, e.g. ``en_us``."""
    language_confidence: float | None = None
    duration_ms: int | None = None
    """What the provider measured; None when it did not say."""
    confidence: float | None = None
    told_cost: ToldCost | None = None
    """None when the answer carries no price."""
    insights: Insights = field(default_factory=Insights)


def make_utterances(words: Words) -> Turns:
    """Cut words into utterances by the one rule for providers without turns, and number the words.

    A new utterance starts when the speaker or channel changes, or after a pause of at least
    ``PAUSE_MS``. Runs are formed per channel, so that overlapping speech on two channels stays two
    turns; utterances are ordered by start, then channel. Fills ``words.utterance_index``.
    """
    runs: list[list[int]] = []
    open_run: dict[int | None, list[int]] = {}
    for index in range(len(words)):
        channel = words.channel[index]
        run = open_run.get(channel)
        if (
            run is None
            or words.speaker_label[run[-1]] != words.speaker_label[index]
            or words.start_ms[index] - words.end_ms[run[-1]] >= PAUSE_MS
        ):
            run = []
            runs.append(run)
            open_run[channel] = run
        run.append(index)
    runs.sort(key=lambda run: (words.start_ms[run[0]], words.channel[run[0]] or 0))
    words.utterance_index = [None] * len(words)
    turns = Turns()
    for utterance_index, run in enumerate(runs):
        for index in run:
            words.utterance_index[index] = utterance_index
        known = [c for c in (words.confidence[index] for index in run) if c is not None]
        turns.start_ms.append(words.start_ms[run[0]])
        turns.end_ms.append(max(words.end_ms[index] for index in run))
        turns.text.append(" ".join(words.text[index] for index in run))
        turns.confidence.append(sum(known) / len(known) if known else None)
        turns.speaker_label.append(words.speaker_label[run[0]])
        turns.channel.append(words.channel[run[0]])
        turns.word_count.append(len(run))
    return turns


def join_turns(segments: Turns) -> Turns:
    """Join segments to utterances by the same rule, for answers that have no words.

    ``segments`` are ordered by start; one speaker without a pause of ``PAUSE_MS`` is one utterance.
    """
    turns = Turns()
    known: list[list[float]] = []
    for index in range(len(segments)):
        start_ms, end_ms = segments.start_ms[index], segments.end_ms[index]
        speaker, confidence = segments.speaker_label[index], segments.confidence[index]
        if turns and (
            turns.speaker_label[-1] == speaker and start_ms - turns.end_ms[-1] < PAUSE_MS
        ):
            turns.end_ms[-1] = max(turns.end_ms[-1], end_ms)
            turns.text[-1] += f" {segments.text[index]}"
        else:
            turns.start_ms.append(start_ms)
            turns.end_ms.append(end_ms)
            turns.text.append(segments.text[index])
            turns.speaker_label.append(speaker)
            turns.channel.append(None)
            turns.word_count.append(None)
            known.append([])
        if confidence is not None:
            known[-1].append(confidence)
    turns.confidence = [sum(one) / len(one) if one else None for one in known]
    return turns
