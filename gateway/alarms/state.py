"""State of one alarm in the terms of ISA-18.2: condition, delays, stored row. Pure.

Times are those of the schedule's clock in ms, but for ``since_ms`` and those of the row, which are record times.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.messages.alarm_kinds import AlarmCode, Kind
from gateway.messages.message import Message
from gateway.storage.alarm_tables import AlarmRow
from ledger_client.messages import Sentence

COLLECT_MS = 2_000
"""Shortest on-delay of an alarm that may be one of a group, however long its condition has been true already."""
CONFIRM_WITHIN_MS = 600_000
"""Off-delay of an unconfirmed alarm whose kind is found again by itself, but never reported to be over."""
CHATTERING_COUNT, CHATTERING_WITHIN_MS, CHATTERING_QUIET_MS = 4, 3_600_000, 900_000
"""An alarm whose condition came true so often within the hour is chattering: its off-delay is the quiet time."""


class AlarmKey(NamedTuple):
    """Identity of an alarm: the meter or "gateway", its code, and the line, ledger or part that it is about."""

    source: str
    code: str
    line: str


@dataclass(slots=True)
class AlarmState:
    """One alarm between two states of its condition. Owned by the event loop.

    ``sentence``: why, a text where it comes from an event or a row of before. ``condition``: the condition is true now.
    ``row``: the alarm as it was raised, until it is back to normal (cleared, acknowledged and not shelved); None:
    normal. ``suppressed``: a group alarm is raised in its place. ``on_delay_until_ms``: raised then, if the condition
    is still true. ``off_delay_until_ms``: cleared then, if it is still false; None: not known to be false.
    ``onsets``: when the condition last came true. ``changed_ms``: the moment (``AlarmStore.moment``) at which it was
    last raised, or its row got another text: who saw the list at an earlier moment has not seen this.
    """

    key: AlarmKey
    kind: Kind
    sentence: Sentence
    condition: bool = False
    since_ms: int = 0
    on_delay_until_ms: int = 0
    off_delay_until_ms: int | None = None
    row: AlarmRow | None = None
    suppressed: bool = False
    onsets: deque[int] = field(default_factory=lambda: deque(maxlen=CHATTERING_COUNT))
    changed_ms: int = 0

    @property
    def active(self) -> bool:
        """Raised and not cleared; so also during the off-delay."""
        return self.row is not None and self.row.active

    @property
    def unconfirmed(self) -> bool:
        """Active since before a restart, without a finding since whether its condition is true."""
        return self.active and not self.condition and self.off_delay_until_ms is None

    @property
    def due_ms(self) -> int | None:
        """When its on-delay or off-delay ends; None where none runs."""
        if self.condition:
            return None if self.active or self.suppressed else self.on_delay_until_ms
        return self.off_delay_until_ms if self.active else None

    def condition_true(self, now_ms: int, since_ms: int, ago_ms: int) -> None:
        """Start the on-delay, less ``ago_ms``: how long ago ``since_ms`` was. Nothing if it was true before."""
        if not self.condition:
            self.condition, self.off_delay_until_ms, self.since_ms = True, None, since_ms
            self.onsets.append(now_ms)
            least_ms = COLLECT_MS if self.kind.code in (AlarmCode.COMMS_LOST, AlarmCode.LINE_DOWN) else 0
            self.on_delay_until_ms = now_ms + max(least_ms, self.kind.on_delay_ms - ago_ms)

    def condition_false(self, now_ms: int) -> None:
        """Start the off-delay; nothing where the condition is known to be false, but that one which only waits for its
        finder need not wait any longer."""
        quiet_ms = CHATTERING_QUIET_MS if self.is_chattering(now_ms) else 0
        until_ms = now_ms + max(quiet_ms, self.kind.off_delay_ms)
        if self.condition or self.unconfirmed:
            self.condition, self.off_delay_until_ms = False, until_ms
        elif self.off_delay_until_ms is not None:
            self.off_delay_until_ms = min(self.off_delay_until_ms, until_ms)

    def is_chattering(self, now_ms: int) -> bool:
        """Whether the condition comes and goes."""
        return len(self.onsets) == CHATTERING_COUNT and now_ms - self.onsets[0] <= CHATTERING_WITHIN_MS

    def unconfirm(self, now_ms: int) -> None:
        """Forget what is known of the condition: what found it has been replaced. An on-delay has to start again."""
        self.condition = False
        if self.active:
            self.off_delay_until_ms = now_ms + CONFIRM_WITHIN_MS if self.kind.after_restart == "wait" else None

    def deconfigure(self, now_ms: int) -> None:
        """Clear it without an off-delay: what it is about has left the configuration."""
        self.condition, self.off_delay_until_ms = False, now_ms
        self.sentence = Message("alarm-object-removed", kind=self.kind.code, source=self.key.source, line=self.key.line)

    def suppress(self, now_ms: int, *, suppressed: bool) -> None:
        """Suppress it, or stop to: then it has its whole on-delay again."""
        if self.suppressed and not suppressed:
            self.on_delay_until_ms = max(self.on_delay_until_ms, now_ms + self.kind.on_delay_ms)
        self.suppressed = suppressed

    def raise_due(self, now_ms: int) -> bool:
        """Whether its on-delay is over, and it is not active yet; suppressed or not."""
        return self.condition and not self.active and now_ms >= self.on_delay_until_ms

    def clear_due(self, now_ms: int) -> bool:
        """Whether it is active, and its off-delay is over."""
        ends_ms = self.off_delay_until_ms
        return not self.condition and self.active and ends_ms is not None and now_ms >= ends_ms

    def disposable(self, now_ms: int) -> bool:
        """Whether it is normal, and too long so for its onsets to count as chattering."""
        old = not self.onsets or now_ms - self.onsets[-1] > CHATTERING_WITHIN_MS
        return not self.condition and self.row is None and old
