"""Register image of one device of the plant, at any moment. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from typing import Any, NamedTuple

from firmware_sim.meters import identification
from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answers import Alter
from firmware_sim.meters.habits import Stretch, habits_of, has_one_phase
from firmware_sim.meters.packing import Cell, Packed, Value, mask, packer, readings, repacked
from firmware_sim.meters.pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, Refused
from firmware_sim.meters.register_map import Layout, MeterSpec, Shown, Source
from firmware_sim.meters.scaling import in_digits
from firmware_sim.plant.model import Plant
from firmware_sim.plant.quantities import Scene

MAX_BITS = 2000
MOST_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """Registers (or bits, or bytes) of one answer, and the readings of the profile's points that lie wholly inside."""

    registers: tuple[int, ...]
    values: dict[str, Value]
    taken: Callable[[Sequence[int]], dict[str, Value]] | None = field(default=None, compare=False, repr=False)
    """What a right reader would take from other registers in the place of these."""


class Part(NamedTuple):
    """A cell of a block: what fills it, what packs it, where it stands from the block's first register, and whether it
    lies wholly inside."""

    cell: Cell
    source: Source | None
    packed: Callable[[Value], Packed]
    at: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Block:
    """The cells that a read meets, found once: whoever polls a device asks for the same blocks again and again."""

    count: int
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, address: int, count: int, cells: Iterable[Shown]) -> Block:
        """That of a read."""
        end = address + count
        return cls(
            count,
            tuple(
                Part(cell, source, packer(cell), cell.address - address, address <= cell.address and cell.end <= end)
                for cell, source in ((shown.cell, shown.source) for shown in cells)
                if cell.end > address and cell.address < end
            ),
        )

    @classmethod
    def every(cls, cells: Iterable[Shown]) -> Block:
        """All of them, one behind the other."""
        parts, at = list[Part](), 0
        for cell, source in ((shown.cell, shown.source) for shown in cells):
            parts.append(Part(cell, source, packer(cell), at, True))
            at += cell.registers
        return cls(at, tuple(parts))


class ModbusWords:
    """What a device says, in the words of Modbus. Has no state; see ``device.Meter``."""

    def place(self, pdu: bytes) -> dict[str, Any]:
        """Function, address and count of a request."""
        read = frames.read_of(pdu)
        return {"fc": pdu[0], "address": read.address if read else None, "count": read.count if read else None}

    def answered(self, pdu: bytes, reply: Reply) -> bytes:
        """The PDU that carries registers or bits."""
        return frames.answer(pdu[0], reply.registers)

    def refusal(self, pdu: bytes, code: int) -> bytes:
        """An exception."""
        return frames.exception(pdu[0], code)

    def answer(self, unit: int, pdu: bytes) -> frames.ModbusAnswer:
        """A PDU of this unit."""
        return frames.ModbusAnswer(unit, pdu)

    def code_of(self, pdu: bytes) -> int | None:
        """The exception code."""
        return pdu[1] if pdu[0] & 0x80 else None


