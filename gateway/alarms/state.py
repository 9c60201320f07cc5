"""State of one alarm: its condition, delays and stored row. Times are those of the schedule's clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.messages.alarm_kinds import COMMS_LOST, LINE_DOWN, Kind
from gateway.storage.alarm_tables import AlarmRow

GATHER_MS = 2_000
"""So long what may be one of many waits for the others, however long it has been true already."""
WAIT_MS = 600_000
"""So long an alarm waits to be found again, where nothing else tells that it is over."""
CHATTERS, WITHIN_MS, QUIET_MS = 4, 3_600_000, 900_000
"""What begins so often within an hour comes and goes: it is over only after a quarter of an hour of quiet."""


class Key(NamedTuple):
    """Which alarm: the meter or "gateway", its code, and the line, ledger or part that it is about."""

    source: str
    code: str
    line: str


@dataclass(slots=True)
class State:
    """``on``: it is true. ``row``: what was raised of it and is not done with. ``held``: another alarm stands for it.

    ``ripe_ms``: raised then, if it is still true; ``over_ms``: cleared then, if it is not true again (None: not yet
    known to be over, as for what stood before a restart).
    """

    key: Key
    kind: Kind
    text: str
    on: bool = False
    since_ms: int = 0
    ripe_ms: int = 0
    over_ms: int | None = None
    row: AlarmRow | None = None
    held: bool = False
    begins: deque[int] = field(default_factory=lambda: deque(maxlen=CHATTERS))

    @property
    def raised(self) -> bool:
        """It stands, even if it is not true any more since a moment."""
        return self.row is not None and self.row.active

    @property
    def in_doubt(self) -> bool:
        """It stood before a restart, and nobody knows yet if it is still true."""
        return self.raised and not self.on and self.over_ms is None

    def begin(self, now_ms: int, since_ms: int, ago_ms: int) -> None:
        """It is true, since a record time that was ``ago_ms`` ago."""
        if not self.on:
            self.on, self.over_ms, self.since_ms = True, None, since_ms
            self.begins.append(now_ms)
            gather_ms = GATHER_MS if self.kind.code in (COMMS_LOST, LINE_DOWN) else 0
            self.ripe_ms = now_ms + max(gather_ms, self.kind.delay_ms - ago_ms)

    def end(self, now_ms: int) -> None:
        """It is not true any more; nothing new where that is known."""
        if self.on or self.in_doubt:
            self.on = False
            self.over_ms = now_ms + max(QUIET_MS if self.chatters(now_ms) else 0, self.kind.clear_ms)

    def chatters(self, now_ms: int) -> bool:
        """It comes and goes."""
        return len(self.begins) == CHATTERS and now_ms - self.begins[0] <= WITHIN_MS

    def doubt(self, now_ms: int) -> None:
        """Whoever knew that it was true is no more; what was not raised yet has to begin anew."""
        self.on = False
        if self.raised:
            self.over_ms = now_ms + WAIT_MS if self.kind.renewed == "wait" else None

    def drop(self, now_ms: int) -> None:
        """What it is about is no more."""
        self.on, self.over_ms = False, now_ms
        self.text = f"{self.kind.title}: {self.key.source} on {self.key.line} is not configured any more"

    def hold(self, now_ms: int, *, held: bool) -> None:
        """Another alarm stands for it from now on, or not any more: then it has its whole delay again."""
        if self.held and not held:
            self.ripe_ms = max(self.ripe_ms, now_ms + self.kind.delay_ms)
        self.held = held

    def ripe(self, now_ms: int) -> bool:
        """It has been true for long enough."""
        return self.on and now_ms >= self.ripe_ms

    def over(self, now_ms: int) -> bool:
        """It stands, and has not been true for long enough."""
        return not self.on and self.raised and self.over_ms is not None and now_ms >= self.over_ms

    def forgotten(self, now_ms: int) -> bool:
        """Nothing needs to be remembered of it."""
        return not self.on and self.row is None and (not self.begins or now_ms - self.begins[-1] > WITHIN_MS)

    def next_ms(self) -> list[int]:
        """When something of it falls due."""
        if self.on:
            return [] if self.raised or self.held else [self.ripe_ms]
        return [self.over_ms] if self.raised and self.over_ms is not None else []
