"""What the services offer a batch pipeline, offer by offer, with the test that shows it.

``python -m transcription_pipeline_tests.contract.offers README.md`` writes the table of the README
between its two marks; ``test_offers.py`` holds both to each other, and every *yes* to a test that
exists and speaks over a socket.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

BEGIN = "<!-- offers: begin -->"
END = "<!-- offers: end -->"
PROVIDERS = ("local", "assemblyai", "scriptivox", "aitronos", "plaud")
YES, NO, OPEN = "yes", "not offered", "undocumented"
Cell = tuple[str, str | None]
"""The answer and, for a yes, the test."""

_ORDER = "contract/test_offers.py::test_what_is_ordered_arrives_and_is_paid_once"
_CELL = "contract/test_contract.py::test_it_ends_as_it_must"
_SDK_EXPORTS = "emulators/test_assemblyai_sdk.py::test_the_sdk_reads_every_export"
_EXPORTS = "providers/test_aitronos_exports.py::"
_SCRIPTIVOX, _LOOKS = "providers/test_scriptivox.py::", "providers/test_aitronos_looks.py::"
_LOCAL = "providers/test_local.py::"
_BY_URL = "engine/test_one_run.py::test_the_provider_fetches_the_audio_by_signed_url"
_BY_UPLOAD = "engine/test_one_run.py::test_upload_delivery_sends_the_bytes_and_no_url"
_WEBHOOKS = "engine/test_webhooks.py::test_a_hint_shortens_the_wait"


def _row(**cells: str) -> Mapping[str, Cell]:
    """Make a row: a test's id is a yes, what is left out is not offered."""
    told = {name: cells.get(name, NO) for name in PROVIDERS}
    return {n: (told[n], None) if told[n] in (NO, OPEN) else (YES, told[n]) for n in PROVIDERS}


