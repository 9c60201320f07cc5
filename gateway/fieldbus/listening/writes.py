"""Writes of another master, as signed events of the meter that they were sent to: one a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.fieldbus.wire.source import Wrote
from ledger_client.formats.record import Event

WRITE_SEEN = "write-seen"
AGAIN_MS = 60_000


@dataclass(slots=True)
class _Recorded:
    """The last event of a meter: when (ms), and how many writes came since that have none."""

    at_ms: int
    unrecorded: int = 0


class Writes:
    """``happened`` takes the events, at most one a minute and meter. ``more`` counts the writes since the last
    event."""

    def __init__(self, happened: Callable[[str, Event], None]) -> None:
        self._happened, self._recorded = happened, dict[str, _Recorded]()

    def heard(self, meter: str, wrote: Wrote) -> None:
        """A write to this meter."""
        before = self._recorded.get(meter)
        if before is not None and 0 <= wrote.at_ms - before.at_ms < AGAIN_MS:
            before.unrecorded += 1
            return
        more = 0 if before is None else before.unrecorded
        self._recorded[meter] = _Recorded(wrote.at_ms)
        fields = {"unit": wrote.unit, "function": wrote.function, "address": wrote.address, "more": more}
        self._happened(meter, Event(WRITE_SEEN, fields))
