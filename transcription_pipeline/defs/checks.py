"""Asset checks: true sentences about what was materialised.

Each asks ``analytics/soundness.py`` or the ledger and reports numbers; none of them shows a word of
what was said. They run in the op that made the asset, right after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import dagster as dg

from transcription_pipeline.analytics import soundness
from transcription_pipeline.analytics.soundness import Finding
from transcription_pipeline.tools import Tools

Look = Callable[[Tools, str, str], Finding]


def make_check_specs(assets: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """Return the checks of these assets, for the op that makes them."""
    return [
        dg.AssetCheckSpec(look.__name__, asset=asset, description=look.__doc__)
        for asset in assets
        for look in CHECKS.get(asset, ())
    ]


def check_asset(
    context: dg.AssetExecutionContext, asset: str, tools: Tools, day: str, provider: str
) -> Iterator[dg.AssetCheckResult]:
    """Check one asset of one partition, as far as the run was asked to."""
    for look in CHECKS.get(asset, ()):
        key = dg.AssetCheckKey(dg.AssetKey(asset), look.__name__)
        if key not in context.selected_asset_check_keys:
            continue
        finding = look(tools, day, provider)
        is_warning = look is providers_agree_roughly
        yield dg.AssetCheckResult(
            passed=finding.is_well,
            asset_key=asset,
            check_name=look.__name__,
            metadata=dict(finding.numbers),
            severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
        )


def every_published_job_has_its_row(tools: Tools, day: str, provider: str) -> Finding:
    """The rows of the transcripts table are the published recordings of the ledger."""
    return soundness.compare_rows(tools.lake, tools.ledger.read_jobs(day), day, provider)


def words_are_in_order(tools: Tools, day: str, provider: str) -> Finding:
    """No word starts before the word in front of it."""
    return soundness.find_words_out_of_order(tools.lake, day, provider)


def every_word_is_inside_its_recording(tools: Tools, day: str, provider: str) -> Finding:
    """No word ends later than its recording, give or take a second."""
    lengths = {r["recording_id"]: r["duration_ms"] for r in tools.ledger.read_recordings(day)}
    return soundness.find_words_outside(tools.lake, lengths, day, provider)


def nothing_is_past_its_deadline(tools: Tools, day: str, provider: str) -> Finding:
    """No job is still in progress after the instant it was to be finished by."""
    return soundness.find_overdue(tools.ledger.read_jobs(day), provider)


def no_recording_is_missing(tools: Tools, day: str, provider: str) -> Finding:
    """Every recording that was routed to a provider has a job there."""
    del day, provider
    unaccounted = tools.ledger.count_states()["unaccounted"]
    return Finding(unaccounted == 0, {"unaccounted": unaccounted})


def spend_is_within_budget(tools: Tools, day: str, provider: str) -> Finding:
    """What attempts of the day cost and reserve is covered by the provider's budget."""
    cap = tools.limits[provider].cap_micros
    return soundness.compare_spend(tools.ledger.read_jobs(), provider, day, cap)


def providers_agree_roughly(tools: Tools, day: str, provider: str) -> Finding:
    """The providers heard about as many words in the same recordings."""
    return soundness.compare_word_counts(tools.lake, day, provider)


CHECKS: Mapping[str, tuple[Look, ...]] = {
    "transcription_jobs": (
        nothing_is_past_its_deadline,
        no_recording_is_missing,
        spend_is_within_budget,
    ),
    "transcripts": (every_published_job_has_its_row,),
    "utterances": (providers_agree_roughly,),
    "words": (words_are_in_order, every_word_is_inside_its_recording),
}
"""Asset → what must hold once it was materialised."""
