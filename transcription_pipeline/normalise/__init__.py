"""One pure module per provider: raw answer in, ``Transcript`` out, nothing fetched or guessed."""

from collections.abc import Callable, Mapping

from transcription_pipeline.domain.transcript import Transcript
from transcription_pipeline.normalise import aitronos, assemblyai, local, plaud, scriptivox
from transcription_pipeline.normalise.assemblyai_answer import FIELDS as ASSEMBLYAI_FIELDS
from transcription_pipeline.normalise.decoding import list_unknown

NORMALISERS: Mapping[str, Callable[[bytes], Transcript]] = {
    "aitronos": aitronos.normalise,
    "assemblyai": assemblyai.normalise,
    "local": local.normalise,
    "plaud": plaud.normalise,
    "scriptivox": scriptivox.normalise,
}
"""Provider → what reads its raw answers; raises ``NormaliseError``."""

_KNOWN: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "aitronos": (aitronos.FIELDS, ("transcription", "data")),
    "assemblyai": (ASSEMBLYAI_FIELDS, ()),
    "local": (local.FIELDS, ()),
    "plaud": (plaud.FIELDS, ("data",)),
    "scriptivox": (scriptivox.FIELDS, ()),
}


def find_unknown_fields(provider: str, body: bytes) -> tuple[str, ...]:
    """Name the fields of an answer that our reading of the contract does not know, never a value."""
    known, path = _KNOWN.get(provider, (None, ()))
    return () if known is None else list_unknown(body, known, path)
