"""One meter on its line: makes its polls, and knows whether it is still the same meter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.clock import Clock
from gateway.devices.decode import decode
from gateway.devices.plan import Block, resolve
from gateway.devices.profile import Point
from gateway.fieldbus.blocks import BlockSet, ReadPlan, Shapes, read_plan
from gateway.fieldbus.cuts import ILLEGAL, Cuts
from gateway.fieldbus.errors import LineDown
from gateway.fieldbus.frames import Request, identification_object, object_text
from gateway.fieldbus.link import Answer, Link, Manners, Outcome, Refusal, Silence
from gateway.fieldbus.spec import BlockAnswer, BlockFailure, LineSpec, MeterSpec, Poll
from gateway.fieldbus.sunspec import Ask, Discovery
from ledger_client.record import Quality

log = logging.getLogger("meterseal.fieldbus")

IDENTITY_EVERY_S = 3600.0
MARGIN = 1.25
OUTAGE_S = 60.0
"""After so long without an answer it may be another meter that answers next."""
ILLEGAL_ADDRESS = 2
_REASONS = ("line-down", "timeout", "refused", "shared", "no-shape", "stopped")


class Attempt(NamedTuple):
    """A finished poll, and what it says of the meter: it answered, it was silent, or (None) it was not heard out.
    ``down``: why the line broke off, if it did."""

    poll: Poll
    alive: bool | None
    down: str | None = None


class _Ended(Exception):
    """The poll ends before any block is read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class MeterReader:
    """Makes the polls of one meter.

    ``identity`` is who values are accepted from, None until it was read for the first time. When another meter answers,
    its polls are missed as ``exchanged`` until ``accept``. ``stopping`` ends a poll after the read in flight.
    ``doubts`` is asked of each answered block whether to read it once more at once. ``avoided`` tells which shapes of
    this unit another master uses, at a monotonic time.
    """

    def __init__(
        self,
        line: LineSpec,
        spec: MeterSpec,
        clock: Clock,
        stopping: Callable[[], bool],
        identity: str | None = None,
        *,
        doubts: Callable[[BlockAnswer], bool] | None = None,
        avoided: Callable[[float], Shapes] = lambda now: frozenset(),
        armed: bool = True,
    ) -> None:
        self.doubts, self._avoided = doubts, avoided
        self.line, self.spec, self.clock, self.stopping, self.identity = line, spec, clock, stopping, identity
        self._armed = armed
        self.manners = Manners(
            timeout_s=line.timeout_of(spec) / 1000,
            pause_s=spec.profile.pause_ms / 1000,
            leading_bytes=spec.profile.leading_bytes,
            direct=line.direct(spec),
        )
        self.heard_at = clock.monotonic()
        self._plan: ReadPlan | None = None
        self._search: Discovery | None = None
        self._cuts: Cuts | None = None
        self._connection: tuple[Link, int] | None = None
        self._proven_at: float | None = None
        self._unproven = False
        self._stranger: str | None = None

    async def poll(self, link: Link, due_ms: int, *, probe: bool = False) -> Attempt:
        """Read the meter once. ``probe``: it was silent before, so one silent block says enough."""
        self._note(link)
        return await _Turn(self, link, due_ms, probe).run()

    def accept(self, identity: str) -> None:
        """From now on values come from this meter."""
        self.identity, self._stranger, self._proven_at = identity, None, None

    def learn(self, latency_s: float) -> None:
        """An answer came so long after its question: wait longer from now on. Learning only lengthens."""
        longest = self.line.timeout_max_of(self.spec) / 1000
        timeout_s = min(longest, latency_s * MARGIN)
        if timeout_s > self.manners.timeout_s:
            log.info("%s: answers late; its time-out is now %d ms", self.spec.name, timeout_s * 1000)
            self.manners = replace(self.manners, timeout_s=timeout_s)

    @property
    def asleep(self) -> bool:
        """A device that may sleep was not heard for a while."""
        return self.spec.profile.may_sleep and self.clock.monotonic() - self.heard_at > OUTAGE_S

    @property
    def stranger(self) -> str | None:
        """The identity of another device that answered last in place of the known one, if it was another."""
        return self._stranger

    @property
    def flags(self) -> int:
        """Quality bits for all values of this meter."""
        return int(Quality.IDENTITY_UNPROVEN) if self._unproven else 0

    @property
    def proven(self) -> bool:
        """Who it is was read on this connection, within the hour, and not before a long silence."""
        return self._proven_at is not None

    def prove(self, found: str | None) -> None:
        """Take the identity that was read (None: the wire tells none); ends the poll when it is another meter's."""
        self._unproven = found is None
        if found is not None and self.identity is None:
            self.identity = found
        if found is not None and found != self.identity:
            self._stranger = found
            self.refuse_stranger()
        self._stranger, self._proven_at = None, self.clock.monotonic()

    def refuse_stranger(self) -> None:
        """End the poll when it was another meter that answered last."""
        if self._stranger is not None:
            raise _Ended("exchanged", f"{self._stranger} answers in place of {self.identity}")

    async def plan(self, ask: Ask) -> ReadPlan:
        """The read plan; of a SunSpec device after discovery on this connection. Made anew when another master takes a
        shape, or has left one alone for a day."""
        avoid = self._avoided(self.clock.monotonic())
        if self._plan is None or self._plan.avoid != avoid:
            profile, points = self.spec.profile, self.spec.points
            missing: tuple[Point, ...] = ()
            if profile.protocol == "sunspec":
                search = self._search = self._search or Discovery(self.spec.address, direct=self.manners.direct)
                ended = await search.run(ask)
                if isinstance(ended, Silence):
                    raise _Ended(ended.reason, f"SunSpec discovery: {ended.detail}")
                if ended is not None:
                    raise _Ended("refused", "no SunSpec map at 40000, 0 or 50000")
                missing = tuple(p for p in points if p.model not in search.models)
                profile, points = search.profile(profile), resolve(points, search.models)
            if self._cuts is None:
                self._cuts = Cuts(points)
            self._plan = read_plan(
                self.line, self.spec, profile, points, missing, cuts=self._cuts, avoid=avoid, armed=self._armed
            )
        return self._plan

    def learn_reads(self, reads: Sequence[tuple[Block, Block, int | None]]) -> None:
        """Take what a poll's reads taught; the next poll is planned anew when that changes anything."""
        if self._cuts is not None and self._cuts.note(reads, self.clock.monotonic()):
            holes = ", ".join(self._cuts.holes) or "none"
            log.warning(
                "%s: refuses some reads and is asked in others; points that it lacks: %s", self.spec.name, holes
            )
            self._plan = None

    @property
    def holes(self) -> tuple[Point, ...]:
        """Points that the device refused again and again; they are tried once a day."""
        return self._cuts.missing() if self._cuts is not None else ()

    def _note(self, link: Link) -> None:
        """Forget what was proven on another connection, before a long silence, or an hour ago."""
        connection, now = (link, link.generation), self.clock.monotonic()
        if connection != self._connection:
            self._connection, self._proven_at = connection, None
            if self.spec.profile.protocol == "sunspec":
                self._plan = self._search = self._cuts = None
        elif self._proven_at is not None and (
            now - self.heard_at > OUTAGE_S + self.spec.period_ms / 1000 or now - self._proven_at > IDENTITY_EVERY_S
        ):
            self._proven_at = None
        if self._cuts is not None and self._cuts.retry(now):
            self._plan = None


class _Turn:
    """One poll in the making."""

    __slots__ = ("answers", "down", "due_ms", "failures", "link", "meter", "probe", "reads", "silences", "spoke")

    def __init__(self, meter: MeterReader, link: Link, due_ms: int, probe: bool) -> None:
        self.meter, self.link, self.due_ms, self.probe = meter, link, due_ms, probe
        self.answers: list[tuple[int, BlockAnswer]] = []
        self.failures: list[BlockFailure] = []
        self.reads: list[tuple[Block, Block, int | None]] = []
        self.spoke = False
        self.silences = 0
        self.down: str | None = None

    async def run(self) -> Attempt:
        """Plan, identity, blocks."""
        try:
            plan = await self.meter.plan(self.ask)
            if not self.meter.proven:
                self.meter.prove(await self._identity(plan))
        except _Ended as ended:
            return self._attempt(ended.reason, ended.detail)
        except LineDown as error:
            self.down = str(error)
            return self._attempt("line-down", self.down)
        self.failures += _not_there(plan.missing)
        self.failures += [_hole(point) for point in self.meter.holes]
        for block in plan.blocks:
            await self._read(block)
        try:
            await self.link.quiet()
        except LineDown as error:
            self.down = self.down or str(error)
        self._void()
        self.meter.learn_reads(self.reads)
        return self._attempt()

    async def ask(self, requests: Sequence[Request]) -> Outcome:
        """One read; whatever is heard of the meter is noted."""
        outcome = await self.link.read(requests, self.meter.manners)
        if isinstance(outcome, Silence):
            self.silences += outcome.reason == "timeout"
        else:
            self.silences, self.spoke = 0, True
            self.meter.heard_at = self.meter.clock.monotonic()
        return outcome

    async def _identity(self, plan: ReadPlan) -> str | None:
        """Read who the meter is; None when it does not tell."""
        words: list[str] = []
        for block in plan.identity:
            if answer := await self._ask_who(block.requests):
                words += _words(block.asked(answer.request), answer.registers(), self.meter.spec.profile.identity)
        number = self.meter.spec.profile.identity_object
        if number is not None:
            request = identification_object(self.meter.spec.address, number)
            if (answer := await self._ask_who((request,))) and (text := object_text(answer.data, number)):
                words.append(f"object {number:#x}={text}")
        await self.link.quiet()
        if self.link.voided:
            self.link.voided.clear()
            raise _Ended("timeout", "identity: two answers came to one question")
        return ", ".join(words) or None

    async def _ask_who(self, requests: Sequence[Request]) -> Answer | None:
        """One identity read; None when the meter refuses it. Silence ends the poll."""
        outcome = await self.ask(requests)
        if isinstance(outcome, Silence):
            if outcome.reason == "no-shape":
                self.meter.refuse_stranger()
            raise _Ended(outcome.reason, f"identity: {outcome.detail}")
        return outcome if isinstance(outcome, Answer) else None

    async def _read(self, block: BlockSet) -> None:
        """One block; once more, in another shape, when its answer is doubted. A second read that fails is no failure of
        the poll: its block has answered."""
        read = self._block_twice if self.meter.line.shared else self._block
        answer = self._book(block, await read(block, block.requests))
        if answer is not None and self.meter.doubts is not None and self.meter.doubts(answer):
            outcome = await read(block, block.again)
            if isinstance(outcome, Answer):
                self._book(block, outcome)
            else:
                log.debug("%s: no second look at its counters: %s", self.meter.spec.name, outcome)

    async def _block(self, block: BlockSet, requests: Sequence[Request]) -> Outcome:
        """Ask for one block, unless nothing can come of it."""
        if self.down is not None:
            return Silence("line-down", self.down)
        if self.meter.stopping():
            return Silence("stopped", "the gateway is stopping")
        if self.silences >= (1 if self.probe else 2):
            return Silence("timeout", "not asked: the meter is silent")
        try:
            return await self.ask(requests)
        except LineDown as error:
            self.down = str(error)
            return Silence("line-down", self.down)

    async def _block_twice(self, block: BlockSet, requests: Sequence[Request]) -> Outcome:
        """On a shared line: two answers of two shapes, with the same witness in both."""
        first = await self._block(block, requests)
        if not isinstance(first, Answer):
            return first
        second = await self._block(block, requests)
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
