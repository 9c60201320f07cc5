"""One poll of one meter in the making: plan, identity, blocks.

A read whose shapes are all too young waits for one, if there is one in time: the poll then ends for now (``run`` gives
the moment), the line is free for others, and ``run`` goes on with what is left.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.devices.decode import decode
from gateway.devices.plan import Block
from gateway.devices.profile import Point
from gateway.fieldbus.blocks import BlockSet, ReadPlan
from gateway.fieldbus.cuts import ILLEGAL, Read, read_of
from gateway.fieldbus.errors import LineDown
from gateway.fieldbus.frames import Request, identification_object, object_text
from gateway.fieldbus.link import Answer, Link, Outcome, Refusal, Silence
from gateway.fieldbus.meter import Ended, MeterReader
from gateway.fieldbus.spec import BlockAnswer, BlockFailure, Poll
from gateway.pulses import beat
from ledger_client.record import Quality

log = logging.getLogger("meterseal.fieldbus")

ILLEGAL_ADDRESS = 2
READ_MORE_S = 10.0  # a lost connection is made anew, a line that is not quiet is waited for
SILENT = "not asked: the meter is silent"
_REASONS = ("line-down", "timeout", "refused", "shared", "no-shape", "stopped")


class Attempt(NamedTuple):
    """A finished poll, and what it says of the meter: it answered, it was silent, or (None) it was not heard out.
    ``down``: why the line broke off, if it did."""

    poll: Poll
    alive: bool | None
    down: str | None = None


class _Waits(Exception):
    """Nothing can be read before ``until``."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


