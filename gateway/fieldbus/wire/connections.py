"""TCP connections of an endpoint: how each ended, and whether the device closes it after every answer.

An end behind a whole answer is no fault: the next question gets another connection. Cheap converters and GPRS modems
end each connection that way; once that is known, no question is put to one that is about to end. Pure: times are
monotonic seconds and come in as arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.fieldbus.wire.acceptor import Acceptors
from gateway.fieldbus.wire.dialed import Dialed
from gateway.fieldbus.wire.keys import KeyTable
from gateway.messages.message import Message

RECONNECT_PAUSE_S = 0.2
"""Between closing and opening again: devices with one slot need a moment to notice."""
AT_ONCE_S = 0.5
"""An end that comes so soon belongs to the answer before it, be it a reset: a device that closes while the next
question waits unread resets the connection (RFC 1122, 4.2.2.13)."""
WAIT_S, LONGEST_WAIT_S = 0.2, 2.0
"""Seconds to wait, at first and at most, for the end of a connection whose device is known to close it."""
LEARN_AFTER, UNLEARN_AFTER = 2, 3
"""Connections in a row that ended behind their only answer; questions in a row that an asked connection answered."""


@dataclass(frozen=True, slots=True)
class Habit:
    """What is known of an endpoint: one question a connection, and how long opening one took when that was seen."""

    one_question: bool = False
    connect_s: float = 0.0

    @property
    def message(self) -> Message | None:
        """What there is to say of it; None: nothing."""
        if not self.one_question:
            return None
        return Message("connection-one-request", connect_ms=round(self.connect_s * 1000))


class Connections:
    """The connections to one endpoint, one after the other, and what outlives them.

    ``opened`` → ``answered`` … → ``ended`` → ``opened``. ``on_change`` is called with each new habit.
    """

    def __init__(self, habit: Habit = Habit(), on_change: Callable[[Habit], None] | None = None) -> None:
        self.habit, self.on_change = habit, on_change
        self.inbound = False
        """The other end connects: whoever comes next may be another device, however the last one ended."""
        self.transaction = 0
        """The last transaction id: what was asked over one connection is no answer on the next."""
        self._answers, self._answered_at = 0, 0.0
        self._ended_at: float | None = None
        self._orderly = False
        self._connect_s, self._wait_s = habit.connect_s, WAIT_S
        self._single_in_a_row = self._kept_in_a_row = 0

    def opened(self, took_s: float) -> None:
        """There is a new connection; opening it took so long."""
        self._answers, self._ended_at, self._orderly = 0, None, False
        self._connect_s = took_s

    def answered(self, now: float) -> None:
        """A whole answer came over it."""
        self._answers, self._answered_at = self._answers + 1, now
        if self._answers > 1:
            self._single_in_a_row = 0
            if self.habit.one_question:
                self._kept()

    def ended(self, now: float, *, orderly: bool, met: bool) -> None:
        """It is over: closed (``orderly``) or broken; ``met``: in place of an answer. Only the first word counts."""
        if self._ended_at is None:
            self._ended_at, self._orderly = now, orderly
            if self.behind_answer:
                self._learn(now - self._answered_at, met)

    @property
    def has_answered(self) -> bool:
        """A whole answer came over the last one."""
        return self._answers > 0

    @property
    def behind_answer(self) -> bool:
        """It ended, and did so behind a whole answer: closed, or broken at once."""
        if self._ended_at is None or not self._answers:
            return False
        return self._orderly or self._ended_at - self._answered_at <= AT_ONCE_S

    @property
    def same_device(self) -> bool:
        """It ended as this device ends its connections, or at once behind an answer: the next one leads to it, too.
        Later, it may as well have been exchanged."""
        if self._ended_at is None or not self._answers or self.inbound:
            return False
        return self.habit.one_question or self._ended_at - self._answered_at <= AT_ONCE_S

    @property
    def end_due(self) -> float | None:
        """Until when the end of this connection is to be waited for before another question; None: it may be asked."""
        return self._answered_at + self._wait_s if self.habit.one_question and self._answers else None

    def _learn(self, after_s: float, met: bool) -> None:
        if self._answers > 1 or not (met or after_s <= AT_ONCE_S):
            return
        self._kept_in_a_row = 0
        self._wait_s = min(LONGEST_WAIT_S, max(self._wait_s, 2 * after_s))
        self._single_in_a_row += 1
        if self._single_in_a_row >= LEARN_AFTER and not self.habit.one_question:
            self._change(Habit(True, self._connect_s))

    def _kept(self) -> None:
        self._kept_in_a_row += 1
        if self._kept_in_a_row >= UNLEARN_AFTER:
            self._change(Habit())

    def _change(self, habit: Habit) -> None:
        self.habit, self._single_in_a_row, self._kept_in_a_row = habit, 0, 0
        if self.on_change is not None:
            self.on_change(habit)


@dataclass(slots=True)
class OtherMaster:
    """What is known of another master on the line: its last frame as hex, and until when its line counts as shared."""

    frame: str = ""
    until: float = -math.inf


@dataclass(slots=True)
class Endpoint:
    """What is known of one port or address, whatever is opened or configured anew on it. ``dialed``: of one that is
    listened on, the connections of its line."""

    table: KeyTable
    connections: Connections = field(default_factory=Connections)
    other_master: OtherMaster = field(default_factory=OtherMaster)
    acceptors: Acceptors = field(default_factory=Acceptors)
    dialed: Dialed | None = None

    def leave(self) -> None:
        """The line ends: nobody is listened for any more."""
        if self.dialed is not None:
            self.dialed.leave()
            self.dialed = None
