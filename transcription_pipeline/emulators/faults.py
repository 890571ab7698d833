"""The fault script: which requests go wrong, and how.

Rules are data, so that a test states a whole outage in one POST to ``/_control/faults``. What a
rule does to the connection is in ``wire.py``, what it does to a job is in the service; here is only
which rule strikes which request, and that is a function of the requests counted so far, the rule's
seed and the emulator's clock.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

Action = Literal[
    "status",  # answer `status` with `body` and `headers`
    "rate_limit",  # a bucket of `burst` refilled `requests_per_s`; over it, 429 and Retry-After
    "random_status",  # as status, for a `share` of the requests
    "drop_before",  # read the request, do nothing, close (FIN)
    "drop_after",  # do it, close without answering (FIN)
    "reset",  # close with a TCP reset, by default after doing it
    "hang",  # by default do it, then be silent until `seconds` pass or the faults are replaced
    "half_headers",  # do it, send half a header, close
    "truncate",  # do it, promise the whole body, send `keep_bytes` of it, close
    "garbage",  # do it, answer bytes that are not HTTP
    "html",  # do it, answer 200 with an HTML page
    "redirect",  # answer 307 to `location`
    "drip",  # do it, then send one byte every `seconds`
    "delay",  # wait `seconds`, then go on to the next rule
    "kill_pid",  # do it, kill `pid` with SIGKILL, answer
    "job_error",  # the job submitted here fails with `error`
    "stuck",  # the job submitted here never ends
    "unknown_status",  # the job submitted here shows `job_status` instead of processing
    "list_lag",  # this list shows the world of `seconds` ago
]

_ACTS_BY_DEFAULT = frozenset(
    {"drop_after", "reset", "hang", "half_headers", "truncate", "garbage", "html", "drip"}
)


class FaultRule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """One way in which some requests go wrong."""

    action: Action
    operation: str = "*"
    """Name of the operation, or ``*`` for every one."""
    nth: int | None = None
    """1-based number of the first request struck, counted from when the rule was set; None: any."""
    times: int | None = None
    """How many requests are struck. Default: one with ``nth``, without end otherwise."""
    act: bool | None = None
    """Whether the service does what was asked before it misbehaves; None: as the action says."""
    status: int = 500
    body: Any = None
    """A string is sent as it is, anything else as JSON; None: the vendor's own body for it."""
    headers: dict[str, str] = {}
    seconds: float | None = None
    keep_bytes: int = 20
    share: float = 0.01
    seed: int = 0
    requests_per_s: float = 10.0
    burst: int = 10
    retry_after: str | None = None
    """Overrides the Retry-After of ``rate_limit``; the empty string leaves the header out."""
    error: str = "Server error, developers have been alerted"
    job_status: str = "reviewing"
    is_final: bool = False
    """``unknown_status``: the job stays like that for ever."""
    location: str = "https://elsewhere.invalid/"
    pid: int = 0

    def __post_init__(self) -> None:
        # kill(0) and kill(-1) would take this process and its neighbours along.
        if self.action == "kill_pid" and self.pid < 2:
            raise ValueError("kill_pid needs the pid of one process")

    @property
    def does_act(self) -> bool:
        """Whether the service does what was asked."""
        return self.action in _ACTS_BY_DEFAULT if self.act is None else self.act


@dataclass(slots=True)
class Decision:
    """What happens to one request."""

    number: int
    """1-based count of this operation."""
    delay_s: float = 0.0
    rule: FaultRule | None = None
    """The rule that decides the answer; None: the service answers."""
    retry_after_s: int = 0
    list_lag_s: float = 0.0
    fate: dict[str, Any] = field(default_factory=dict)
    """For the job this request makes: ``error``, ``stuck``, ``status``, ``is_final``."""


class _Armed:
    """A rule with its memory."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.seen = 0
        self.struck = 0
        self.random = random.Random(rule.seed)  # noqa: S311 - reproducible, not secret
        self.tokens = float(rule.burst)
        self.refilled_at: float | None = None

    def strikes(self, operation: str, now: float) -> bool:
        """Count a request and say whether this rule strikes it."""
        rule = self.rule
        if rule.operation not in ("*", operation):
            return False
        self.seen += 1
        if rule.nth is not None and self.seen < rule.nth:
            return False
        times = rule.times if rule.times is not None else (1 if rule.nth is not None else None)
        if times is not None and self.struck >= times:
            return False
        if rule.action == "random_status" and self.random.random() >= rule.share:
            return False
        if rule.action == "rate_limit" and self._take(now):
            return False
        self.struck += 1
        return True

    def _take(self, now: float) -> bool:
        """Take one token from the bucket, if there is one."""
        elapsed = 0.0 if self.refilled_at is None else max(0.0, now - self.refilled_at)
        self.refilled_at = now
        self.tokens = min(self.rule.burst, self.tokens + elapsed * self.rule.requests_per_s)
        if self.tokens >= 1:
            self.tokens -= 1
            return True
        return False

    def wait_s(self) -> int:
        """Say after how many whole seconds the bucket has a token again."""
        missing = 1 - self.tokens
        return max(1, -int(-missing // max(self.rule.requests_per_s, 1e-9)))


class FaultScript:
    """The rules in force, in order; the first one that decides an answer wins."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._counts: dict[str, int] = {}
        self.replaced = asyncio.Event()
        """Set when the rules are replaced, so that hanging connections are let go."""

    def set(self, rules: list[FaultRule]) -> None:
        """Replace all rules; counting for ``nth`` starts anew."""
        self._armed = [_Armed(rule) for rule in rules]
        self.replaced.set()
        self.replaced = asyncio.Event()

    def clear(self) -> None:
        """Remove all rules and counts."""
        self.set([])
        self._counts.clear()

    def as_answer(self) -> dict[str, Any]:
        """Show the rules, and how often each struck."""
        return {
            "rules": [
                msgspec.to_builtins(armed.rule) | {"seen": armed.seen, "struck": armed.struck}
                for armed in self._armed
            ]
        }

    def decide(self, operation: str, now: float) -> Decision:
        """Count one request and decide what happens to it."""
        number = self._counts.get(operation, 0) + 1
        self._counts[operation] = number
        decision = Decision(number)
        for armed in self._armed:
            if decision.rule is None and armed.strikes(operation, now):
                self._apply(armed, decision)
        return decision

    @staticmethod
    def _apply(armed: _Armed, decision: Decision) -> None:
        rule = armed.rule
        if rule.action == "delay":
            decision.delay_s += rule.seconds or 0.0
        elif rule.action == "list_lag":
            decision.list_lag_s = rule.seconds or 0.0
        elif rule.action == "job_error":
            decision.fate["error"] = rule.error
        elif rule.action == "stuck":
            decision.fate["is_stuck"] = True
        elif rule.action == "unknown_status":
            decision.fate |= {"status": rule.job_status, "is_final": rule.is_final}
        else:
            decision.rule = rule
            if rule.action == "rate_limit":
                decision.retry_after_s = armed.wait_s()
