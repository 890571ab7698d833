"""What is left of the day's budgets, while attempts are opened.

Looked up and reserved in the transaction that opens them; ``applying.py`` is the only caller.
"""

from __future__ import annotations

from sqlalchemy import Connection, case, func, select, text

from transcription_pipeline.domain.job import AttemptState
from transcription_pipeline.errors import BudgetExceeded
from transcription_pipeline.ledger import schema
from transcription_pipeline.ledger.changes import OpenAttempt
from transcription_pipeline.ledger.instants import to_text

_a = schema.attempts.c


class Purses:
    """The budgets of providers, and of routes at them, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._spent: dict[tuple[str, str | None, str], int] = {}
        """Provider, route (None: all of them), day → micros."""

    def take(self, o: OpenAttempt) -> BudgetExceeded | None:
        """Reserve what an attempt may cost in each budget it falls under; says which is too small."""
        caps = (
            {None: o.cap_micros, o.route: o.route_cap_micros} if o.route else {None: o.cap_micros}
        )
        wanted = {route: cap for route, cap in caps.items() if cap is not None}
        if wanted and o.reserved_micros is None:
            return BudgetExceeded(f"{o.provider}: no price is known, so no budget covers it")
        cost = o.reserved_micros or 0
        purses = {(o.provider, route, to_text(o.at)[:10]): cap for route, cap in wanted.items()}
        for purse, cap in purses.items():
            if purse not in self._spent:
                self._spent[purse] = self._add_up(*purse)
            if self._spent[purse] + cost > cap:
                whose = o.provider if purse[1] is None else f"{o.provider} by route {purse[1]}"
                return BudgetExceeded(f"{whose}: {self._spent[purse]} of {cap} micros are taken")
        for purse in purses:
            self._spent[purse] += cost
        return None

    def _add_up(self, provider: str, route: str | None, day: str) -> int:
        connection = self._connection
        if connection.dialect.name == "postgresql":
            # It lets two transactions add up the same purse; SQLite has one writer anyway.
            lock = text("SELECT pg_advisory_xact_lock(hashtext(:purse))")
            connection.execute(lock, {"purse": f"budget/{provider}"})
        # What was never accepted frees what it reserved; a failed job only when it is known to be free.
        is_unsent = _a.state.in_([AttemptState.REJECTED.value, AttemptState.ABANDONED.value])
        reserved = case((is_unsent, 0), else_=_a.reserved_micros)
        total = func.coalesce(func.sum(func.coalesce(_a.cost_micros, reserved, 0)), 0)
        query = select(total).where(_a.provider == provider, _a.created_at >= day)
        if route is not None:
            query = query.where(_a.route == route)
        return int(connection.execute(query).scalar_one())
