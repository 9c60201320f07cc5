"""Fault kinds: one class each, with the keys of its ``[[fault]]`` entry as fields. No I/O.

A fault takes hold of an answer at one of seven places, in this order: ``hears`` (does the device take notice at all),
``look`` (which moment it shows), ``scene`` (what the meter sees of the plant then), ``value`` (what a point shows),
``laid`` (how it stands in its registers), ``say`` (unit and PDU), ``send`` (bytes and their times). Those of ``scene``
and ``laid``, and most of ``value``, stand in ``value_faults``. The last two get a random generator that depends on
the seed, the fault and the number of the request only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from pydantic import Field

from firmware_sim.meters.answers import Answer, Delivery, Place
from firmware_sim.meters.packing import Cell, Value
from firmware_sim.meters.register_image import Reply
from firmware_sim.plant.quantities import Scene

Ms = Annotated[float, Field(ge=0, le=3_600_000)]
Count = Annotated[int, Field(ge=1, le=3_600_000)]
Byte = Annotated[int, Field(ge=0, le=255)]
MODBUS = ("modbus-rtu", "modbus-rtu-over-tcp", "modbus-tcp", "modbus-ascii")
ON_A_LINE = ("it is possible on a serial line only", "move it to a meter on a serial line")
Look = Callable[[int], Reply]
"""The device's reply as it would be at a moment of the plant's time, in ms."""


See = Callable[[int], Scene]
"""The meter's view of the plant at a moment of its time, in ms."""
Refusal = tuple[str, str, str]
"""Key, problem and fix."""


@dataclass(frozen=True, slots=True)
class Trait:
    """What is known of a point before it is laid out: its kind and type in the profile, whether it has a code for "not
    available", whether it is a number of several registers, and of what."""

    kind: str
    type: str
    can_lack: bool
    is_long: bool = False
    is_electric: bool = False
    is_gas: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What the device answered last, whether a fault struck or not: the PDU as it should have been, and the bytes as
    the device sent them; none: it has not answered yet."""

    pdu: bytes | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Strike:
    """How a fault meets a request: with this generator, ``before`` being the answer to the previous one."""

    rng: random.Random
    before: Before = Before()


@dataclass(kw_only=True)
class Fault:
    """A fault that does nothing; the kinds below replace one hook, rarely two."""

    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True}
    impossible: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """By type of a bus on which it cannot be, or by its wire: the reason, and the fix."""
    since_ms: int = field(default=0, init=False)
    """When it begins, in ms of the plant's time."""
    id: str = field(default="", init=False)
    """As which it is armed."""

    @property
    def tail_ms(self) -> int:
        """How long it goes on behind the end of its time, in ms of the plant's time."""
        return 0

    def hears(self, t_ms: int) -> bool:
        """False: the request is lost on the device."""
        return True

    def look(self, look: Look, t_ms: int) -> Reply:
        """The registers and readings to answer with; may look at other moments."""
        return look(t_ms)

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        """What a point shows at a moment of the plant's time."""
        return value

    def scene(self, see: See, t_ms: int) -> Scene:
        """What the meter sees of the plant; may look at other moments."""
        return see(t_ms)

    def laid(self, cell: Cell) -> Cell:
        """How a number stands in its registers."""
        return cell

    def unfit(self, traits: Mapping[str, Trait]) -> Refusal | None:
        """Why a meter with these points cannot have it."""
        return None

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        """The answer, changed before it is framed: length and checksum of the frame stay right.

        Args:
            request: the PDU that was asked.
            answer: what was to be said so far.
            strike: how it meets this request.
        """
        return answer

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        """The bytes, changed after they are framed."""
        return deliveries


@dataclass(kw_only=True)
class Dead(Fault):
    """No answer."""

    def hears(self, t_ms: int) -> bool:
        return False


