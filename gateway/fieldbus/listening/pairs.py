"""Pairs of one meter on a line where another master asks: the newest of one period make its poll.

The other master decides what is asked, in which blocks and how often; the poll is what the period has left of it:

1. A block counts by its newest exchange, and a point by the newest answer that holds it: so no point comes twice.
2. A point without an answer has the reason of the newest exchange that asked for it: refused, or a time-out; one that
   was not asked for in the period is *not-asked*. Every recorded point of the meter is in the poll, with a value or a
   reason.
3. A period without any answer gives no poll: it is a miss. If answers were heard and none was certain, ``uncertain``
   says so; that is no silence of the meter.
4. Identity is judged by all that was heard together. Where another device answered, the poll is missed as a whole.

Which answers count is decided before, in ``modbus.passive``; nothing here makes an answer certain again.
"""

from __future__ import annotations

from functools import partial

from gateway.devices.points import UNRECORDED
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.listening.cut_blocks import CutBlocks
from gateway.fieldbus.listening.recognition import Recognition
from gateway.fieldbus.modbus.passive import DOUBTFUL, LATE
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard
from gateway.messages.message import Message

NEVER_ASKED = Message("pair-not-asked")
UNCERTAIN = DOUBTFUL, LATE
"""Answers that were heard and not taken: the meter lives, and nobody can say what it answers."""


class Pairs:
    """See the module. Event loop only.

    A point comes from the newest pair that holds it, so the blocks of a poll share none. ``known``: who it is, as the
    other master reads it.
    """

    def __init__(self, line: LineSpec, spec: MeterSpec, known: Recognition | None = None) -> None:
        self._dialect, self._spec = DIALECTS[line.type], spec
        self.known = known or Recognition(spec.profile.identity)
        self._wanted = frozenset(point.name for point in spec.points)
        self._answered: dict[int, Heard] = {}  # by their blocks' keys, the newest last
        self._failed: dict[int, Heard] = {}
        self._cut = CutBlocks()
        self.uncertain = False
        """All that was heard in the last period were answers whose question is not certain."""

    def take(self, heard: Heard) -> None:
        """A question of the other master, and what came of it."""
        kept = self._answered if heard.refused is None else self._failed
        kept.pop(heard.block.key, None)
        kept[heard.block.key] = heard

    @property
    def holds_all(self) -> bool:
        """Every point was heard since the last poll."""
        names = {point.name for heard in self._answered.values() for point in heard.block.points}
        return names >= self._wanted

    def poll(self, due_ms: int) -> Poll | None:
        """The poll of what was heard since the last one; None: nothing was answered. ``missed`` as ``exchanged`` where
        another device answered."""
        answers: list[BlockAnswer] = []
        names: set[str] = set()
        for heard in reversed(self._answered.values()):
            wanted = (self._wanted & {point.name for point in heard.block.points}) - names
            if wanted:
                names |= wanted
                answers.append(BlockAnswer(self._cut.only(heard.block, wanted), heard.raw, heard.completed_ms))
        failures = self._failures(names)
        heard_together = list(self._answered.values())
        self.uncertain = not answers and any(heard.refused in UNCERTAIN for heard in self._failed.values())
        self._answered, self._failed = {}, {}
        if not answers:
            return None
        known = self.known
        known.look(((h.block, h.raw) for h in heard_together), max(h.completed_ms for h in heard_together))
        if (exchanged := known.exchanged(self._spec.name, due_ms)) is not None:
            return exchanged
        flags = known.flags(max(answer.completed_ms for answer in answers))
        return Poll(
            self._spec.name, due_ms, tuple(answers[::-1]), tuple(failures), flags=flags, identity=known.identity
        )

    def _failures(self, names: set[str]) -> list[BlockFailure]:
        """Points that were asked for and not answered, and those that were not asked for."""
        named, failures = set(names), list[BlockFailure]()
        for heard in reversed(self._failed.values()):
            wanted = (self._wanted & {point.name for point in heard.block.points}) - named
            if wanted and heard.refused is not None:
                named |= wanted
                reason = "refused" if heard.refused.code else "timeout"
                failures.append(
                    BlockFailure(self._cut.only(heard.block, wanted), reason, heard.refused.sentence, heard.refused)
                )
        rest = [p for p in self._spec.points if p.name not in named and p.kind not in UNRECORDED]
        if rest:
            unread = self._cut.kept(0, {point.name for point in rest}, partial(self._dialect.unread, rest))
            failures.append(BlockFailure(unread, "not-asked", NEVER_ASKED))
        return failures
