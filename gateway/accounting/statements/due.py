"""Due statements: which periods are over and not stated, since when, and what is lacking for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.accounting.hours.hour import Hour
from gateway.accounting.hours.stretch import reaching
from gateway.accounting.plans.history import History, closed_by
from gateway.accounting.statements.stating import Part, due
from gateway.errors import GatewayError
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.errors import LedgerClientError
from ledger_client.messages import Sentence

WANTED = (words.BRIDGED, words.UNKNOWN, words.IMPLAUSIBLE, words.MISSING)
"""Statuses of hours that an entry may explain, or that somebody should look at before signing."""


@dataclass(frozen=True, slots=True)
class Due:
    """A period that is due since its end. ``waits``: why it cannot be stated yet; ``lacking``: how many of its hours
    have a status that somebody should look at first."""

    plan: str
    from_ms: int
    to_ms: int
    waits: Sentence | None
    lacking: Mapping[str, int]

    @property
    def since_ms(self) -> int:
        """Since when it is due."""
        return self.to_ms


def dues(store: Database, history: History, hours: Mapping[str, Sequence[Hour]], now_ms: int) -> list[Due]:
    """Due periods of all plans. ``hours``: by plan, the hours that are not stated. Raises StoreError."""
    found = []
    for name in history.names:
        try:
            parts = due(history, name, now_ms)
        except (GatewayError, LedgerClientError):
            continue  # a plan that begins later, or whose rest of a month is no period
        for part in parts:
            lacking = Counter(
                hour.status
                for hour in hours.get(name, ())
                if part.from_ms < hour.to_ms <= part.to_ms and hour.status in WANTED
            )
            found.append(Due(name, part.from_ms, part.to_ms, _waits(store, history, part), _ordered(lacking)))
    return found


def _ordered(lacking: Mapping[str, int]) -> dict[str, int]:
    return {status: lacking[status] for status in sorted(lacking, key=words.RANK.__getitem__)}


def _waits(store: Database, history: History, part: Part) -> Sentence | None:
    """Why a period cannot be stated yet (T2)."""
    plan = part.signed.plan
    try:
        reaching(store, plan, part.to_ms, closed_by(history.on_plan(plan), part.to_ms))
    except GatewayError as error:
        return error.sentence
    return None