@dataclass(kw_only=True)
class Reboots(Fault):
    """Asked again within ``pause_ms`` of a request, it restarts and is silent for ``silent_ms``."""

    pause_ms: Count = 500
    silent_ms: Count = 3000
    _heard_ms: int | None = field(default=None, init=False)
    _back_ms: int = field(default=0, init=False)

    def hears(self, t_ms: int) -> bool:
        if t_ms < self._back_ms:
            return False
        early = self._heard_ms is not None and t_ms - self._heard_ms < self.pause_ms
        self._heard_ms = t_ms
        if early:
            self._heard_ms, self._back_ms = None, t_ms + self.silent_ms
        return not early


@dataclass(kw_only=True)
class Cached(Fault):
    """Answers from a memory that is ``age_ms`` old."""

    age_ms: Count = 60_000

    def look(self, look: Look, t_ms: int) -> Reply:
        return look(max(0, t_ms - self.age_ms))


@dataclass(kw_only=True)
class SlowUpdate(Fault):
    """Takes over new values every ``every_ms`` only."""

    every_ms: Count = 500

    def look(self, look: Look, t_ms: int) -> Reply:
        return look(t_ms - t_ms % self.every_ms)


@dataclass(kw_only=True)
class Frozen(Fault):
    """Goes on showing the moment at which it was first asked."""

    _since_ms: int | None = field(default=None, init=False)

    def look(self, look: Look, t_ms: int) -> Reply:
        if self._since_ms is None:
            self._since_ms = t_ms
        return look(self._since_ms)


@dataclass(kw_only=True)
class StuckClock(Fault):
    """Its clock stands still since it was first asked; its values move on."""

    impossible: ClassVar = dict.fromkeys(
        MODBUS, ("no simulated Modbus device has a clock", "use frozen, which holds all of its values")
    )
    _shown: dict[str | None, Value] = field(default_factory=dict, init=False)

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        return self._shown.setdefault(cell.name, value) if cell.kind == "clock" else value


@dataclass(kw_only=True)
class Torn(Fault):
    """Updates while it answers: every second register comes from ``age_ms`` ago."""

    age_ms: Count = 500

    def look(self, look: Look, t_ms: int) -> Reply:
        new, old = look(t_ms), look(max(0, t_ms - self.age_ms))
        pairs = zip(new.registers, old.registers, strict=True)
        torn = tuple(a if place % 2 == 0 else b for place, (a, b) in enumerate(pairs))
        return replace(new, registers=torn, values=new.taken(torn) if new.taken else {})


@dataclass(kw_only=True)
class ZeroCounters(Fault):
    """Counters show 0, as some inverters do at night."""

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        return 0 if cell.kind == "counter" else value


@dataclass(kw_only=True)
class OtherSerial(Fault):
    """Shows another serial number: somebody exchanged the meter."""

    serial: str
    point: str = "serial_number"

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        if cell.name != self.point:
            return value
        if cell.type == "string":
            return self.serial
        return int(self.serial) if self.serial.isdecimal() else None


@dataclass(kw_only=True)
class Exceptional(Fault):
    """Answers with a Modbus exception; a DL/T 645 meter with this error byte."""

    code: Byte = 6

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.refused(request, self.code)


@dataclass(kw_only=True)
class WrongException(Fault):
    """Answers with an exception to a function that was not asked."""

    code: Byte = 2

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.refused_another(request, self.code)


@dataclass(kw_only=True)
class WrongUnit(Fault):
    """Answers under the next unit address."""

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.from_another()


@dataclass(kw_only=True)
class WrongFunction(Fault):
    """Answers a read of holding registers as one of input registers, and the other way round; a DL/T 645 meter as if
    the frame were one that follows."""

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.of_another_function()


@dataclass(kw_only=True)
class WrongDi(Fault):
    """Answers under the next data identifier."""

    impossible: ClassVar = dict.fromkeys(
        MODBUS, ("a Modbus answer does not name its registers", "use wrong-count or shifted")
    )

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.of_another_place()


@dataclass(kw_only=True)
class WrongCount(Fault):
    """Answers with fewer registers than asked, or more, in a frame that is right in itself."""

    registers: Annotated[int, Field(ge=-125, le=125)] = -1

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.resized(self.registers)


@dataclass(kw_only=True)
class WrongByteCount(Fault):
    """Its byte count disagrees with the bytes that follow."""

    impossible: ClassVar = {
        "dlt645": ("the length stands in the frame's head, and a wrong one only moves its end", "use truncated")
    }

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer.miscounted()


