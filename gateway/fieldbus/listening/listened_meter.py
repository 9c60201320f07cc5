"""State of one meter that speaks unasked, from message to message: what was heard last, what is waited for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.fieldbus.listening.cut_blocks import CutBlocks
from gateway.fieldbus.listening.expected import Expected, State
from gateway.fieldbus.listening.interval import Interval
from gateway.fieldbus.listening.pairs import UNCERTAIN, Pairs
from gateway.fieldbus.listening.recognition import Recognition
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.fieldbus.wire.source import Heard
from gateway.messages.message import Message
from gateway.records import Token
from ledger_client.formats.senml import Quality

SILENT_AFTER = 2
"""Misses in a row after which a meter counts as silent."""
NOT_SENT = Refused(0, Message("message-without-point"), Quality.NOT_FOUND, lasting=True)


class ListenedMeter:
    """One meter of a ``ListenLine``. Event loop only."""

    def __init__(self, spec: MeterSpec, pairs: Pairs | None = None, known: Recognition | None = None) -> None:
        """``pairs``: on a line where another master asks. ``known``: who it is, where what is heard tells that."""
        self.spec, self.pairs, self.known = spec, pairs, known
        self.expected: Expected = State(spec.period_ms, 0)
        self.interval = Interval(spec.period_ms)
        self.answered: Poll | None = None
        """The last poll that was reported with a message."""
        self._misses = 0
        self._last: Heard | None = None
        self._unreplied: set[Token] = set()
        self._cut = CutBlocks()

    @property
    def silent(self) -> bool:
        """It sends nothing."""
        return self._misses >= SILENT_AFTER

    @property
    def uncertain(self) -> bool:
        """It answered another master in the period that has ended, and no answer had a certain question."""
        return self.pairs is not None and self.pairs.uncertain

    def missed(self) -> None:
        """An expected message has not come."""
        if self.uncertain:
            return
        self._misses += 1
        if self.known is not None and self.silent:
            self.known.doubt()

    def heard(self, heard: Heard) -> None:
        """It lives."""
        self._last = heard
        if heard.refused is None or heard.refused.code or heard.refused in UNCERTAIN:
            self._misses = 0

    def gathered(self, due_ms: int) -> Poll | None:
        """The poll of what was heard in the period that has ended; None: nothing was, or messages are polls here."""
        poll = self.pairs.poll(due_ms) if self.pairs is not None else None
        if poll is not None and poll.answers:
            self.answered = poll
        return poll

    def late(self, heard: Heard) -> bool:
        """The message tells of a time so long ago that it must have been kept, as through an outage."""
        age_ms = 0 if heard.label_ms is None else heard.completed_ms - heard.label_ms
        return age_ms > 2 * self.spec.period_ms + self.spec.clock_limit_ms

    def is_empty(self, heard: Heard) -> bool:
        """The message holds nothing that the meter's points stand for, and need not say that it does not."""
        return not heard.missing and not heard.block.shown(heard.raw)

    def poll(self, heard: Heard, due_ms: int) -> Poll:
        """The poll that a message is; ``missed`` as ``exchanged`` where another device sent it. Points that it does not
        hold are no part of it: another part may."""
        known, flags = self.known, int(Quality.LATE) if self.late(heard) else 0
        if known is not None:
            known.look(((heard.block, heard.raw),), heard.completed_ms)
            if (exchanged := known.exchanged(self.spec.name, due_ms)) is not None:
                return exchanged
            flags |= known.flags(heard.completed_ms)
        wanted = {point.name for point in self.spec.points}
        held = wanted.intersection(heard.block.shown(heard.raw))
        if heard.label_ms is not None and heard.label_ms - heard.completed_ms > self.spec.clock_limit_ms:
            flags |= int(Quality.CLOCK_UNSYNC)
        self.answered = Poll(
            self.spec.name,
            due_ms,
            (BlockAnswer(self._cut.only(heard.block, held), heard.raw, heard.completed_ms),),
            tuple(self._failures(heard)),
            flags=flags,
            token=heard.token,
            label_ms=heard.label_ms,
            identity=known.identity if known is not None else None,
        )
        if heard.token is not None:
            self._unreplied.add(heard.token)
        return self.answered

    def _failures(self, heard: Heard) -> Iterable[BlockFailure]:
        if heard.missing:
            yield BlockFailure(self._cut.only(heard.block, heard.missing), "refused", NOT_SENT.sentence, NOT_SENT)

    def ended(self, token: Token) -> None:
        """A message is durable, or will never be."""
        self._unreplied.discard(token)

    def facts(self) -> dict[str, Any]:
        """For `status`: when the last message came and which time it bears (Unix ms), how many wait for the disk, and
        the period that the source keeps if it is not the configured one."""
        last = self._last
        return {
            "last_ms": last.completed_ms if last is not None else None,
            "label_ms": last.label_ms if last is not None else None,
            "unreplied": len(self._unreplied),
            "every_ms": self.spec.period_ms,
            "sends_every_ms": self.interval.instead_ms,
        }
