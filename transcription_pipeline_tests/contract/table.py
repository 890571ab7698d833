"""What may happen between us and a provider, and how each of it must end: rows × five providers.

Ends are from the rules, not from what the code happens to do: a doubt about money is cleared up by
what the provider offers for it, or held; what the provider failed at no cost may be tried again; a
look that fails moves nothing; whatever never ends is held at its deadline. ``test_contract.py``
plays every cell; what an emulator is told for it is in ``troubles.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from transcription_pipeline_tests.contract import troubles
from transcription_pipeline_tests.contract.troubles import Act, nothing

PROVIDERS = ("aitronos", "assemblyai", "local", "plaud", "scriptivox")


@dataclass(frozen=True)
class End:
    """How a cell ends."""

    state: str
    """``published``, ``failed``, ``held``, ``gated`` (in progress until a person acts, and then
    published), or ``never`` where the row cannot happen."""
    cause: str | None = None
    """The job's cause, the gate's reason, or why it cannot happen."""


@dataclass(frozen=True)
class Row:
    """One thing that may happen."""

    ends: Mapping[str, End]
    arrange: Act = nothing
    """What goes wrong, before the first run."""
    later: Act = nothing
    """What changes after the first run."""
    waits: bool = False
    """After the first run the job is in progress until a stated deadline."""


PUBLISHED = End("published")
NO_HTTP = End("never", "nothing is asked of anybody: it works in this process")


def failed(cause: str) -> End:
    """End failed."""
    return End("failed", cause)


def held(cause: str) -> End:
    """End held, for a person to decide."""
    return End("held", cause)


def _row(
    aitronos: End,
    assemblyai: End,
    local: End,
    plaud: End,
    scriptivox: End,
    arrange: Act = nothing,
    later: Act = nothing,
    *,
    waits: bool = False,
) -> Row:
    ends = (aitronos, assemblyai, local, plaud, scriptivox)
    return Row(dict(zip(PROVIDERS, ends, strict=True)), arrange, later, waits)


def _paid(end: End, arrange: Act, later: Act = nothing, *, waits: bool = False) -> Row:
    """Make a row that all services share and that has no meaning in this process."""
    return _row(end, end, NO_HTTP, end, end, arrange, later, waits=waits)


def _taken(arrange: Act) -> Row:
    # A list shows the job by its token, a replayed key names it; Plaud has neither.
    return _row(PUBLISHED, PUBLISHED, NO_HTTP, held("maybe_charged_ask_plaud"), PUBLISHED, arrange)


def _not_taken(arrange: Act) -> Row:
    # Aitronos charges when it accepts, so that absence from its list proves nothing about money.
    in_no_list = held("maybe_charged_check_synapse_transactions")
    return _row(in_no_list, PUBLISHED, NO_HTTP, held("maybe_charged_ask_plaud"), PUBLISHED, arrange)


def _look(end: End, **rule: object) -> Row:
    """Make a row of looks that all fail during the first run."""
    return _paid(end, troubles.slow_and(troubles.looks(**rule)), troubles.heal, waits=True)


def _stuck(arrange: Act) -> Row:
    at_deadline = held("stuck_past_deadline")
    by_watchdog = failed("provider_timeout")  # Scriptivox ends jobs after 45 minutes itself
    return _row(at_deadline, at_deadline, NO_HTTP, at_deadline, by_watchdog, arrange, waits=True)


_UNREADABLE = held("unreadable_past_deadline")
_AUTH, _FUNDS = End("gated", "auth"), End("gated", "funds")
_status: Callable[..., Act] = troubles.submit_status
_RETRY_AFTER = {"headers": {"Retry-After": "1"}}

ROWS: Mapping[str, Row] = {
    "ok": _row(*[PUBLISHED] * 5, troubles.speak),
    "slow": _row(*[PUBLISHED] * 5, troubles.slow, troubles.heal, waits=True),
    "silent audio": _row(*[PUBLISHED] * 5, troubles.say_nothing),
    "401 on submit": _paid(_AUTH, _status(401), troubles.heal),
    "402 on submit": _paid(_FUNDS, _status(402), troubles.heal),
    "429 with a time on submit": _paid(PUBLISHED, _status(429, times=1, **_RETRY_AFTER)),
    "429 without on submit": _paid(PUBLISHED, _status(429, times=1)),
    "5xx on submit, taken": _taken(_status(502, times=1, act=True)),
    "5xx on submit, not taken": _not_taken(_status(502, times=1)),
    "HTML page on submit": _taken(troubles.submits(action="html", times=1)),
    "redirect on submit": _not_taken(troubles.submits(action="redirect", times=1)),
    "cut body on submit": _taken(troubles.submits(action="truncate", times=1)),
    "401 on a look": _look(_AUTH, action="status", status=401),
    "402 on a look": _look(PUBLISHED, action="status", status=402),
    "429 with a time on a look": _look(PUBLISHED, action="status", status=429, **_RETRY_AFTER),
    "429 without on a look": _look(PUBLISHED, action="status", status=429),
    "5xx on a look": _look(PUBLISHED, action="status", status=502),
    "HTML page on a look": _look(PUBLISHED, action="html"),
    "HTML page on every look": _paid(
        _UNREADABLE, troubles.slow_and(troubles.looks(action="html")), waits=True
    ),
    "redirect on a look": _look(PUBLISHED, action="redirect"),
    "cut body on a look": _row(
        *[PUBLISHED] * 2,
        failed("bad_result"),  # an answer in the spool is all there is, and it is kept
        *[PUBLISHED] * 2,
        troubles.cut_looks,
        troubles.heal,
        waits=True,
    ),
    "job failed": _row(
        failed("provider_error_refunded"),
        failed("provider_server_error"),  # free, so it was tried three times
        failed("not_audio"),
        failed("provider_error"),  # perhaps paid, so it was tried once
        failed("provider_processing_error"),
        troubles.fail_jobs,
    ),
    "unknown id": _row(
        *[held("job_unknown_to_provider")] * 2,
        PUBLISHED,  # free, so it is done again
        *[held("job_unknown_to_provider")] * 2,
        troubles.accept_only,
        troubles.forget,
        waits=True,
    ),
    "unknown status": _stuck(troubles.submits(action="unknown_status", is_final=True)),
    "stuck": _stuck(troubles.submits(action="stuck")),
    "expired audio URL": _row(
        failed("provider_error_refunded"),  # no answer has a field that says why
        PUBLISHED,  # failed at no cost, tried again with a new URL
        NO_HTTP,
        failed("provider_error"),
        PUBLISHED,
        troubles.queue_past_the_url,
        troubles.let_begin,
        waits=True,
    ),
}
