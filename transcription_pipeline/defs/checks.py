"""Asset checks: true sentences about what was materialised.

Each asks ``analytics/soundness.py`` or the ledger and reports numbers; none of them shows a word of
what was said.
"""

from collections.abc import Callable, Sequence

import dagster as dg

from transcription_pipeline.analytics import soundness
from transcription_pipeline.analytics.soundness import Finding
from transcription_pipeline.defs.partitions import Partitions, read_key
from transcription_pipeline.defs.resources import LakeResource, LedgerResource
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.settings import Settings
from transcription_pipeline.storage.objects import ObjectStore

Look = Callable[[ObjectStore, Ledger, str, str], Finding]


def build_checks(settings: Settings, partitions: Partitions) -> Sequence[dg.AssetChecksDefinition]:
    """Build every check."""
    caps: dict[str, int] = {
        str(name): budget.per_day.micros for name, budget in settings.budgets.items()
    }

    def spend_is_within_budget(_: ObjectStore, ledger: Ledger, day: str, provider: str) -> Finding:
        """What attempts of the day cost and reserve is covered by the provider's budget."""
        return soundness.compare_spend(ledger.read_jobs(), provider, day, caps.get(provider))

    looks: list[tuple[str, Look, bool]] = [
        ("transcripts", every_published_job_has_its_row, True),
        ("words", words_are_in_order, True),
        ("words", every_word_is_inside_its_recording, True),
        ("transcription_jobs", nothing_is_past_its_deadline, True),
        ("transcription_jobs", no_recording_is_missing, True),
        ("transcription_jobs", spend_is_within_budget, True),
        ("utterances", providers_agree_roughly, False),
    ]
    return [_build(partitions, asset, look, is_error) for asset, look, is_error in looks]


def _build(
    partitions: Partitions, asset: str, look: Look, is_error: bool
) -> dg.AssetChecksDefinition:
    severity = dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN

    @dg.asset_check(
        asset=asset,
        name=look.__name__,
        description=look.__doc__,
        partitions_def=partitions.days_and_providers,
    )
    def check(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, ledger: LedgerResource
    ) -> dg.AssetCheckResult:
        day, provider = read_key(context.partition_key)
        opened = ledger.open()
        finding = look(lake.open(), opened, day, provider)
        opened.close()
        return dg.AssetCheckResult(
            passed=finding.is_well, metadata=dict(finding.numbers), severity=severity
        )

    return check


def every_published_job_has_its_row(
    lake: ObjectStore, ledger: Ledger, day: str, provider: str
) -> Finding:
    """The rows of the transcripts table are the published recordings of the ledger."""
    return soundness.compare_rows(lake, ledger.read_jobs(day), day, provider)


def words_are_in_order(lake: ObjectStore, ledger: Ledger, day: str, provider: str) -> Finding:
    """No word starts before the word in front of it."""
    del ledger
    return soundness.find_words_out_of_order(lake, day, provider)


def every_word_is_inside_its_recording(
    lake: ObjectStore, ledger: Ledger, day: str, provider: str
) -> Finding:
    """No word ends later than its recording, give or take a second."""
    lengths = {r["recording_id"]: r["duration_ms"] for r in ledger.read_recordings(day)}
    return soundness.find_words_outside(lake, lengths, day, provider)


def nothing_is_past_its_deadline(
    lake: ObjectStore, ledger: Ledger, day: str, provider: str
) -> Finding:
    """No job is still in progress after the instant it was to be finished by."""
    del lake
    return soundness.find_overdue(ledger.read_jobs(day), provider)


def no_recording_is_missing(lake: ObjectStore, ledger: Ledger, day: str, provider: str) -> Finding:
    """Every recording that was routed to a provider has a job there."""
    del lake, day, provider
    unaccounted = ledger.count_states()["unaccounted"]
    return Finding(unaccounted == 0, {"unaccounted": unaccounted})


def providers_agree_roughly(lake: ObjectStore, ledger: Ledger, day: str, provider: str) -> Finding:
    """The providers heard about as many words in the same recordings."""
    del ledger
    return soundness.compare_word_counts(lake, day, provider)
