"""One pure module per provider: raw answer in, ``Transcript`` out, nothing fetched or guessed."""

from collections.abc import Callable, Mapping

from transcription_pipeline.domain.transcript import Transcript
from transcription_pipeline.normalise import aitronos, assemblyai, local, scriptivox

NORMALISERS: Mapping[str, Callable[[bytes], Transcript]] = {
    "aitronos": aitronos.normalise,
    "assemblyai": assemblyai.normalise,
    "local": local.normalise,
    "scriptivox": scriptivox.normalise,
}
"""Provider → what reads its raw answers; raises ``NormaliseError``."""
