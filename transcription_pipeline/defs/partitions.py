"""How assets are divided: by the UTC day of a recording, and by provider.

What belongs here: partition definitions and the translation of keys. Thousands of recordings share a
partition; the ledger, not Dagster, knows each of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import dagster as dg


@dataclass(frozen=True)
class Partitions:
    """The two divisions every asset uses one of."""

    days: dg.DailyPartitionsDefinition
    days_and_providers: dg.MultiPartitionsDefinition

    def find_days(self, days: Iterable[str], log: logging.Logger) -> set[str]:
        """Return those of ``days`` for which runs can be asked; tell ``log`` what to do about others.

        One request for a day that Dagster does not have would cost all requests of its tick.
        """
        wanted = set(days)
        known = {day for day in wanted if self.days.has_partition_key(day)}
        for day in sorted(wanted - known):
            log.warning(
                "%s is outside the partitions, %s to today, so that no run is asked for: carry it "
                "with `tp run`; an earlier day also by setting partitions.start to it, and a reload",
                day,
                f"{self.days.start:%Y-%m-%d}",
            )
        return known


def build_partitions(start: date, providers: tuple[str, ...]) -> Partitions:
    """Build the definitions; today is a partition (``end_offset=1``)."""
    days = dg.DailyPartitionsDefinition(start_date=start.isoformat(), end_offset=1)
    names = dg.StaticPartitionsDefinition(sorted(providers))
    return Partitions(days, dg.MultiPartitionsDefinition({"day": days, "provider": names}))


def make_key(day: str, provider: str) -> dg.MultiPartitionKey:
    """Return the key of one day of one provider."""
    return dg.MultiPartitionKey({"day": day, "provider": provider})


def read_key(key: str) -> tuple[str, str]:
    """Return (day, provider) of a key; dimensions stand in alphabetical order in it."""
    if isinstance(key, dg.MultiPartitionKey):
        return key.keys_by_dimension["day"], key.keys_by_dimension["provider"]
    day, _, provider = key.partition("|")
    return day, provider