class Turn:
    """One poll. ``probe``: the meter was silent before, so one silent block says enough, and nothing is waited for."""

    __slots__ = (
        "answers", "down", "due_ms", "failures", "left", "link", "meter", "probe", "reads", "silences", "spent_s",
        "spoke", "told", "until",
    )  # fmt: skip

    def __init__(self, meter: MeterReader, link: Link, due_ms: int, *, probe: bool = False) -> None:
        self.meter, self.link, self.due_ms, self.probe = meter, link, due_ms, probe
        self.answers: list[tuple[int, BlockAnswer]] = []
        self.failures: list[BlockFailure] = []
        self.reads: list[tuple[Block, Block, int | None]] = []
        self.left: Sequence[BlockSet] | None = None
        self.told: dict[Read, list[str]] = {}
        self.spoke = False
        self.silences = 0
        self.down: str | None = None
        self.until = math.inf
        self.spent_s = 0.0
        """For the caller: how long it had the line."""

    async def run(self) -> Attempt | float:
        """Read on. The finished poll, or the monotonic moment at which there is a shape for what is left of it."""
        other = self.meter.meet(self.link)
        if other and self.left is not None:
            self._give_up("line-down", "the connection was replaced while this read waited for a shape")
        elif self.left is None or not self.meter.proven:
            if other:
                self.told.clear()
            ended = await self._begin()
            if ended is not None:
                return ended
        self.until = math.inf
        self.left = [block for block in self.left or () if not await self._read(block)]
        try:
            await self.link.quiet()
        except LineDown as error:
            self.down = self.down or str(error)
        self._void()
        if self.left and self.down is None and self.silences < 2:
            return self.until
        return self._finished("timeout" if self.down is None else "line-down", self.down or SILENT)

    async def _begin(self) -> Attempt | float | None:
        """Find out what to read, and from whom. None: it is known; else why not, as ``run`` gives it."""
        try:
            plan = await self.meter.plan(self.ask)
            if not self.meter.proven:
                self.meter.prove(await self._identity(plan))
            self.told.clear()
        except _Waits as waits:
            return await self._pause(waits.until)
        except Ended as ended:
            return self.abandon(ended.reason, ended.detail)
        except LineDown as error:
            self.down = str(error)
            return self.abandon("line-down", self.down)
        if self.left is None:
            self.failures += _not_there(plan.missing)
            self.failures += [_hole(point) for point in self.meter.holes]
            self.left = plan.blocks
        return None

    def abandon(self, reason: str, detail: str) -> Attempt:
        """The poll, which waits, cannot go on."""
        return self._attempt(reason, detail) if self.left is None else self._finished(reason, detail)

    async def ask(self, requests: Sequence[Request]) -> Outcome:
        """One read, of those without which there is none of a block."""
        outcome = await self._ask(requests)
        if isinstance(outcome, Silence) and outcome.until is not None and self._can_wait(outcome.until):
            raise _Waits(outcome.until)
        return outcome

    async def _ask(self, requests: Sequence[Request]) -> Outcome:
        """One read; whatever is heard of the meter is noted."""
        manners = self.meter.manners
        beat(READ_MORE_S + 2 * manners.timeout_s + manners.pause_s)  # a question that meets a hang-up is put again
        outcome = await self.link.read(requests, manners)
        if isinstance(outcome, Silence):
            self.silences += outcome.reason == "timeout"
        else:
            self.silences, self.spoke = 0, True
            self.meter.heard_at = self.meter.clock.monotonic()
        return outcome

    def _can_wait(self, until: float) -> bool:
        """A shape is free before the poll's period ends."""
        clock, end_ms = self.meter.clock, self.due_ms + self.meter.spec.period_ms
        return not self.probe and until < clock.monotonic() + (end_ms - clock.schedule_ms()) / 1000

    async def _pause(self, until: float) -> Attempt | float:
        """Leave the line to others while it is not known who the meter is."""
        try:
            await self.link.quiet()
        except LineDown as error:
            self.down = str(error)
            return self.abandon("line-down", self.down)
        if self.link.voided:
            self.told.clear()
            self._void()
        return until

    async def _identity(self, plan: ReadPlan) -> str | None:
        """Read who the meter is; None when it does not tell."""
        for block in plan.identity:
            if read_of(block.block) not in self.told:
                answer = await self._ask_who(block.requests)
                names = self.meter.spec.profile.identity
                words = _words(block.asked(answer.request), answer.registers(), names) if answer else []
                self.told[read_of(block.block)] = words
        said = [word for words in self.told.values() for word in words]
        number = self.meter.spec.profile.identity_object
        if number is not None:
            request = identification_object(self.meter.spec.address, number)
            if (answer := await self._ask_who((request,))) and (text := object_text(answer.data, number)):
                said.append(f"object {number:#x}={text}")
        await self.link.quiet()
        if self.link.voided:
            self.link.voided.clear()
            raise Ended("timeout", "identity: two answers came to one question")
        return ", ".join(said) or None

    async def _ask_who(self, requests: Sequence[Request]) -> Answer | None:
        """One identity read; None when the meter refuses it. Silence ends the poll."""
        outcome = await self.ask(requests)
        if isinstance(outcome, Silence):
            if outcome.reason == "no-shape":
                self.meter.refuse_stranger()
            raise Ended(outcome.reason, f"identity: {outcome.detail}")
        return outcome if isinstance(outcome, Answer) else None

    async def _read(self, block: BlockSet) -> bool:
        """One block; once more, in another shape, when its answer is doubted. A second read that fails is no failure of
        the poll: its block has answered. False: it waits for a shape."""
        read = self._block_twice if self.meter.line.shared else self._block
        outcome = await read(block, block.requests)
        if isinstance(outcome, Silence) and outcome.until is not None and self._can_wait(outcome.until):
            self.until = min(self.until, outcome.until)
            return False
        answer = self._book(block, outcome)
        if answer is not None and self.meter.doubts is not None and self.meter.doubts(answer):
            outcome = await read(block, block.again)
            if isinstance(outcome, Answer):
                self._book(block, outcome)
            else:
                log.debug("%s: no second look at its counters: %s", self.meter.spec.name, outcome)
        return True

    async def _block(self, block: BlockSet, requests: Sequence[Request]) -> Outcome:
        """Ask for one block, unless nothing can come of it."""
        if self.down is not None:
            return Silence("line-down", self.down)
        if self.meter.stopping():
            return Silence("stopped", "the gateway is stopping")
        if self.silences >= (1 if self.probe else 2):
            return Silence("timeout", SILENT)
        try:
            return await self._ask(requests)
        except LineDown as error:
            self.down = str(error)
            return Silence("line-down", self.down)

    async def _block_twice(self, block: BlockSet, requests: Sequence[Request]) -> Outcome:
        """On a shared line: two answers of two shapes, with the same witness in both."""
        first = await self._block(block, requests)
        if not isinstance(first, Answer):
            return first
        second = await self._block(block, requests)
        if isinstance(second, Silence):
            return replace(second, until=None)  # the first answer does not keep
        if not isinstance(second, Answer):
            return second
        witnesses = [
            _words(block.asked(a.request), a.registers(), self.meter.spec.profile.identity) for a in (first, second)
        ]
        if not witnesses[0]:
            return Silence("shared", "no identity point can be read along with this block")
        if witnesses[0] != witnesses[1] or first.number in self.link.voided:
            return Silence("shared", "two answers do not come from one meter")
        return second

    def _book(self, block: BlockSet, outcome: Outcome) -> BlockAnswer | None:
        """Take what a read came to; gives the answer if it was one."""
        if isinstance(outcome, Answer):
            completed_ms = self.meter.clock.at_ms(outcome.completed)
            asked = block.asked(outcome.request)
            self.reads.append((self._without_witness(block.block), asked, None))
            answer = BlockAnswer(self._without_witness(asked), outcome.registers(), completed_ms)
            self.answers.append((outcome.number, answer))
            return answer
        if isinstance(outcome, Refusal):
            if outcome.code in ILLEGAL and not outcome.doubtful:
                planned = self._without_witness(block.block)
                self.reads.append((planned, block.asked(outcome.request), outcome.code))
            detail = f"exception {outcome.code:02X}"
            self.failures.append(BlockFailure(block.block, "refused", detail, outcome.code))
        else:
            if outcome.reason == "no-shape":
                self.meter.prefer(block)
            self.failures.append(BlockFailure(block.block, outcome.reason, outcome.detail))
        return None

    def _without_witness(self, block: Block) -> Block:
        """Points that were read along only to tell who answers are no values of the poll."""
        if not self.meter.line.shared:
            return block
        names = {point.name for point in self.meter.spec.points}
        return replace(block, points=tuple((p, offset) for p, offset in block.points if p.name in names))

    def _void(self) -> None:
        """Take out the answers that a second frame made doubtful."""
        for number, answer in self.answers:
            if number in self.link.voided:
                self.failures.append(BlockFailure(answer.block, "timeout", "two answers came to one question"))
        self.answers = [(n, answer) for n, answer in self.answers if n not in self.link.voided]
        self.link.voided.clear()

    def _give_up(self, reason: str, detail: str) -> None:
        self.failures += [BlockFailure(block.block, reason, detail) for block in self.left or ()]
        self.left = ()

    def _finished(self, reason: str, detail: str) -> Attempt:
        """The poll as it is; what is left of it has failed for this reason."""
        self._give_up(reason, detail)
        self.meter.learn_reads(self.reads)
        return self._attempt()

    def _attempt(self, missed: str | None = None, detail: str = "") -> Attempt:
        if missed is None and not self.answers:
            found = {failure.reason: failure.detail for failure in self.failures}
            missed = next((reason for reason in _REASONS if reason in found), "timeout")
            detail = found.get(missed, "")
        poll = Poll(
            meter=self.meter.spec.name,
            due_ms=self.due_ms,
            answers=tuple(answer for _, answer in self.answers),
            failures=tuple(self.failures),
            missed=missed,
            flags=self.meter.flags | (int(Quality.METER_EXCHANGED) if missed == "exchanged" else 0),
            identity=self.meter.identity,
            detail=detail,
        )
        alive = True if self.spoke else False if missed == "timeout" else None
        return Attempt(poll, alive, self.down)


def _not_there(points: tuple[Point, ...]) -> list[BlockFailure]:
    """The points of models that a SunSpec device does not have: not found."""
    if not points:
        return []
    models = ", ".join(map(str, sorted({p.model for p in points if p.model is not None})))
    block = Block(points[0].fc, 0, 0, tuple((p, 0) for p in points))
    return [BlockFailure(block, "refused", f"the device has no model {models}", ILLEGAL_ADDRESS)]


def _hole(point: Point) -> BlockFailure:
    block = Block(point.fc, point.address, point.registers, ((point, 0),))
    return BlockFailure(block, "refused", "the device does not have this point", ILLEGAL_ADDRESS)


def _words(block: Block, registers: tuple[int, ...], names: Sequence[str]) -> list[str]:
    """The points of these names as ``name=value``; what the device leaves blank tells nothing."""
    words = []
    for point, own in block.slices(registers):
        value = decode(point, own).value if point.name in names else None
        if value not in (None, "", 0):
            words.append(f"{point.name}={value}")
    return words
