"""Ledger alarms of the gateway: each raised once per start, and cleared when its cause is over. Event loop only."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Protocol

from gateway.messages.message import Message
from gateway.records import GATEWAY, alarm_event
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.ledgers")


class Events(Protocol):
    """Where events go: the alarm board, or the writer of the epoch."""

    def happened(self, meter: str, event: Event) -> None:
        """Hand over an event."""
        ...


class LedgerAlarms:
    """Ledger alarms raised since this start. Without ``events`` they are only logged."""

    def __init__(self, events: Events | None) -> None:
        self._events = events
        self._raised: set[tuple[str, str]] = set()

    def reconfigure(self, ledgers: Collection[str]) -> None:
        """Forget the alarms of ledgers other than these, which have left the configuration."""
        self._raised = {(code, ledger) for code, ledger in self._raised if ledger in ledgers}

    def raise_(self, code: str, ledger: str, message: Message) -> None:
        """Raise an alarm, unless it is active."""
        if (code, ledger) not in self._raised:
            self._raised.add((code, ledger))
            self._record(code, ledger, message, raised=True)

    def clear(self, code: str, ledger: str, message: Message) -> None:
        """Clear an alarm, if it is active."""
        if (code, ledger) in self._raised:
            self._raised.remove((code, ledger))
            self._record(code, ledger, message, raised=False)

    def _record(self, code: str, ledger: str, message: Message, *, raised: bool) -> None:
        if self._events is None:
            log.log(logging.ERROR if raised else logging.INFO, "%s", message)
        else:
            self._events.happened(GATEWAY, alarm_event(code, f"ledger {ledger}", message, raised=raised))