OFFERS: Mapping[str, Mapping[str, Cell]] = {
    # audio in
    "audio by signed URL": _row(
        assemblyai=_BY_URL,
        scriptivox="engine/test_scriptivox.py::test_the_service_fetches_the_audio_by_its_signed_url",
        aitronos="engine/test_aitronos.py::test_every_recording_is_stored_published_and_paid_once",
        plaud=OPEN,
    ),
    "audio by upload": _row(
        assemblyai=_BY_UPLOAD,
        scriptivox=f"{_SCRIPTIVOX}test_an_upload_is_pinned_streamed_and_without_our_key",
        aitronos=f"{_LOOKS}test_an_upload_gives_a_url",
        plaud="providers/test_plaud_uploads.py::test_an_upload_step_by_step",
    ),
    "part of a recording": _row(assemblyai=_ORDER),
    "least share of speech": _row(assemblyai=_ORDER),
    "voice activity filter": _row(plaud=_ORDER),
    # what was said
    "choice of language": _row(
        local=f"{_LOCAL}test_from_audio_to_transcript",
        assemblyai=_ORDER,
        scriptivox=_ORDER,
        aitronos=_ORDER,
        plaud=_ORDER,
    ),
    "language detection": _row(assemblyai=_ORDER, scriptivox=_ORDER, aitronos=_ORDER, plaud=_ORDER),
    "several languages": _row(assemblyai=_ORDER, scriptivox=OPEN, aitronos=OPEN, plaud=OPEN),
    "choice of model": _row(assemblyai=_ORDER, plaud=_ORDER),
    "key terms": _row(assemblyai=_ORDER, plaud=_ORDER),
    "prompt": _row(assemblyai=_ORDER),
    "custom spelling": _row(assemblyai=_ORDER),
    "disfluencies kept": _row(assemblyai=_ORDER),
    "profanity filter": _row(assemblyai=_ORDER),
    "timed segments": _row(**{name: f"{_CELL}[{name}: ok]" for name in PROVIDERS}),
    "timed words": _row(
        local=f"{_LOCAL}test_from_audio_to_transcript",
        assemblyai="emulators/test_assemblyai_wire.py::test_words_utterances_and_text_say_the_same",
        scriptivox=f"{_SCRIPTIVOX}test_a_job_from_submit_to_answer",
        plaud=OPEN,
    ),
    "confidence of words": _row(
        local=f"{_LOCAL}test_from_audio_to_transcript",
        assemblyai="emulators/test_assemblyai_wire.py::test_words_utterances_and_text_say_the_same",
        scriptivox=OPEN,
    ),
    # who said it
    "speakers": _row(assemblyai=_ORDER, scriptivox=_ORDER, aitronos=OPEN, plaud=_ORDER),
    "expected count of speakers": _row(assemblyai=_ORDER, scriptivox=_ORDER, aitronos=_ORDER),
    "channels": _row(local=f"{_LOCAL}test_from_audio_to_transcript", assemblyai=_ORDER),
    "voice embeddings": _row(plaud=_ORDER),
    # what it means
    "sentiment": _row(
        assemblyai="engine/test_assemblyai_analyses.py::test_insights_come_out_of_a_query",
        aitronos=OPEN,
    ),
    "entities": _row(
        assemblyai="engine/test_assemblyai_analyses.py::test_insights_come_out_of_a_query",
        aitronos=OPEN,
    ),
    "highlights": _row(
        assemblyai="engine/test_assemblyai_analyses.py::test_insights_come_out_of_a_query",
        aitronos=OPEN,
    ),
    "summary": _row(
        assemblyai="engine/test_assemblyai_analyses.py::test_insights_come_out_of_a_query",
        aitronos=OPEN,
    ),
    "chapters": _row(assemblyai=_ORDER, plaud=OPEN),
    "topics": _row(assemblyai=_ORDER),
    "content safety": _row(assemblyai=_ORDER),
    # what must not be seen
    "PII redaction": _row(
        assemblyai="engine/test_assemblyai_analyses.py::test_what_was_redacted_stays_out_of_every_table",
        aitronos=_ORDER,
    ),
    "unredacted text besides": _row(
        assemblyai="emulators/test_assemblyai_wire.py::test_redaction_hides_words_and_keeps_them_on_request"
    ),
    "redacted audio": _row(
        assemblyai="engine/test_assemblyai_analyses.py::test_redacted_audio_comes_to_the_lake",
        aitronos=f"{_EXPORTS}test_redacted_audio_is_not_enabled_pending_or_available",
    ),
    "deletion": _row(
        local=f"{_LOCAL}test_the_spool_is_the_witness",
        assemblyai="engine/test_decisions.py::test_an_erasure_leaves_money_and_a_tombstone",
        scriptivox=f"{_SCRIPTIVOX}test_delete_is_confirmed_and_final",
        aitronos=f"{_LOOKS}test_a_deleted_job_is_gone",
    ),
    # jobs
    "idempotent submit": _row(
        local=f"{_LOCAL}test_submitting_again_finds_the_answer",
        scriptivox=f"{_SCRIPTIVOX}test_the_key_is_the_attempt_and_a_replay_is_the_same_job",
        plaud=OPEN,
    ),
    "list of jobs": _row(
        assemblyai="engine/test_submit_faults.py::test_a_job_whose_answer_was_lost_is_found_and_not_sent_again",
        scriptivox=f"{_SCRIPTIVOX}test_the_list_shows_who_is_done_and_who_needs_a_look",
        aitronos="engine/test_aitronos.py::test_a_lost_answer_is_found_in_the_list",
    ),
    "cancel": _row(scriptivox=f"{_SCRIPTIVOX}test_cancel_gives_the_reservation_back"),
    "webhooks": _row(assemblyai=_WEBHOOKS, scriptivox=_WEBHOOKS, aitronos=_WEBHOOKS),
    "reason of a failure": _row(
        local=f"{_LOCAL}test_what_will_never_do_is_rejected",
        assemblyai=f"{_CELL}[assemblyai: job failed]",
        scriptivox=f"{_CELL}[scriptivox: job failed]",
        aitronos=OPEN,
        plaud=OPEN,
    ),
    "choice of region": _row(
        assemblyai="contract/test_offers.py::test_the_region_is_kept_with_the_attempt",
        plaud="contract/test_offers.py::test_the_region_is_kept_with_the_attempt",
    ),
    # exports
    "captions as SRT": _row(
        assemblyai=_SDK_EXPORTS,
        scriptivox=f"{_SCRIPTIVOX}test_exports_are_the_service_s_own",
        aitronos=f"{_EXPORTS}test_captions_are_the_service_s_own",
    ),
    "captions as VTT": _row(
        assemblyai=_SDK_EXPORTS,
        scriptivox=f"{_SCRIPTIVOX}test_exports_are_the_service_s_own",
        aitronos=f"{_EXPORTS}test_captions_are_the_service_s_own",
    ),
    "plain text": _row(
        scriptivox=f"{_SCRIPTIVOX}test_exports_are_the_service_s_own",
        aitronos=f"{_EXPORTS}test_captions_are_the_service_s_own",
    ),
    "sentences": _row(
        assemblyai=_SDK_EXPORTS, aitronos=f"{_LOOKS}test_every_sentence_is_collected"
    ),
    "paragraphs": _row(
        assemblyai=_SDK_EXPORTS, aitronos=f"{_EXPORTS}test_paragraphs_cover_the_transcript"
    ),
    "search in a transcript": _row(
        assemblyai=_SDK_EXPORTS, aitronos=f"{_EXPORTS}test_a_phrase_is_found_where_it_was_said"
    ),
    # money
    "cost told with the answer": _row(
        scriptivox="engine/test_scriptivox.py::test_the_price_is_the_one_the_service_tells",
        aitronos="providers/test_aitronos.py::test_a_job_is_charged_once_when_it_is_accepted",
    ),
    "credit told": _row(
        scriptivox=f"{_SCRIPTIVOX}test_the_balance_is_exact_cents", aitronos=OPEN, plaud=OPEN
    ),
}
"""Offer → provider → answer and test."""


def make_table() -> str:
    """Return the offers as a Markdown table."""
    lines = [f"| | {' | '.join(f'`{name}`' for name in PROVIDERS)} |", "|---" * 6 + "|"]
    for offer, cells in OFFERS.items():
        lines.append(f"| {offer} | {' | '.join(cells[name][0] for name in PROVIDERS)} |")
    return "\n".join(lines) + "\n"


def put_into(text: str) -> str:
    """Return ``text`` with the table between the marks; raises ``ValueError`` without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the marks of the offers are missing")
    return f"{before}{BEGIN}\n{make_table()}{END}{after}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(put_into(file.read_text("utf-8")), "utf-8")