class Meter(ModbusWords):
    """One device over time. Raises ``Mismatch`` when the profile asks for what cannot be shown."""

    def __init__(self, spec: MeterSpec, plant: Plant) -> None:
        self.spec, self._plant = spec, plant
        layout = Layout(spec, plant.spec.has(spec.measures))
        self.unfilled, self.objects, self._sums = tuple(layout.unfilled), layout.objects, layout.sums
        self._server_id = str(spec.plate.get("server_id", ""))
        share = 3 if has_one_phase([point.name for point in spec.profile.points]) else 1
        self._wh, self._varh = ((share * taken, share * given) for taken, given in (spec.start_wh, spec.start_varh))
        self._cells = layout.cells
        self._signs = {point.name: point.sign_from for point in spec.profile.points if point.sign_from}
        self._spaces: dict[int, list[Shown]] = {}
        for shown in layout.cells:
            alias = spec.profile.same_functions and shown.cell.fc in (3, 4)
            for fc in (3, 4) if alias else (shown.cell.fc,):
                self._spaces.setdefault(fc, []).append(shown)
        self._stretches = self._readable()
        self._blocks: dict[tuple[int, int, int], Block] = {}
        self._every: Block | None = None
        self._replies: dict[tuple[int, int, int], Reply] = {}
        """Those of the moment ``_renewed_ms``."""
        self._renewed_ms = -1

    def read(self, fc: int, address: int, count: int, t_ms: int, alter: Alter | None = None) -> Reply:
        """What the device answers to a read. It renews its registers every ``refresh_ms`` of its spec.

        Args:
            fc: function, 1 to 4.
            address: the first register (fc 1 and 2: bit), from 0.
            count: how many.
            t_ms: in ms of the plant's time.
            alter: changes what a point shows.

        Raises:
            Refused: function, count or address is none of the device's.
        """
        t_ms -= t_ms % self.spec.refresh_ms
        if t_ms != self._renewed_ms:
            self._replies.clear()
            self._renewed_ms = t_ms
        asked = (fc, address, count)
        if alter is not None:
            return self._reply(self._block(*asked), t_ms, alter)
        if (reply := self._replies.get(asked)) is None:
            reply = self._replies[asked] = self._reply(self._block(*asked), t_ms, None)
        return reply

    def _block(self, fc: int, address: int, count: int) -> Block:
        """The cells of a read. Raises ``Refused``."""
        if (found := self._blocks.get((fc, address, count))) is not None:
            return found
        if fc not in self._stretches:
            raise Refused(ILLEGAL_FUNCTION)
        if not 1 <= count <= (MAX_BITS if fc < 3 else self.spec.profile.max_registers):
            raise Refused(ILLEGAL_VALUE)
        end = address + count
        if not any(first <= address and end <= last + 1 for first, last in self._stretches[fc]):
            raise Refused(ILLEGAL_ADDRESS)
        mark = self.spec.profile.fingerprint
        for never in mark.refuses if mark else ():
            if never.fc == fc and address <= never.address and never.address + never.registers <= end:
                raise Refused(ILLEGAL_ADDRESS)
        if len(self._blocks) == MOST_BLOCKS:
            self._blocks.clear()
        block = self._blocks[fc, address, count] = Block.of(address, count, self._spaces.get(fc, ()))
        return block

    def _reply(self, block: Block, t_ms: int, alter: Alter | None) -> Reply:
        scene = self._scene(t_ms) if alter is None else alter.scene(self._scene, t_ms)
        registers: list[int] = [0] * block.count
        values: dict[str, Value] = {}
        for cell, source, packed_of, at, whole in block.parts:
            value = source(scene) if source else None
            laid = cell if alter is None or cell.name is None else alter.laid(cell)
            if alter is not None and cell.name is not None:
                packed = repacked(cell, laid, alter.value(cell, value))
            else:
                packed = packed_of(value)
            if whole and cell.bits is None:
                registers[at : at + cell.registers] = packed.words
            else:
                for n, word in enumerate(packed.words):
                    if 0 <= (place := at + n) < block.count:
                        others = 0 if cell.bits is None else registers[place] & ~mask(laid)[n]
                        registers[place] = others | word
            if cell.name and whole:
                values[cell.name] = packed.reading
        values = with_sums(values, self._sums) if self._sums else values
        return Reply(tuple(registers), values, partial(self._taken, block))

    def _taken(self, block: Block, registers: Sequence[int]) -> dict[str, Value]:
        """What a right reader takes from registers of a block."""
        placed = [(part.cell, part.at) for part in block.parts if part.whole and part.cell.name]
        return with_sums(readings(placed, registers, self._signs), self._sums)

    def _scene(self, t_ms: int) -> Scene:
        state, spec = self._plant.at(t_ms), self.spec
        return Scene(state, spec.flow(state), self._wh, self._varh, spec.start_kg, cache(partial(spec.unit, state)))

    def points(self, t_ms: int, alter: Alter | None = None) -> Reply:
        """Every point at once, whatever a request can ask for; registers one behind the other."""
        if self._every is None:
            self._every = Block.every(self._cells)
        return self._reply(self._every, t_ms - t_ms % self.spec.refresh_ms, alter)

    def exact(self, t_ms: int) -> dict[str, Value]:
        """Of each point what is measured, in its unit, before it is laid out in registers."""
        scene = self._scene(t_ms)
        values = {s.cell.name: s.source(scene) if s.source else None for s in self._cells if s.cell.name}
        return with_sums(values, self._sums)

    def reader(self, pdu: bytes) -> Callable[[int, Alter | None], Reply] | None:
        """What reads the registers that a request asks for."""
        read = frames.read_of(pdu)
        return partial(self.read, read.fc, read.address, read.count) if read else None

    def otherwise(self, pdu: bytes) -> bytes:
        """The answer to anything but a read of registers."""
        try:
            if pdu[0] in frames.READS:
                raise Refused(ILLEGAL_VALUE)
            if pdu[0] == identification.SERVER_ID and self._server_id:
                return identification.server_id(self._server_id)
            if pdu[0] != identification.FUNCTION:
                raise Refused(ILLEGAL_FUNCTION)
            return identification.identify(pdu, self.objects)
        except Refused as refused:
            return frames.exception(pdu[0], refused.code)

    def sleeps_at(self, t_ms: int) -> bool:
        """Whether the device is off because its inverter is."""
        return self.spec.sleeps and self.spec.unit(self._plant.at(t_ms)).is_asleep

    def _readable(self) -> dict[int, list[Stretch]]:
        """The stretches that can be read, by function code: known of the device, else drawn from its profile."""
        profile = self.spec.profile
        habits = habits_of(profile.name)
        if habits.zeros:
            return {fc: [(0, 0xFFFF)] for fc in habits.zeros}
        if habits.blocks:
            return dict(habits.blocks)
        readable: dict[int, list[Stretch]] = {}
        for fc, cells in self._spaces.items():
            stretches = [(s.cell.address, s.cell.end - 1) for s in cells]
            alike = (3, 4) if profile.same_functions and fc in (3, 4) else (fc,)
            stretches += [(s.first, s.last) for s in profile.readable if s.fc in alike]
            readable[fc] = _joined(stretches, profile.max_gap)
        return readable


def with_sums(values: Mapping[str, Value], sums: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Value]:
    """The readings, parts of sums as their sum: it needs all of them."""
    found = dict(values)
    for name, parts in sums:
        if set(parts) <= values.keys():
            numbers = [values[part] for part in parts]
            known = [Fraction(number) for number in numbers if number is not None]
            found[name] = in_digits(sum(known, Fraction(0))) if len(known) == len(parts) else None
    gone = {part for _, parts in sums for part in parts}
    return {name: value for name, value in found.items() if name not in gone}


def _joined(stretches: list[Stretch], max_gap: int) -> list[Stretch]:
    joined: list[Stretch] = []
    for first, last in sorted(stretches):
        if joined and first - joined[-1][1] - 1 <= max_gap:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined
