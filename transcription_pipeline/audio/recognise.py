"""What is said in a recording, by pocketsphinx: turns and words with times, channel by channel.

What belongs here: a whole file, in this process or in child processes. What does not: hearing one
channel (``listener.py``), the wire shape of an answer (``providers/local.py``, the emulators) and
speakers, which are the callers' reading of channels.

Measured on clean synthetic speech: 4-8 % word errors; on clean read speech 20-30 %. Good enough to
show real words without an account or a network, not a rival of the paid providers.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import resource
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from transcription_pipeline.audio.decode import SAMPLE_RATE_HZ, decode_channels
from transcription_pipeline.audio.listener import ChannelListener, RecognisedTurn
from transcription_pipeline.errors import AudioError, TranscriptionPipelineError

ENGINE = f"pocketsphinx {version('pocketsphinx')}"
LANGUAGE = "en_us"

# A hostile file must not take the machine down. A stereo recording of 13 s peaks at 0.4 GiB of
# address space (0.16 GiB in use); the rest is room for long stretches and more channels.
_CHILD_ADDRESS_SPACE_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class ChannelRecognition:
    """What one channel says, its turns in order and without overlap."""

    channel: int
    turns: tuple[RecognisedTurn, ...]


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a recording says: one entry per channel, also for silent ones."""

    engine: str
    duration_ms: int
    channels: tuple[ChannelRecognition, ...]


def recognise(path: Path) -> Recognition:
    """Recognise every channel of a local audio file.

    Deterministic: the same bytes give the same answer, whatever was recognised before. Holds the
    GIL for about a tenth of the audio's duration per channel, so an event loop asks a
    ``RecogniserPool`` instead.

    Raises:
        AudioError: Terminal. The file cannot be decoded.
        OSError: The file cannot be read.
    """
    listeners: list[ChannelListener] = []
    sample_count = 0
    for block in decode_channels(path):
        if not listeners:
            listeners = [ChannelListener() for _ in range(block.shape[0])]
        sample_count += block.shape[1]
        for listener, samples in zip(listeners, block, strict=True):
            listener.hear(samples)
    duration_ms = sample_count * 1_000 // SAMPLE_RATE_HZ
    channels = tuple(
        ChannelRecognition(channel, listener.finish(duration_ms))
        for channel, listener in enumerate(listeners)
    )
    return Recognition(ENGINE, duration_ms, channels)


class RecogniserDied(TranscriptionPipelineError):
    """Transient. Two child processes in a row died over one recording, or were killed."""

    is_transient = True

    def __init__(self) -> None:
        super().__init__("the recogniser's process died twice; killed for lack of memory?")


class RecogniserPool:
    """Child processes that recognise, one recording each at a time.

    A killed child takes the executor with it and every recording in it; each of them is tried once
    more in a new executor. Children end with this process, however it ends.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.process_count = max_workers or os.cpu_count() or 1
        self._executor: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    async def recognise(self, path: Path) -> Recognition:
        """Recognise a local file without blocking the loop.

        Raises:
            AudioError: Terminal. The file cannot be decoded.
            RecogniserDied: Transient. The child died, and so did its successor.
            OSError: The file cannot be read.

        Safe to repeat:
            Yes; the same bytes give the same answer.
        """
        for _ in range(2):
            executor = self._get_executor()
            try:
                answer = await asyncio.wrap_future(executor.submit(_recognise_in_child, path))
            except BrokenProcessPool:
                self._discard(executor)
                continue
            if isinstance(answer, Recognition):
                return answer
            raise AudioError(*answer)
        raise RecogniserDied

    def close(self) -> None:
        """End the children; a recording in work is finished first, those waiting are dropped."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def _get_executor(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ProcessPoolExecutor(
                    self.process_count,
                    # A forked child would inherit locks and sockets of a running event loop.
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_prepare_child,
                )
            return self._executor

    def _discard(self, broken: ProcessPoolExecutor) -> None:
        """Forget a broken executor, unless another recording has replaced it already."""
        with self._lock:
            if self._executor is broken:
                self._executor = None
        broken.shutdown(wait=False, cancel_futures=True)


def _recognise_in_child(path: Path) -> Recognition | tuple[str, str]:
    """Recognise, returning an ``AudioError`` as its parts.

    An exception crosses the process boundary by being built again from its message alone, and one
    whose constructor wants more takes the whole executor down.
    """
    try:
        return recognise(path)
    except AudioError as error:
        return error.reason, error.detail


def _prepare_child() -> None:
    """Limit this child's memory, and end it when its parent is gone.

    A thread waits for the parent. The kernel's own signal on a parent's death would be simpler, but
    it fires when the *thread* that started the child ends, which in an application is no death.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _CHILD_ADDRESS_SPACE_BYTES
    soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    threading.Thread(target=_exit_with_parent, name="exit-with-parent", daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)  # nothing here is worth an orderly end: no file, no connection
