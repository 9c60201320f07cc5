"""State of one meter from poll to poll: its identity, its read plan, and what its answers have taught."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gateway.clock import Clock
from gateway.devices.points import Point
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.specs import BlockAnswer
from gateway.fieldbus.wire.dialect import Ask, BlockSet, Discovery, Keys, LearnedLimits, ReadPlan, Reads
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.link import Link, Manners, Silence
from gateway.messages.message import Message
from gateway.process.threads import in_thread
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.fieldbus")

IDENTITY_EVERY_S = 3600.0
MARGIN = 1.25
OUTAGE_S = 60.0
"""After so long without an answer it may be another meter that answers next."""


class Ended(Exception):
    """The poll ends before any block is read."""

    def __init__(self, reason: str, detail: Sentence) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class MeterState:
    """What the polls of one meter (``PollAttempt``) have in common. Owned by the event loop.

    ``identity`` is who values are accepted from, None until it was read for the first time. When another meter answers,
    its polls are missed as ``exchanged`` until ``accept``.

    Args:
        stopping: whether a poll is to end after the read in flight.
        identity: the accepted identity, if there is one.
        doubts: whether an answered block is to be read once more at once.
        avoided: the shapes of this unit that another master uses, at a monotonic time in seconds.
        others_at: the monotonic time in seconds from which on another meter is due.
        identity_every_s: how often the identity is read again.
        armed: False plans as if there were no guard against late answers.
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
        avoided: Callable[[float], Keys] = lambda now: frozenset(),
        others_at: Callable[[], float] = lambda: math.inf,
        identity_every_s: float = IDENTITY_EVERY_S,
        armed: bool = True,
    ) -> None:
        self.doubts, self._avoided, self._others_at = doubts, avoided, others_at
        self.line, self.spec, self.clock, self.stopping, self.identity = line, spec, clock, stopping, identity
        self._armed, self._identity_every_s = armed, identity_every_s
        self._timeout_s = line.timeout_of(spec) / 1000
        self.manners = Manners(
            timeout_s=self._timeout_s,
            pause_s=spec.profile.pause_ms / 1000,
            leading_bytes=spec.profile.leading_bytes,
            direct=line.direct(spec),
        )
        self.heard_at = clock.monotonic()
        self._dialect = DIALECTS[line.type]
        self._plan: ReadPlan | None = None
        self._search: Discovery | None = None
        self._learned: LearnedLimits | None = None
        self._connection: tuple[Link, int] | None = None
        self._renewals, self._mapped_at, self._mapped = 0, 0.0, None
        self._proven_at: float | None = None
        self._unproven = False
        self._stranger: str | None = None
        self._has_identity = bool(spec.profile.identity) or spec.profile.identity_object is not None
        self._doubted = self._asked_again = False
        self._along = True

    def accept(self, identity: str | None) -> None:
        """From now on values come from this meter; None: from whoever answers."""
        self.identity, self._stranger, self._proven_at = identity, None, None

    def learn(self, latency_s: float) -> None:
        """An answer came so long after its question: wait longer from now on. Learning only lengthens."""
        longest = self.line.timeout_max_of(self.spec) / 1000
        timeout_s = min(longest, latency_s * MARGIN)
        if timeout_s > self.manners.timeout_s:
            text = "%s: answers late; time-out is now %d ms"
            log.info(text, self.spec.name, timeout_s * 1000, extra={"line": self.line.name, "meter": self.spec.name})
            self.manners = replace(self.manners, timeout_s=timeout_s)

    def manners_now(self) -> Manners:
        """How to read now: what late answers have taught to wait longer takes idle time only, never another meter's."""
        if not self._answers_late:
            return self.manners
        timeout_s = max(self._timeout_s, min(self.manners.timeout_s, self._idle_s()))
        return replace(self.manners, timeout_s=timeout_s)

    @property
    def patience(self) -> int:
        """How many silences in a row end a poll: two; one for a meter that answers late, where another meter is due
        before the next question could time out."""
        return 1 if self._answers_late and self._idle_s() < self._timeout_s else 2

    @property
    def _answers_late(self) -> bool:
        return self.manners.timeout_s > self._timeout_s

    def _idle_s(self) -> float:
        return self._others_at() - self.clock.monotonic()

    @property
    def stranger(self) -> str | None:
        """The identity of another device that answered last in place of the known one, if it was another."""
        return self._stranger

    @property
    def unproven(self) -> bool:
        """It did not say who it is when it was last asked."""
        return self._unproven

    @property
    def flags(self) -> int:
        """Quality bits for all values of this meter."""
        return int(Quality.IDENTITY_UNPROVEN) if self._unproven else 0

    @property
    def proven(self) -> bool:
        """Who it is was read on this connection, within the hour, and not before a long silence or what made it
        doubtful."""
        return self._proven_at is not None and not self._doubted

    @property
    def forgotten(self) -> bool:
        """Who it is was not read, or so long ago that it does not count."""
        return self._proven_at is None

    @property
    def proof_due(self) -> bool:
        """Who it is should be read again, if that costs no poll."""
        return self._proven_at is not None and self.clock.monotonic() - self._proven_at >= self._identity_every_s

    @property
    def doubted(self) -> bool:
        """Something befell it that another device could be behind: what answers counts once it is known who it is."""
        return self._doubted

    def doubt(self) -> None:
        """A read timed out, a frame came damaged or twice, a counter fell: who it is is read before more values count.
        Once: what befalls it in the very poll in which that was read again does not count anew, or a meter that never
        answers the read behind that one would give no value any more."""
        self._doubted = self._doubted or (self._has_identity and not self._asked_again)

    def begin(self) -> None:
        """A poll of it begins."""
        self._asked_again = False

    def prove(self, found: str | None) -> None:
        """Take the identity that was read (None: the wire tells none); ends the poll when it is another meter's."""
        self._unproven = found is None
        if found is not None and self.identity is None:
            self.identity = found
        if found is not None and found != self.identity:
            self._stranger, self._proven_at = found, None
            self.refuse_stranger()
        self._stranger, self._proven_at = None, self.clock.monotonic()
        self._asked_again, self._doubted = self._asked_again or self._doubted, False

    def recognise(self, found: str) -> bool:
        """Take the identity that was read along with a block: it is the known one, or must be read for itself."""
        if found == self.identity and self._proven_at is not None:
            self._proven_at = self.clock.monotonic()
        return found == self.identity

    def refuse_stranger(self) -> None:
        """End the poll when it was another meter that answered last."""
        if self._stranger is not None:
            other = Message("poll-other-meter", stranger=self._stranger, identity=self.identity or "")
            raise Ended("exchanged", other)

    async def plan(self, ask: Ask) -> ReadPlan:
        """The read plan; of a SunSpec device after discovery on this connection. Made anew when another master takes a
        shape, or has left one alone for an hour."""
        avoid = self._avoided(self.clock.monotonic())
        if self._plan is None or self._plan.avoid != avoid:
            profile, points = self.spec.profile, self.spec.points
            missing: tuple[Point, ...] = ()
            search = self._search = self._search or self._dialect.discovery(self.line, self.spec)
            if search is not None:
                ended = await search.run(ask)
                if isinstance(ended, Silence):
                    raise Ended(ended.reason, Message("sunspec-discovery", why=ended.detail))
                if ended is not None:
                    raise Ended("refused", Message("sunspec-no-map"))
                if search.found != self._mapped:
                    self._learned = None
                self._mapped, self._mapped_at = search.found, self._mapped_at or self.clock.monotonic()
                profile, points, missing = search.resolved(profile, points)
            if self._learned is None:
                self._learned = self._dialect.learned(points)
            work = partial(
                self._dialect.plan, self.line, self.spec, profile, points, missing,
                learned=self._learned, avoid=avoid, armed=self._armed, along=self._along,
            )  # fmt: skip
            self._plan = await in_thread(work, f"plan {self.spec.name}")  # hundreds of isolated points take seconds
        return self._plan

    def learn_reads(self, reads: Reads) -> None:
        """Take what a poll's reads taught; the next poll is planned anew when that changes anything."""
        if self._learned is not None and self._learned.note(reads, self.clock.monotonic()):
            holes = ", ".join(self._learned.holes) or "none"
            text = "%s: rejects some reads, polled in others from now on; points that it does not have: %s"
            log.warning(text, self.spec.name, holes, extra={"line": self.line.name, "meter": self.spec.name})
            if self._along and self._plan is not None and any(block.who for block in self._plan.blocks):
                self._along, self._learned = False, None  # it may be the identity alone that it does not give along
            self._plan = None

    @property
    def holes(self) -> tuple[Point, ...]:
        """Points that the device refused again and again; they are tried once a day."""
        return self._learned.missing() if self._learned is not None else ()

    @property
    def unasked(self) -> tuple[str, ...]:
        """Points that cannot be asked, since another master uses every shape that is left for them; all of them where
        that goes for who the meter is and it has to be read."""
        plan = self._plan
        if plan is None or not plan.avoid:
            return ()
        blocks = [block for block in plan.blocks if self._starved(block, plan.avoid)]
        if not self.proven and any(self._starved(block, plan.avoid) for block in plan.identity):
            blocks = list(plan.blocks)
        wanted = {point.name for point in self.spec.points if point.kind != "scale"}
        return tuple(p.name for block in blocks for p in block.block.points if p.name in wanted)

    def _starved(self, block: BlockSet, avoid: Keys) -> bool:
        """It needs one shape, or two on a line that is known to be shared."""
        return len({q.key[1:] for q in block.questions} - avoid) < (2 if self.line.shared else 1)

    def prefer(self, hungry: BlockSet) -> None:
        """A block that found no shape in time: in the next poll it comes before those that took them."""
        if self._plan is not None:
            blocks = sorted(self._plan.blocks, key=lambda block: block is not hungry)
            self._plan = replace(self._plan, blocks=tuple(blocks))

    def meet(self, link: Link) -> bool:
        """Forget what was proven on another connection, before a long silence, or an hour ago. True: this connection is
        another one than that of the last read, and nothing of that one counts.

        Where the device closed the last connection behind its answer, what was read less than a minute ago counts.
        """
        connection, now = (link, link.generation), self.clock.monotonic()
        other, renewed = connection != self._connection, link.renewals != self._renewals
        self._renewals = link.renewals
        if renewed and self._mapped_at and now - self._mapped_at > OUTAGE_S:
            other = True
        if other:
            self._connection, self._proven_at, self._mapped_at = connection, None, 0.0
            if self._search is not None:
                self._plan = self._search = None
        elif self._proven_at is not None:
            counts_s = OUTAGE_S if renewed else IDENTITY_EVERY_S
            if now - self.heard_at > OUTAGE_S + self.spec.period_ms / 1000 or now - self._proven_at > counts_s:
                self._proven_at = None
        if self._learned is not None and self._learned.retry(now):
            self._plan = None
        return other
