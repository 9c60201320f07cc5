"""Poll attempt: reads the identity and the blocks of one meter, and decides what its poll has given.

A read whose shapes are all too young waits for one, if there is one in time: the poll then ends for now (``run`` gives
the moment), the line is free for others, and ``run`` goes on with what is left.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gateway.devices.blocks import Block
from gateway.devices.points import Point
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.polling.meter_state import Ended, MeterState
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.fieldbus.wire.dialect import BlockSet, Dialect, ReadPlan
from gateway.fieldbus.wire.errors import LineDown, Unreachable
from gateway.fieldbus.wire.framing import Refused
from gateway.fieldbus.wire.keys import LONGEST_LIFE_S, Question
from gateway.fieldbus.wire.link import TWO_ANSWERS, Answer, Link, Outcome, Refusal, Silence
from gateway.messages.message import Message
from gateway.process.heartbeats import beat
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.fieldbus")

READ_MORE_S = 10.0  # a lost connection is made anew, a line that is not quiet is waited for
SILENT = Message("poll-meter-silent")
STOPPING = Message("poll-gateway-stopping")
REPLACED = Message("poll-connection-replaced")
_REASONS = ("line-down", "timeout", "refused", "shared", "no-shape", "stopped")


class AttemptResult(NamedTuple):
    """A finished poll, and what it says of the meter: it answered, it was silent, or (None) it was not heard out.
    ``down``: why the line broke off, if it did; ``unreachable``: since the other end is gone."""

    poll: Poll
    alive: bool | None
    down: Sentence | None = None
    unreachable: bool = False


class _Waits(Exception):
    """Nothing can be read before ``until``."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


class PollAttempt:
    """One poll. ``probe``: the meter was silent before, so one silent block says enough, and nothing is waited for.
    ``patient``: a shape is waited for beyond the period, for an answer life."""

    __slots__ = (
        "answers", "down", "due_ms", "failures", "identity_words", "left", "link", "meter", "patient", "probe",
        "questioned", "reads", "silences", "spent_s", "spoke", "unreachable", "until",
    )  # fmt: skip

    def __init__(
        self, meter: MeterState, link: Link, due_ms: int, *, probe: bool = False, patient: bool = False
    ) -> None:
        self.meter, self.link, self.due_ms, self.probe, self.patient = meter, link, due_ms, probe, patient
        self.answers: list[tuple[int, BlockAnswer]] = []
        self.failures: list[BlockFailure] = []
        self.reads: list[tuple[Block, Block, Refused | None]] = []
        self.left: Sequence[BlockSet] | None = None
        self.identity_words: dict[int, list[str]] = {}
        self.questioned = False
        """What it has read counts only once it is known again who answers."""
        self.spoke = False
        self.silences = 0
        self.down: Sentence | None = None
        self.unreachable = False
        self.until = math.inf
        self.spent_s = 0.0
        """For the caller: how long it had the line."""
        meter.begin()

    async def run(self) -> AttemptResult | float:
        """Read on. The finished poll, or the monotonic moment at which there is a shape for what is left of it."""
        other, generation = self.meter.meet(self.link), self.link.generation
        if self.left is None:
            try:
                if other:
                    self.identity_words.clear()
                plan = await self.meter.plan(self.ask)
                if not self.meter.proven or self.meter.proof_due:
                    await self._prove(plan)
                    generation = self.link.generation
            except _Waits as waits:
                return await self._pause(waits.until)
            except Ended as ended:
                return self._attempt(ended.reason, ended.detail)
            except LineDown as error:
                return self._attempt("line-down", self._lost(error))
            self.failures += self._not_there(plan.missing)
            self.failures += [self._hole(point) for point in self.meter.holes]
            self.left = plan.blocks
        elif other:
            self._give_up("line-down", REPLACED)
        elif self.meter.forgotten:
            self._question()
        self.until = math.inf
        self.left = [block for block in self.left if not await self._read(block)]
        if self.link.generation != generation:  # meanwhile: behind another connection may stand another device
            self._question()
            if self.meter.identity is None:
                return self._dropped("line-down", REPLACED)
        try:
            await self.link.quiet()
        except LineDown as error:
            if self.down is None:
                self._lost(error)
        self._void()
        if self.left and self.down is None and self.silences < 2:
            return self.until
        if self.questioned and self.answers and (unproven := await self._prove_again()) is not None:
            return unproven
        return self._finished("timeout" if self.down is None else "line-down", self.down or SILENT)

    def abandon(self, reason: str, detail: Sentence) -> AttemptResult:
        """The poll, which waits, cannot go on."""
        if self.questioned:
            return self._dropped(reason, detail)
        return self._attempt(reason, detail) if self.left is None else self._finished(reason, detail)

    async def ask(self, questions: Sequence[Question]) -> Outcome:
        """One read, of those without which there is none of a block."""
        outcome = await self._ask(questions)
        if isinstance(outcome, Silence) and outcome.until is not None and self._can_wait(outcome.until):
            raise _Waits(outcome.until)
        return outcome

    async def _ask(self, questions: Sequence[Question]) -> Outcome:
        """One read; whatever is heard of the meter is noted."""
        manners = self.meter.manners_now()
        beat(READ_MORE_S + 3 * manners.timeout_s + manners.pause_s)  # another's answer is waited for before
        outcome = await self.link.read(questions, manners)
        if isinstance(outcome, Silence):
            if outcome.reason == "timeout":
                self.silences += 1
                self.meter.doubt()
        else:
            self.silences, self.spoke = 0, True
            self.meter.heard_at = self.meter.clock.monotonic()
        return outcome

    def _can_wait(self, until: float) -> bool:
        """A shape is free before the poll's period ends; for the patient, within an answer life."""
        clock, end_ms = self.meter.clock, self.due_ms + self.meter.spec.period_ms
        left_s = (end_ms - clock.schedule_ms()) / 1000
        if self.patient:
            left_s = 1 + max(left_s, LONGEST_LIFE_S, self.meter.line.answer_life_of(self.meter.spec) / 1000)
        return not self.probe and until < clock.monotonic() + left_s

    async def _pause(self, until: float) -> AttemptResult | float:
        """Leave the line to others before it is known who the meter is."""
        try:
            await self.link.quiet()
        except LineDown as error:
            return self._attempt("line-down", self._lost(error))
        if self.link.voided:
            self.identity_words.clear()
            self.link.voided.clear()
        return until

    async def _prove(self, plan: ReadPlan) -> None:
        """Read who it is. Where that is only due once more, no poll waits or ends for want of a shape."""
        try:
            self.meter.prove(await self._identity(plan))
        except (_Waits, Ended) as none:
            if not self.meter.proven or (isinstance(none, Ended) and none.reason != "no-shape"):
                raise
            self.identity_words.clear()

    async def _prove_again(self) -> AttemptResult | float | None:
        """Read who it is before what was read counts; None: it is the known one."""
        try:
            if self.meter.stopping():
                raise Ended("stopped", STOPPING)
            self.meter.prove(await self._identity(await self.meter.plan(self.ask)))
        except _Waits as waits:
            return await self._pause(waits.until)
        except Ended as ended:
            return self._dropped(ended.reason, ended.detail)
        except LineDown as error:
            return self._dropped("line-down", self._lost(error))
        return None

    def _dropped(self, reason: str, detail: Sentence) -> AttemptResult:
        """Nothing that was read counts."""
        self.answers.clear()
        return self._attempt(reason, detail)

    async def _identity(self, plan: ReadPlan) -> str | None:
        """Read who the meter is; None when it does not tell."""
        for block in plan.identity:
            if block.block.key not in self.identity_words:
                outcome = await self._ask_who(block.questions)
                names = self.meter.spec.profile.identity
                words = block.identity(outcome.question, outcome.raw(), names) if isinstance(outcome, Answer) else []
                if plan.first_only and not words and self._known_by(block) and not _lacks(outcome):
                    self.meter.refuse_stranger()
                    break
                self.identity_words[block.block.key] = words
            if plan.first_only and self.identity_words[block.block.key]:
                break
        read = [word for words in self.identity_words.values() for word in words]
        if plan.object is not None and isinstance(found := await self._ask_who((plan.object.question,)), Answer):
            read += [f"{plan.object.name}={text}"] if (text := plan.object.text(found.data)) else []
        await self.link.quiet()
        if self.link.voided:
            self.link.voided.clear()
            raise Ended("timeout", Message("poll-identity", why=TWO_ANSWERS))
        return ", ".join(read) or None

    def _known_by(self, block: BlockSet) -> bool:
        """The meter is known by a point of this block: another point's text would not be another meter's."""
        known = (self.meter.identity or "").partition("=")[0]
        return any(point.name == known for point in block.block.points)

    async def _ask_who(self, questions: Sequence[Question]) -> Answer | Refusal:
        """One identity read. Silence ends the poll."""
        outcome = await self.ask(questions)
        if isinstance(outcome, Silence):
            if outcome.reason == "no-shape":
                self.meter.refuse_stranger()
            raise Ended(outcome.reason, Message("poll-identity", why=outcome.detail))
        return outcome

    async def _read(self, block: BlockSet) -> bool:
        """One block; once more, in another shape, when its answer is doubted. A second read that fails is no failure of
        the poll: its block has answered. False: it waits for a shape."""
        read = self._block_twice if self.meter.line.shared else self._block
        outcome = await read(block, block.questions)
        if isinstance(outcome, Silence) and outcome.until is not None and self._can_wait(outcome.until):
            self.until = min(self.until, outcome.until)
            return False
        if isinstance(outcome, Answer) and not self._recognised(block, outcome):
            self.failures.append(BlockFailure(block.bare(block.block), "timeout", Message("poll-other-serial")))
            return True
        answer = self._book(block, outcome)
        if answer is not None and self.meter.doubts is not None and self.meter.doubts(answer):
            self.meter.doubt()
            outcome = await read(block, block.again)
            if isinstance(outcome, Answer):
                self._book(block, outcome)
            else:
                log.debug("%s: no second look at its counters: %s", self.meter.spec.name, outcome)
        return True

    def _recognised(self, block: BlockSet, answer: Answer) -> bool:
        """The identity that was read along with a block is the known one; else it is read for itself before anything
        counts."""
        if not block.who:
            return True
        words = block.identity(answer.question, answer.raw(), self.meter.spec.profile.identity)
        if not words or self.meter.recognise(", ".join(words)):
            return True
        self._question()
        return False

    def _question(self) -> None:
        self.questioned = True
        self.identity_words.clear()

    async def _block(self, block: BlockSet, questions: Sequence[Question]) -> Outcome:
        """Ask for one block, unless nothing can come of it."""
        if self.down is not None:
            return Silence("line-down", self.down)
        if self.meter.stopping():
            return Silence("stopped", STOPPING)
        if self.silences and self.silences >= (1 if self.probe else self.meter.patience):
            return Silence("timeout", SILENT)
        try:
            return await self._ask(questions)
        except LineDown as error:
            return Silence("line-down", self._lost(error))

    async def _block_twice(self, block: BlockSet, questions: Sequence[Question]) -> Outcome:
        """On a shared line: two answers of two shapes, with the same witness in both."""
        first = await self._block(block, questions)
        if not isinstance(first, Answer):
            return first
        second = await self._block(block, questions)
        if isinstance(second, Silence):
            return replace(second, until=None)  # the first answer does not keep
        if not isinstance(second, Answer):
            return second
        witnesses = [block.identity(a.question, a.raw(), self.meter.spec.profile.identity) for a in (first, second)]
        if not witnesses[0]:
            return Silence("shared", Message("poll-no-identity-point"))
        if witnesses[0] != witnesses[1] or first.number in self.link.voided:
            return Silence("shared", Message("poll-answers-differ"))
        return second

    def _book(self, block: BlockSet, outcome: Outcome) -> BlockAnswer | None:
        """Take what a read came to; gives the answer if it was one."""
        if isinstance(outcome, Answer):
            completed_ms = self.meter.clock.at_ms(outcome.completed)
            asked = block.asked(outcome.question)
            self.reads.append((block.bare(block.block), asked, None))
            answer = BlockAnswer(block.bare(asked), outcome.raw(), completed_ms, outcome)
            self.answers.append((outcome.number, answer))
            if self.meter.doubted:
                self._question()
            return answer
        if isinstance(outcome, Refusal):
            refused = outcome.refused
            if refused.of_place and not outcome.doubtful:
                self.reads.append((block.bare(block.block), block.asked(outcome.question), refused))
            self.failures.append(BlockFailure(block.bare(block.block), "refused", refused.sentence, refused))
        else:
            if outcome.reason == "no-shape":
                self.meter.prefer(block)
            self.failures.append(BlockFailure(block.bare(block.block), outcome.reason, outcome.detail))
        return None

    def _void(self) -> None:
        """Take out the answers that a second frame made doubtful."""
        if not self.link.voided:
            return
        for number, answer in self.answers:
            if number in self.link.voided:
                self.failures.append(BlockFailure(answer.block, "timeout", TWO_ANSWERS))
        self.answers = [(n, answer) for n, answer in self.answers if n not in self.link.voided]
        self.link.voided.clear()

    def _give_up(self, reason: str, detail: Sentence) -> None:
        self.failures += [BlockFailure(block.bare(block.block), reason, detail) for block in self.left or ()]
        self.left = ()

    def _finished(self, reason: str, detail: Sentence) -> AttemptResult:
        """The poll as it is; what is left of it has failed for this reason."""
        self._give_up(reason, detail)
        self.meter.learn_reads(self.reads)
        return self._attempt()

    def _attempt(self, missed: str | None = None, detail: Sentence = "") -> AttemptResult:
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
        return AttemptResult(poll, alive, self.down, self.unreachable)

    def _not_there(self, points: tuple[Point, ...]) -> list[BlockFailure]:
        """The points of models that a SunSpec device does not have: not found."""
        if not points:
            return []
        models = tuple(map(str, sorted({p.model for p in points if p.model is not None})))
        block = self._dialect.unread(points)
        refused = self._dialect.hole(points[0])._replace(sentence=Message("poll-no-model", models=models))
        return [BlockFailure(block, "refused", refused.sentence, refused)]

    def _hole(self, point: Point) -> BlockFailure:
        """A point that the device refused again and again."""
        block = self._dialect.unread((point,))
        refused = self._dialect.hole(point)
        return BlockFailure(block, "refused", refused.sentence, refused)

    @property
    def _dialect(self) -> Dialect:
        return DIALECTS[self.meter.line.type]

    def _lost(self, error: LineDown) -> Sentence:
        """The line broke off under a read."""
        self.down, self.unreachable = error.sentence, isinstance(error, Unreachable)
        return error.sentence


def _lacks(outcome: Answer | Refusal) -> bool:
    """The meter does not have what it was asked for, and will not have it next time."""
    return isinstance(outcome, Refusal) and outcome.refused.lasting and not outcome.doubtful