@dataclass(kw_only=True)
class Shifted(Fault):
    """Answers with what it should have answered to the request before: a converter with a late answer inside."""

    def say(self, request: bytes, answer: Answer, strike: Strike) -> Answer:
        return answer if strike.before.pdu is None else answer.saying(strike.before.pdu)


@dataclass(kw_only=True)
class Lost(Fault):
    """The device answers and the answer never arrives."""

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return []


@dataclass(kw_only=True)
class Late(Fault):
    """The answer comes ``delay_ms`` late, or anything up to ``most_ms``."""

    delay_ms: Ms = 700
    most_ms: Ms = 0

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return _later(deliveries, strike.rng, self.delay_ms, self.most_ms)


@dataclass(kw_only=True)
class Doubled(Fault):
    """The answer comes, and a copy of it ``delay_ms`` later, or anything up to ``most_ms``."""

    delay_ms: Ms = 50
    most_ms: Ms = 0

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return deliveries + _later(deliveries, strike.rng, self.delay_ms, self.most_ms)


def _later(deliveries: list[Delivery], rng: random.Random, delay_ms: float, most_ms: float) -> list[Delivery]:
    late = rng.uniform(delay_ms, max(delay_ms, most_ms))
    return [replace(d, after_ms=d.after_ms + late) for d in deliveries]


@dataclass(kw_only=True)
class Truncated(Fault):
    """The last ``missing`` bytes never come."""

    missing: Count = 3

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, data=d.data[: max(1, len(d.data) - self.missing)], values={}) for d in deliveries]


@dataclass(kw_only=True)
class Corrupted(Fault):
    """One bit of the frame is flipped on the line; the checksum tells."""

    impossible: ClassVar = {"modbus-tcp": ON_A_LINE}

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, data=_flip(d.data, strike.rng), values={}) for d in deliveries]


@dataclass(kw_only=True)
class Glued(Fault):
    """The answer arrives with a copy of the answer before it right behind."""

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        before = strike.before.data
        return [replace(d, data=d.data + before, values={}) if before else d for d in deliveries]


@dataclass(kw_only=True)
class NoiseBefore(Fault):
    """``size`` random bytes arrive right before the answer."""

    size: Count = 3

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, data=strike.rng.randbytes(self.size) + d.data, values={}) for d in deliveries]


@dataclass(kw_only=True)
class LoneByte(Fault):
    """A lone ``byte`` (00 or FF) arrives right before the answer, as line drivers of the SDM family let through."""

    impossible: ClassVar = {"modbus-tcp": ON_A_LINE}
    byte: Byte = 0

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, data=bytes([self.byte]) + d.data) for d in deliveries]


@dataclass(kw_only=True)
class Split(Fault):
    """The answer arrives in pieces of ``size`` bytes, ``gap_ms`` apart."""

    size: Count = 1
    gap_ms: Ms = 1.0

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, piece=self.size, gap_ms=self.gap_ms) for d in deliveries]


KINDS: dict[str, type[Fault]] = {
    "dead": Dead,
    "reboots": Reboots,
    "cached": Cached,
    "slow-update": SlowUpdate,
    "frozen": Frozen,
    "stuck-clock": StuckClock,
    "torn": Torn,
    "zero-counters": ZeroCounters,
    "other-serial": OtherSerial,
    "exception": Exceptional,
    "wrong-exception": WrongException,
    "wrong-unit": WrongUnit,
    "wrong-function": WrongFunction,
    "wrong-di": WrongDi,
    "wrong-count": WrongCount,
    "wrong-byte-count": WrongByteCount,
    "shifted": Shifted,
    "lost": Lost,
    "late": Late,
    "doubled": Doubled,
    "truncated": Truncated,
    "corrupted": Corrupted,
    "glued": Glued,
    "noise-before": NoiseBefore,
    "lone-byte": LoneByte,
    "split": Split,
}
"""The kinds of fault by their name in a scenario."""


def _flip(data: bytes, rng: random.Random) -> bytes:
    bit = rng.randrange(8 * len(data))
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)
