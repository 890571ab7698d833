"""Opening audio with PyAV: which containers are let in, and what a refusal means.

What belongs here: the list of demuxers and the translation of FFmpeg's errors. What does not:
reading anything beyond the header. ``probe.py`` and ``decode.py`` call it; it is the one place
that opens a container.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import av
import av.error

from transcription_pipeline.domain.recording import QuarantineReason
from transcription_pipeline.errors import AudioError

# FFmpeg recognises far more than audio: playlists that open other files, subtitles, pictures, text
# art. Only what can be a recording is let in, whatever the object is called.
_DEMUXERS = (
    "wav,w64,aiff,au,caf,flac,ogg,mp3,aac,ac3,eac3,amr,asf,"
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,flv,wv,ape,tta"
)


class SeekableBytes(Protocol):
    """As much of a binary file as FFmpeg needs."""

    def read(self, length: int = -1, /) -> bytes:
        """Return the next bytes."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a position."""
        ...

    def tell(self) -> int:
        """Return the position."""
        ...


@contextmanager
def open_audio(source: str | SeekableBytes) -> Iterator[av.container.InputContainer]:
    """Open a container that has an audio stream with samples in it; close it afterwards.

    Raises:
        AudioError: Terminal. ``not_audio`` or ``no_audio_stream``.
    """
    try:
        container = av.open(source, mode="r", options={"format_whitelist": _DEMUXERS})
    except (av.error.FileNotFoundError, av.error.PermissionError):
        raise  # says something of this machine, nothing of the recording
    except (av.error.FFmpegError, ValueError) as error:
        detail = f"no audio container recognised ({type(error).__name__})"
        raise AudioError(QuarantineReason.NOT_AUDIO, detail) from error
    with container:
        if not container.streams.audio:
            detail = f"{container.format.name} without an audio stream"
            raise AudioError(QuarantineReason.NO_AUDIO_STREAM, detail)
        stream = container.streams.audio[0]
        # FFmpeg guesses "mp3" from a few lucky bytes; then it finds no rate or no channels.
        if not stream.codec_context or not stream.sample_rate or not stream.channels:
            detail = f"{container.format.name} with an audio stream that cannot be decoded"
            raise AudioError(QuarantineReason.NOT_AUDIO, detail)
        yield container
