"""One meter on its line: what is known of it from poll to poll, and whether it is still the same meter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.clock import Clock
from gateway.devices.plan import Block, resolve
from gateway.devices.profile import Point
from gateway.fieldbus.blocks import BlockSet, ReadPlan, Shapes, read_plan
from gateway.fieldbus.cuts import Cuts
from gateway.fieldbus.link import Link, Manners, Silence
from gateway.fieldbus.spec import BlockAnswer, LineSpec, MeterSpec
from gateway.fieldbus.sunspec import Ask, Discovery
from ledger_client.record import Quality

log = logging.getLogger("meterseal.fieldbus")

IDENTITY_EVERY_S = 3600.0
MARGIN = 1.25
OUTAGE_S = 60.0
"""After so long without an answer it may be another meter that answers next."""


class Ended(Exception):
    """The poll ends before any block is read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class MeterReader:
    """What the polls of one meter (``turn.Turn``) have in common.

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
        self._renewals, self._mapped_at, self._mapped = 0, 0.0, dict[int, int]()
        self._proven_at: float | None = None
        self._unproven = False
        self._stranger: str | None = None

    def accept(self, identity: str) -> None:
        """From now on values come from this meter."""
        self.identity, self._stranger, self._proven_at = identity, None, None

    def learn(self, latency_s: float) -> None:
        """An answer came so long after its question: wait longer from now on. Learning only lengthens."""
        longest = self.line.timeout_max_of(self.spec) / 1000
        timeout_s = min(longest, latency_s * MARGIN)
        if timeout_s > self.manners.timeout_s:
            text = "%s: answers late; its time-out is now %d ms"
            log.info(text, self.spec.name, timeout_s * 1000, extra={"line": self.line.name, "meter": self.spec.name})
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
            raise Ended("exchanged", f"{self._stranger} answers in place of {self.identity}")

    async def plan(self, ask: Ask) -> ReadPlan:
        """The read plan; of a SunSpec device after discovery on this connection. Made anew when another master takes a
        shape, or has left one alone for an hour."""
        avoid = self._avoided(self.clock.monotonic())
        if self._plan is None or self._plan.avoid != avoid:
            profile, points = self.spec.profile, self.spec.points
            missing: tuple[Point, ...] = ()
            if profile.protocol == "sunspec":
                search = self._search = self._search or Discovery(self.spec.address, direct=self.manners.direct)
                ended = await search.run(ask)
                if isinstance(ended, Silence):
                    raise Ended(ended.reason, f"SunSpec discovery: {ended.detail}")
                if ended is not None:
                    raise Ended("refused", "no SunSpec map at 40000, 0 or 50000")
                if search.models != self._mapped:
                    self._cuts = None
                self._mapped, self._mapped_at = search.models, self._mapped_at or self.clock.monotonic()
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
            text = "%s: refuses some reads and is asked in others; points that it lacks: %s"
            log.warning(text, self.spec.name, holes, extra={"line": self.line.name, "meter": self.spec.name})
            self._plan = None

    @property
    def holes(self) -> tuple[Point, ...]:
        """Points that the device refused again and again; they are tried once a day."""
        return self._cuts.missing() if self._cuts is not None else ()

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
            if self.spec.profile.protocol == "sunspec":
                self._plan = self._search = None
        elif (renewed and self._proven_at is not None and now - self._proven_at > OUTAGE_S) or (
            self._proven_at is not None
            and (
                now - self.heard_at > OUTAGE_S + self.spec.period_ms / 1000 or now - self._proven_at > IDENTITY_EVERY_S
            )
        ):
            self._proven_at = None
        if self._cuts is not None and self._cuts.retry(now):
            self._plan = None
        return other
