"""Pairs of one meter on a line where another master asks: the newest of one period make its poll."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from typing import Any

from gateway.devices.blocks import Block
from gateway.devices.points import UNRECORDED
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

PROVEN_MS = 3_600_000
"""Who a meter is counts for so long after the other master has read it."""
NEVER_ASKED = Message("pair-not-asked")


class Pairs:
    """See the module. Event loop only.

    A point comes from the newest pair that holds it, so the blocks of a poll share none. ``identity`` is who values are
    accepted from, as the other master reads it; None until it was read for the first time.
    """

    def __init__(self, line: LineSpec, spec: MeterSpec, identity: str | None = None) -> None:
        self._dialect, self._spec, self.identity = DIALECTS[line.type], spec, identity
        self._wanted = frozenset(point.name for point in spec.points)
        self.stranger: str | None = None
        """The identity of another device that answered last in place of the known one."""
        self._answered: dict[int, Heard] = {}  # by their blocks' keys, the newest last
        self._failed: dict[int, Heard] = {}
        self._proven_ms: int | None = None
        self._blocks: dict[tuple[int, frozenset[str]], Block] = {}

    def take(self, heard: Heard) -> None:
        """A question of the other master, and what came of it."""
        kept = self._answered if heard.refused is None else self._failed
        kept.pop(heard.block.key, None)
        kept[heard.block.key] = heard

    def accept(self, identity: str) -> None:
        """From now on values come from this meter."""
        self.identity, self.stranger, self._proven_ms = identity, None, None

    def doubt(self) -> None:
        """The line broke off or the meter was silent: who it is is to be read again."""
        self._proven_ms = None

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
                answers.append(BlockAnswer(self._only(heard.block, wanted), heard.raw, heard.completed_ms))
        failures = self._failures(names)
        self._recognise(self._answered.values())
        self._answered, self._failed = {}, {}
        if not answers:
            return None
        if self.stranger is not None:
            other = Message("poll-other-meter", stranger=self.stranger, identity=self.identity or "")
            flags = int(Quality.METER_EXCHANGED)
            return Poll(self._spec.name, due_ms, missed="exchanged", flags=flags, detail=other)
        newest_ms = max(answer.completed_ms for answer in answers)
        proven = self._proven_ms is not None and newest_ms - self._proven_ms <= PROVEN_MS
        flags = 0 if proven else int(Quality.IDENTITY_UNPROVEN)
        return Poll(self._spec.name, due_ms, tuple(answers[::-1]), tuple(failures), flags=flags, identity=self.identity)

    def _failures(self, names: set[str]) -> list[BlockFailure]:
        """Points that were asked for and not answered, and those that were not asked for."""
        told, failures = set(names), list[BlockFailure]()
        for heard in reversed(self._failed.values()):
            wanted = (self._wanted & {point.name for point in heard.block.points}) - told
            if wanted and heard.refused is not None:
                told |= wanted
                reason = "refused" if heard.refused.code else "timeout"
                failures.append(
                    BlockFailure(self._only(heard.block, wanted), reason, heard.refused.said, heard.refused)
                )
        rest = [p for p in self._spec.points if p.name not in told and p.kind not in UNRECORDED]
        if rest:
            known = 0, frozenset(point.name for point in rest)
            if known not in self._blocks:
                self._blocks[known] = self._dialect.unread(rest)
            failures.append(BlockFailure(self._blocks[known], "not-asked", NEVER_ASKED))
        return failures

    def _recognise(self, answers: Collection[Heard]) -> None:
        """Who answered, where all that tells it was read in this period."""
        wanted, said = self._spec.profile.identity, dict[str, str]()
        if not wanted:
            return
        for answer in answers:
            said |= _values(answer, wanted)
        if not all(name in said for name in wanted):
            return
        found = ", ".join(f"{name}={said[name]}" for name in wanted)
        self.identity = self.identity or found
        self.stranger = None if found == self.identity else found
        if self.stranger is None:
            self._proven_ms = max(answer.completed_ms for answer in answers)

    def _only(self, block: Block, names: Set[str]) -> Block:
        """Some of the points of a block. What is prepared for a block is found by its key, so the same points are the
        same block every time."""
        known = block.key, frozenset(names)
        if known not in self._blocks:
            self._blocks[known] = block.only(names)
        return self._blocks[known]


def _values(answer: Heard, names: Collection[str]) -> Mapping[str, Any]:
    """Points of these names in an answer; what the device leaves blank tells nothing."""
    block = answer.block.only(names)
    if not block.points:
        return {}
    decoder = block.decoder({})
    split = decoder.split(answer.raw)
    values = zip(decoder.points, decoder.values(split, decoder.scales(split)), strict=True)
    return {point.name: str(value) for point, value in values if value not in (None, "", 0)}
