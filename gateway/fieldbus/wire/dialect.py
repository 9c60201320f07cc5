"""Dialect interface: what asking a meter needs to know of its protocol, and the read plan that it makes.

One a protocol, stateless: ``fieldbus.dialects`` has the one of each type of bus. All but ``discovery`` is pure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from gateway.devices.blocks import Block, Decoder, Raw
from gateway.devices.points import Point, Profile
from gateway.fieldbus.wire.framing import Framing, Refused
from gateway.fieldbus.wire.keys import Key, Question
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.link import Outcome, Refusal, Silence
from gateway.messages.message import Message

Ask = Callable[[Sequence[Question]], Awaitable[Outcome]]
Keys = frozenset[Key]
"""Keys of one unit, without the unit."""
Reads = Sequence[tuple[Block, Block, Refused | None]]
"""Of one poll: block as planned, variant as asked, and the refusal (None: it answered)."""


@dataclass(frozen=True, slots=True)
class BlockSet:
    """One block as planned, its variants (the cheapest first), and the question for each of them.

    ``block`` itself is none of them where its key is another block's or another master's.
    ``spare``: variants that only a second read within one poll may use (``again``), so that it finds a key free.
    ``who``: the whole identity of the meter, if it is read along with this block.
    """

    block: Block
    variants: tuple[Block, ...]
    questions: tuple[Question, ...]
    spare: tuple[Block, ...] = ()
    again: tuple[Question, ...] = ()
    who: tuple[Point, ...] = ()
    _bare: Mapping[int, Block] = field(default_factory=dict, compare=False, repr=False)
    _telling: dict[int, Decoder] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        ask: Callable[[Block], Question],
        block: Block,
        variants: tuple[Block, ...],
        spare: tuple[Block, ...] = (),
        *,
        wanted: Container[str] | None = None,
        who: tuple[Point, ...] = (),
    ) -> BlockSet:
        """The block of one unit. ``ask``: the question for a block; ``wanted``: the points that are values of a poll;
        None: all are."""
        questions, more = (tuple(map(ask, some)) for some in (variants, spare))
        every = (block, *variants, *spare)
        bare = {b.key: b if wanted is None else b.only(wanted) for b in every}
        return cls(block, variants, questions, spare, (*more, *questions), who, bare)

    def bare(self, block: Block) -> Block:
        """The block or one of its variants without the points that are read along only to tell who answers."""
        return self._bare[block.key]

    def asked(self, question: Question) -> Block:
        """The variant that a question asked for."""
        if question is self.questions[0]:
            return self.variants[0]
        return (*self.spare, *self.variants)[self.again.index(question)]

    def identity(self, question: Question, raw: Raw, names: Collection[str]) -> list[str]:
        """The points of these names (always the same) in an answer, as ``name=value``; one that the device leaves
        blank is left out."""
        asked = self.asked(question)
        decoder = self._telling.get(asked.key)
        if decoder is None:
            decoder = self._telling[asked.key] = asked.only(names).decoder({})
        split = decoder.split(raw)
        values = zip(decoder.points, decoder.values(split, decoder.scales(split)), strict=True)
        return [f"{point.name}={value}" for point, value in values if value not in (None, "", 0)]


class IdentityObject(NamedTuple):
    """What tells who a device is and is no point: its name, how it is asked, and its text in an answer's data."""

    name: str
    question: Question
    text: Callable[[bytes], str | None]


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """What a meter is asked: ``blocks`` in every poll, ``identity`` and ``object`` to tell who it is.

    ``k``: how many keys each block needs (``keys.needed``). A block with fewer variants, or with the only one that
    another block has as well, waits out the answer life.
    ``first_only``: the first block of ``identity`` that tells something says who it is.
    ``missing``: points that the device cannot have, and ``missing_because``. ``avoid``: the keys that the plan was made
    without.
    """

    k: int
    blocks: tuple[BlockSet, ...]
    identity: tuple[BlockSet, ...] = ()
    object: IdentityObject | None = None
    first_only: bool = False
    missing: tuple[Point, ...] = ()
    avoid: Keys = frozenset()


class LearnedLimits(Protocol):
    """What a device has shown that it does not answer; changes its reads."""

    @property
    def holes(self) -> Mapping[str, float]:
        """Points that the device does not have, by name, with the monotonic moment at which they are tried again."""

    def missing(self) -> tuple[Point, ...]:
        """The points of all holes."""

    def retry(self, now: float) -> bool:
        """Give holes that are a day old another try; True when there were any."""

    def note(self, reads: Reads, now: float) -> bool:
        """Take one poll's reads. True when the reads of the meter have changed.

        Reads that were silent, or whose refusal may belong to another question, are to be left out.
        """


class Discovery(Protocol):
    """The search for what a device consists of, on one connection. An interrupted search goes on where it was."""

    @property
    def found(self) -> Any:
        """What was found, to be compared with what an earlier search has found."""

    async def run(self, ask: Ask) -> Silence | Refusal | None:
        """Search on; None when all is known, else why not. ``ask`` is one read; its LineDown passes through."""

    def resolved(
        self, profile: Profile, points: Sequence[Point]
    ) -> tuple[Profile, tuple[Point, ...], tuple[Point, ...]]:
        """Profile and points at their places, and the points that the device does not have."""


class Dialect(Protocol):
    """How meters of one protocol are asked."""

    @property
    def framing(self) -> Framing | None:
        """Its frames on a stream of bytes; None: it has a link of another kind."""

    def discovery(self, line: LineSpec, meter: MeterSpec) -> Discovery | None:
        """The search that a meter needs on each connection before it can be planned; None: it needs none."""

    def learned(self, points: Sequence[Point]) -> LearnedLimits:
        """What a device has shown of these points: nothing yet."""

    def plan(
        self,
        line: LineSpec,
        meter: MeterSpec,
        profile: Profile,
        points: Sequence[Point],
        missing: tuple[Point, ...] = (),
        *,
        learned: LearnedLimits | None = None,
        avoid: Keys = frozenset(),
        armed: bool = True,
        along: bool = True,
    ) -> ReadPlan:
        """What to read of a meter; profile and points at their places (``Discovery.resolved``).

        Args:
            missing: points that the device does not have.
            learned: limits that the device has shown for these points.
            avoid: keys that another master uses.
            armed: False plans as if there were no guard against late answers.
            along: the identity may be read along with a block.
        """

    def planned_apart(self, meter: MeterSpec) -> list[tuple[Point, ...]]:
        """The points of a meter in groups that may share reads, where that is known before the meter is asked."""

    def occupied(self, line: LineSpec, meter: MeterSpec) -> float:
        """How many keys each of a meter's blocks keeps from being asked again."""

    def latency_ms(self, profile: Profile) -> float:
        """What a device needs from the question to the beginning of its answer."""

    def read_ms(self, line: LineSpec, block: Block, device_ms: float) -> float:
        """The time of one read on the line in ms, of which the device takes ``device_ms``."""

    def identity_ms(self, line: LineSpec, meter: MeterSpec) -> list[float]:
        """The time of each read that tells who the meter is, without its pause."""

    def read_name(self, block: Block) -> Message:
        """What a read asks for, in a few words."""

    def hole(self, point: Point) -> Refused:
        """What the device says of a point that it does not have."""

    def unread(self, points: Sequence[Point]) -> Block:
        """A block that stands for points that are not asked for, because the device does not have them."""
