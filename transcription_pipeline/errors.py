"""Every error this project raises on purpose.

What belongs here: the classes and what each one carries. What does not: deciding which of them a
wire answer means (``providers/http.py``) and translating them for Dagster (``defs/failures.py``).
Everybody may import this module; it imports nothing of ours.

::

    TranscriptionPipelineError            .is_transient = False
    ├── ConfigurationError                every bad setting at once
    ├── AudioError                        a recording that cannot be transcribed; .reason
    ├── ProviderError                     the conversation with a provider failed
    │   ├── ProviderUnavailable  ~        no connection, timeout, 5xx; .was_sent
    │   ├── RateLimited          ~        .retry_after_s
    │   ├── AuthenticationFailed          401, 403
    │   ├── RequestRejected               other 4xx
    │   ├── JobUnknown                    the provider has no such job
    │   └── UnexpectedResponse            an answer outside the contract
    ├── StorageError
    │   ├── VersionLost                   this version cannot be read; .reason
    │   │   ├── ObjectNotFound
    │   │   ├── ObjectChanged             a conditional request found another version
    │   │   └── ObjectArchived            it has to be restored first
    │   ├── DiskFull                      too little room to keep what would be paid for
    │   └── StorageUnavailable   ~
    ├── LedgerError
    │   ├── IllegalTransition
    │   ├── LedgerNotOurs                 the lake belongs to another ledger, or to a newer copy
    │   ├── LeaseLost                     another worker took the partition over
    │   ├── BudgetExceeded                the day's budget does not cover the attempt
    │   └── LedgerBusy           ~
    ├── NormaliseError                    .provider .path .found
    ├── DecisionRefused                   what a person decided cannot be; the reason
    ├── WebhookRefused                    a delivery that is not taken; .is_forged
    └── QueryError                        a user's SQL was refused
                                          ~ transient

No message contains a key, a signed URL or transcript text: messages take identifiers, types and
numbers as parts, never bodies.
"""

from __future__ import annotations


class TranscriptionPipelineError(Exception):
    """Base of every error raised on purpose; ``is_transient`` says whether waiting may help."""

    is_transient = False

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders by parts: constructors take more than the message."""
        return _rebuild, (type(self), str(self), dict(self.__dict__))


def _rebuild(
    kind: type[TranscriptionPipelineError], message: str, parts: dict[str, object]
) -> TranscriptionPipelineError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(parts)
    return error


class ConfigurationError(TranscriptionPipelineError):
    """One or more settings are missing, malformed or contradict each other."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class AudioError(TranscriptionPipelineError):
    """A recording cannot be transcribed; found before any money is spent.

    ``reason`` is one of the quarantine reasons of ``domain/recording.py``.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class ProviderError(TranscriptionPipelineError):
    """The conversation with a provider failed."""

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        operation: str,
        provider_job_id: str | None = None,
        status_code: int | None = None,
    ) -> None:
        self.provider = provider
        self.operation = operation
        self.provider_job_id = provider_job_id
        self.status_code = status_code
        parts = [provider, operation]
        if provider_job_id:
            parts.append(provider_job_id)
        if status_code is not None:
            parts.append(f"HTTP {status_code}")
        super().__init__(f"{' '.join(parts)}: {message}")


class ProviderUnavailable(ProviderError):
    """Transient. No connection, a timeout or a 5xx.

    ``was_sent`` is False only when it is proved that no byte of the request left this machine.
    """

    is_transient = True

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        operation: str,
        provider_job_id: str | None = None,
        status_code: int | None = None,
        was_sent: bool = True,
    ) -> None:
        super().__init__(
            message,
            provider=provider,
            operation=operation,
            provider_job_id=provider_job_id,
            status_code=status_code,
        )
        self.was_sent = was_sent


class RateLimited(ProviderError):
    """Transient. The provider asked for patience; ``retry_after_s`` is None when it named no time."""

    is_transient = True

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        operation: str,
        provider_job_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(
            message,
            provider=provider,
            operation=operation,
            provider_job_id=provider_job_id,
            status_code=429,
        )
        self.retry_after_s = retry_after_s


class AuthenticationFailed(ProviderError):
    """Terminal until a person acts. The provider refused the credentials."""


class RequestRejected(ProviderError):
    """Terminal. The provider will never accept this audio with these options."""


class JobUnknown(ProviderError):
    """The provider has no such job: expired, deleted, or of another account or region."""


class UnexpectedResponse(ProviderError):
    """The provider answered, but not what its contract says."""


class StorageError(TranscriptionPipelineError):
    """An object store failed; ``key`` names the object."""

    def __init__(self, message: str, *, key: str) -> None:
        self.key = key
        super().__init__(f"{key}: {message}")


class VersionLost(StorageError):
    """This version of an object cannot be read, however often; ``reason`` as of ``AudioError``."""

    reason = "source_gone"


class ObjectNotFound(VersionLost):
    """There is no such object."""


class ObjectChanged(VersionLost):
    """A conditional request found another version of the object, or one where none was expected."""


class ObjectArchived(VersionLost):
    """The object lies in an archive, from which somebody has to restore it first."""

    reason = "source_archived"


class DiskFull(StorageError):
    """A disk of this machine has less room than is kept in reserve; nothing paid is sent."""


class StorageUnavailable(StorageError):
    """Transient. The object store did not answer, or answered 5xx."""

    is_transient = True


class LedgerError(TranscriptionPipelineError):
    """The ledger refused."""


class IllegalTransition(LedgerError):
    """The attempt was not in the state the caller believed, or the caller lost its lease."""

    def __init__(self, attempt_id: str, from_state: str, to_state: str, found: str) -> None:
        self.attempt_id = attempt_id
        self.from_state = from_state
        self.to_state = to_state
        self.found = found
        super().__init__(f"attempt {attempt_id}: {from_state} -> {to_state} refused, found {found}")


class LedgerNotOurs(LedgerError):
    """The lake belongs to another ledger, or to a newer copy of this one; nothing paid is sent."""


class LeaseLost(LedgerError):
    """Another worker holds the partition; what this one was doing is fenced off."""


class BudgetExceeded(LedgerError):
    """Reserving this attempt would exceed the provider's budget of the day; nothing was opened."""


class SealedOtherwise(LedgerError):
    """A kept request was sealed with another key than the one that is set."""


class LedgerBusy(LedgerError):
    """Transient. A lock or serialisation conflict outlived its timeout."""

    is_transient = True


class NormaliseError(TranscriptionPipelineError):
    """A raw answer does not have the documented shape.

    ``path`` is a JSON path, ``found`` a type or a plain number, never the value of a text.
    """

    def __init__(self, provider: str, path: str, found: str) -> None:
        self.provider = provider
        self.path = path
        self.found = found
        super().__init__(f"{provider} answer at {path}: found {found}")


class DecisionRefused(TranscriptionPipelineError):
    """What a person decided contradicts what is known, or has to wait; the message says why."""


class WebhookRefused(TranscriptionPipelineError):
    """A webhook delivery is not taken; ``is_forged`` unless it came from the provider but is odd."""

    def __init__(self, reason: str, *, is_forged: bool = True) -> None:
        self.is_forged = is_forged
        super().__init__(reason)


class QueryError(TranscriptionPipelineError):
    """A user's SQL could not be run."""
