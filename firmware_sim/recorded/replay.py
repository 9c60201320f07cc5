"""Replay of a recording: a meter that answers with what a real one has answered, beside modelled ones. No I/O.

Each register shows the newest recorded read of it at that time of the plant, and before the first one that first one.
When the recording ends its last registers stay, or it begins anew.
So a client may ask in other blocks than were recorded. A read of which one register was never recorded is refused with
02, one of which a register was refused or not answered at that time is refused the same way, or not answered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answers import Alter
from firmware_sim.meters.packing import Cell, Value
from firmware_sim.meters.pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Read, Refused, Silent
from firmware_sim.meters.register_image import MOST_BLOCKS, ModbusWords, Reply
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.recorded.decoding import Decoder
from firmware_sim.recorded.read_blocks import Model, chain, placed
from firmware_sim.recorded.recording import BITS, Answer, Recording


@dataclass(frozen=True, slots=True)
class Track:
    """All outcomes of one read, in the order of their times."""

    read: Read
    times: Sequence[int]
    answers: Sequence[Answer]

    def at(self, t_ms: int) -> Answer:
        """The newest one; before all of them the first."""
        return self.answers[max(0, bisect_right(self.times, t_ms) - 1)]


class ReplayedMeter(ModbusWords):
    """A recorded meter over time.

    Args:
        spec: its name, profile and address.
        recording: what it shows.
        repeats: it begins anew when the recording ends; else its last registers stay.

    Raises ``Mismatch``: its profile needs a ratio that its table does not give.
    """

    unfilled: tuple[str, ...] = ()

    def __init__(self, spec: MeterSpec, recording: Recording, *, repeats: bool = False) -> None:
        self.spec = spec
        every_ms = recording.head.every_ms
        self._length_ms = (recording.answers[-1].at_ms // every_ms + 1) * every_ms if repeats else None
        by_read: dict[Read, list[Answer]] = {}
        for answer in recording.answers:
            by_read.setdefault(answer.read, []).append(answer)
        self._tracks = [Track(read, [a.at_ms for a in found], found) for read, found in by_read.items()]
        self._met: dict[Read, list[Track]] = {}
        self._times = [answer.at_ms for answer in recording.answers]
        self._replies: dict[Read, Reply] = {}
        """Those of ``_newest``: what is shown changes with the next line of the recording, and not before."""
        self._newest = -1
        models = self._models() if spec.profile.protocol == "sunspec" else []
        self._decoder = Decoder(spec, placed(spec.profile, models))

    def _models(self) -> list[Model]:
        """The chain of a SunSpec device, as it was recorded."""
        looking, found = chain(), None
        while True:
            try:
                read = looking.send(found)
            except StopIteration as ended:
                models: list[Model] = ended.value
                return models
            try:
                found = self._registers(read, 0)
            except (Refused, Silent):
                found = None

    def _known(self, read: Read, t_ms: int) -> list[Answer]:
        """What was recorded last of its registers, the newest behind."""
        if (tracks := self._met.get(read)) is None:
            if len(self._met) == MOST_BLOCKS:
                self._met.clear()
            tracks = self._met[read] = [track for track in self._tracks if self._meet(track.read, read)]
        at_ms = self._within(t_ms)

        def order(answer: Answer) -> tuple[bool, int]:
            """What is still to come lies below what there is, the next one on top."""
            return answer.at_ms <= at_ms, answer.at_ms if answer.at_ms <= at_ms else -answer.at_ms

        return sorted((track.at(at_ms) for track in tracks), key=order)

    def _within(self, t_ms: int) -> int:
        """The time of the recording at a moment of the plant's time."""
        return t_ms if self._length_ms is None else t_ms % self._length_ms

    def _meet(self, one: Read, other: Read) -> bool:
        alike = one.fc == other.fc or (self.spec.profile.same_functions and not {one.fc, other.fc} & {*BITS})
        return alike and one.address < other.address + other.count and other.address < one.address + one.count

    def _outcomes(self, read: Read, t_ms: int) -> list[int | Answer | None]:
        """Of each register: its content, or the answer that has none; None: it was never recorded."""
        found: list[int | Answer | None] = [None] * read.count
        for answer in self._known(read, t_ms):
            content: Sequence[int | Answer] = answer.words or (answer,) * answer.read.count
            offset = answer.read.address - read.address
            begin, end = max(0, offset), min(read.count, offset + answer.read.count)
            found[begin:end] = content[begin - offset : end - offset]
        return found

    def _registers(self, read: Read, t_ms: int) -> tuple[int, ...]:
        """Raises ``Refused``, ``Silent``."""
        outcomes = self._outcomes(read, t_ms)
        if None in outcomes:
            raise Refused(ILLEGAL_ADDRESS)
        lacking = [each for each in outcomes if isinstance(each, Answer)]
        if any(answer.exception is None for answer in lacking):
            raise Silent
        if lacking:
            raise Refused(lacking[0].exception or ILLEGAL_ADDRESS)
        return tuple(each for each in outcomes if isinstance(each, int))

    def _cells(self, t_ms: int) -> tuple[Cell, ...]:
        scaling = self._decoder.scaling
        held = self._decoded(scaling, t_ms)
        return self._decoder.cells(tuple(held.get(str(cell.name)) for cell in scaling))

    def _decoded(self, cells: Iterable[Cell], t_ms: int) -> dict[str, Value]:
        words, at = self._joined(cells, t_ms)
        return self._decoder.values(at, words)

    def _joined(self, cells: Iterable[Cell], t_ms: int) -> tuple[list[int | None], list[tuple[Cell, int]]]:
        """Registers of cells one behind the other, None where there are none, and where each cell stands in them."""
        words: list[int | None] = []
        at = []
        for cell in cells:
            at.append((cell, len(words)))
            outcomes = self._outcomes(Read(cell.fc, cell.address, cell.registers), t_ms)
            words += [each if isinstance(each, int) else None for each in outcomes]
        return words, at

    def read(self, read: Read, t_ms: int, alter: Alter | None = None) -> Reply:
        """What the meter answers to a read at a moment of the plant's time. Raises ``Refused``, ``Silent``."""
        profile = self.spec.profile
        if not 1 <= read.count <= (profile.max_bits if read.fc in BITS else profile.max_registers):
            raise Refused(ILLEGAL_VALUE)
        newest = bisect_right(self._times, self._within(t_ms))
        if newest != self._newest or len(self._replies) == MOST_BLOCKS:
            self._replies.clear()
            self._newest = newest
        if (reply := self._replies.get(read)) is None:
            reply = self._replies[read] = self._reply(read, t_ms)
        return reply

    def _reply(self, read: Read, t_ms: int) -> Reply:
        registers = self._registers(read, t_ms)
        whole = [
            (cell, cell.address - read.address)
            for cell in self._cells(t_ms)
            if self._meet(Read(cell.fc, cell.address, 1), read)
            and read.address <= cell.address
            and cell.end <= read.address + read.count
        ]
        taken = partial(self._decoder.values, whole)
        return Reply(registers, taken(registers), taken)

    def points(self, t_ms: int, alter: Alter | None = None) -> Reply:
        """Every point at once; those that were refused, not answered or never recorded show nothing."""
        words, at = self._joined(self._cells(t_ms), t_ms)
        lacking = {n for n, word in enumerate(words) if word is None}

        def taken(registers: Sequence[int]) -> dict[str, Value]:
            known = [None if n in lacking else word for n, word in enumerate(registers)]
            return self._decoder.values(at, known)

        registers = tuple(word or 0 for word in words)
        return Reply(registers, taken(registers), taken)

    def exact(self, t_ms: int) -> dict[str, Value]:
        """Nothing: what was measured, beside what was shown of it, nobody knows."""
        return {}

    def cells(self) -> tuple[Cell, ...]:
        """Where each point stands, with the scales at the start."""
        return self._cells(0)

    def sleeps_at(self, t_ms: int) -> bool:
        """It does not: a night that was recorded is one of time-outs."""
        return False

    def reader(self, pdu: bytes) -> Callable[[int, Alter | None], Reply] | None:
        """What reads the registers that a request asks for."""
        read = frames.read_of(pdu)
        return partial(self.read, read) if read else None

    def otherwise(self, pdu: bytes) -> bytes:
        """An exception: nothing but reads was recorded."""
        return frames.exception(pdu[0], ILLEGAL_VALUE if pdu[0] in frames.READS else ILLEGAL_FUNCTION)
