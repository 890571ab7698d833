"""Whose lake it is: one ledger alone pays for recordings, and never one that forgot something.

A claim in the lake names the ledger and its epoch. The epoch goes up, first in the ledger and then in
the claim, before paid requests are sent and after the last of a run. So a second ledger finds
another name there, and one that was restored from an older copy an epoch it never had; either may
have been followed by payments it knows nothing of, and sends nothing until a person decides
(``decisions.adopt``). Beside the claim stands a mark for each account that was paid with: a list of
another one proves nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from transcription_pipeline.errors import (
    LedgerError,
    LedgerNotOurs,
    ObjectChanged,
    ObjectNotFound,
    StorageError,
)
from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline.ledger.rows import Adoption
from transcription_pipeline.storage.layout import ACCOUNTS_PREFIX, CLAIM_KEY
from transcription_pipeline.storage.objects import ObjectStore

EVERY_S = 5.0
"""The epoch goes up at most this often while requests are sent: copies of a ledger are rarer."""


class Claimed(msgspec.Struct, frozen=True):
    """What the lake says."""

    ledger_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a ledger and the claim in a lake stand to each other."""

    ours: Claimed
    claimed: Claimed | None
    """None while nobody has claimed the lake."""

    @property
    def objection(self) -> str | None:
        """Why nothing may be paid for; None when all is well."""
        told = self.claimed
        if told is None or (
            told.ledger_id == self.ours.ledger_id and told.epoch <= self.ours.epoch
        ):
            return None
        if told.ledger_id != self.ours.ledger_id:
            return f"the lake belongs to ledger {told.ledger_id[:8]}, this is {self.ours.ledger_id[:8]}"
        return (
            f"this ledger is an older copy of itself (epoch {self.ours.epoch}, the lake has seen "
            f"{told.epoch}); what it forgot may have been paid"
        )


class Claim:
    """The claim of one ledger on one lake.

    ``account`` is what paid requests are sent with, ``provider/name``; empty where none are.
    """

    def __init__(self, ledger: Ledger, lake: ObjectStore, account: str = "") -> None:
        self._ledger = ledger
        self._lake = lake
        self._account = account
        self._lock = threading.Lock()
        self._raised_at: float | None = None

    def look(self) -> Standing:
        """Compare the ledger with the claim in the lake."""
        try:
            claimed = msgspec.json.decode(self._lake.get(CLAIM_KEY), type=Claimed)
        except ObjectNotFound:
            claimed = None
        return Standing(Claimed(*self._ledger.read_identity()), claimed)

    def hold(self, adoption: Adoption | None = None) -> None:
        """Make sure, now and then, that the lake is ours, and leave a mark of it.

        ``adoption`` is the last one that whoever sends knows of. Raises ``LedgerNotOurs`` when the
        lake is not ours, or was adopted since.
        """
        with self._lock:
            is_fresh = self._raised_at and time.monotonic() - self._raised_at < EVERY_S
            if not is_fresh:
                self._raise(adoption)

    def release(self) -> None:
        """Leave a last mark: a copy of the ledger that was made meanwhile is older than it.

        Everything sent is recorded by then, so a lake that does not answer is no trouble.
        """
        with self._lock, suppress(StorageError, LedgerError):
            if self._raised_at is not None:
                self._raise(self._ledger.find_adoption())

    def find_other_accounts(self) -> list[str]:
        """Return the provider's other accounts that something in this lake was paid with."""
        prefix = ACCOUNTS_PREFIX + self._account.partition("/")[0] + "/"
        keys = (stored.key for stored in self._lake.list_page(prefix).objects)
        names = (key.removeprefix(ACCOUNTS_PREFIX) for key in keys)
        return sorted(name for name in names if name != self._account)

    def take(self) -> None:
        """Claim the lake, whoever had it: a person decided so."""
        standing = self.look()
        seen = standing.claimed.epoch if standing.claimed else 0
        ours = Claimed(standing.ours.ledger_id, self._ledger.raise_epoch(at_least=seen + 1))
        self._lake.put(CLAIM_KEY, msgspec.json.encode(ours))

    def _raise(self, adoption: Adoption | None) -> None:
        standing = self.look()
        if standing.objection:
            raise LedgerNotOurs(f"{standing.objection}; nothing is sent until `tp adopt`")
        if self._ledger.find_adoption() != adoption:
            raise LedgerNotOurs(
                "the lake was adopted meanwhile; the next run looks up what was sent"
            )
        if self._account and self._raised_at is None:
            self._lake.put(ACCOUNTS_PREFIX + self._account, b"")
        ours = Claimed(standing.ours.ledger_id, self._ledger.raise_epoch())
        try:
            self._lake.put(
                CLAIM_KEY, msgspec.json.encode(ours), only_if_absent=standing.claimed is None
            )
        except ObjectChanged:
            return self._raise(adoption)  # somebody else claimed it at this moment
        self._raised_at = time.monotonic()
        return None
