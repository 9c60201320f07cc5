"""Profile contents as frozen facts: points, spans, line settings and device behaviour.

They are read from TOML by ``gateway.devices.profile`` and checked by ``gateway.devices.profile_rules``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from gateway.devices.knowledge.fingerprint import Fingerprint
from gateway.devices.knowledge.provenance import Provenance
from gateway.devices.knowledge.quantities import Direction
from gateway.devices.places import Place, Registers
from gateway.errors import GatewayError, placed
from gateway.messages.message import Message
from ledger_client.messages import Sentence

KINDS = ("gauge", "counter", "status", "text", "scale", "part")
UNRECORDED = ("scale", "part")
"""Kinds of points that have no value of their own in a record."""
FACTORS = ("ct", "pt")
PROTOCOLS = ("modbus", "sunspec", "dlt645", "hj212", "obis")
"""What a device speaks; it says which keys the points of its profile have."""
FIRST, SECOND = ".first", ".second"
"""Ends of the names under which a record keeps the look at a counter that was not booked, when it was read twice."""
MAX_NAME = 64
MAX_REGISTERS = 125  # Modbus application protocol v1.1b3, 6.3 and 6.4
MAX_BITS = 2000  # the same, 6.1 and 6.2


class ProfileError(GatewayError):
    """A profile that cannot be used: which file, which key, what is wrong with it, and the way out. ``what`` is the
    mistake without its place."""

    def __init__(self, file: str, key: str, what: Sentence) -> None:
        """``file``: the path, or the name of a profile of the catalog; ``key``: ``""`` for the whole file."""
        super().__init__(placed(file, key, what))
        self.file, self.key, self.what = file, key, what


Ratio = Decimal | Fraction
"""A number as written: a decimal, or a fraction of whole numbers."""


@dataclass(frozen=True, slots=True)
class SignalLine:
    """A straight line through two points of an analogue signal, such as 4 to 20 mA, and where the signal is sound.

    ``start`` and ``end`` are in the signal's own unit, ``to`` in the recorded one. Outside of ``fault`` there is no
    value; outside of ``range`` it is kept and flagged.
    """

    start: Decimal
    end: Decimal
    to: tuple[Decimal, Decimal]
    range: tuple[Decimal, Decimal] | None = None
    fault: tuple[Decimal, Decimal] | None = None

    def at(self, signal: Fraction) -> Fraction:
        """The recorded value of a signal."""
        low, high = (Fraction(x) for x in self.to)
        return low + (signal - Fraction(self.start)) * (high - low) / (Fraction(self.end) - Fraction(self.start))

    @property
    def limits(self) -> tuple[Fraction, Fraction] | None:
        """The recorded values at the ends of ``range``, the smaller first."""
        if self.range is None:
            return None
        first, last = (self.at(Fraction(x)) for x in self.range)
        return min(first, last), max(first, last)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a device: where it stands (``at``), how it is scaled, and what it means.

    ``not_available`` holds unsigned register patterns, after the words are in order. Limits (``low`` to
    ``max_per_hour``) are in the recorded unit. docs/profiles.md has all keys.
    """

    name: str
    at: Place
    scale: int = 0
    factor: Ratio | None = None
    scale_from: str | None = None
    factor_from: tuple[str, ...] = ()
    sign_from: str | None = None
    from_unit: str | None = None
    offset: Ratio | None = None
    span: SignalLine | None = None
    sum: tuple[str, ...] = ()
    parts: tuple[tuple[Point, int], ...] = ()
    """Of a sum: its parts, each with its offset in registers."""
    unit: str | None = None
    wire_unit: str | None = None
    kind: str = "gauge"
    not_available: tuple[int, ...] = ()
    low: Decimal | None = None
    high: Decimal | None = None
    wraps_at: Decimal | None = None
    max_per_hour: Decimal | None = None
    lively: bool = False
    record: bool = True
    sunspec: str | None = None
    symbols: tuple[tuple[int, str], ...] = ()
    raises: tuple[tuple[int, str], ...] = ()
    about: tuple[str, ...] = ()
    note: str | None = None

    def symbol(self, value: object) -> str:
        """What a status is called: the word of its code, or of each of its bits that is set; "" without one."""
        if not isinstance(value, int):
            return ""
        if self.at.form == "flags":
            return ", ".join(word for bit, word in self.symbols if value >> bit & 1)
        return dict(self.symbols).get(value, "")

    @property
    def ratio_points(self) -> tuple[str, ...]:
        """The points that it takes a ratio or a power of ten from, itself or for its parts."""
        names = [*self.factor_from, *([self.scale_from] if self.scale_from else [])]
        return tuple(dict.fromkeys([*names, *(name for part, _ in self.parts for name in part.ratio_points)]))

    @property
    def scale_points(self) -> tuple[str, ...]:
        """The scale points that it needs, itself or for its parts."""
        names = [*self.factor_from, *(name for name in (self.scale_from, self.sign_from) if name)]
        return tuple(dict.fromkeys([*names, *(name for part, _ in self.parts for name in part.scale_points)]))

    @property
    def model(self) -> int | None:
        """Its SunSpec model; None: it has none."""
        return self.at.model if isinstance(self.at, Registers) else None

    @property
    def signed(self) -> bool:
        """Whether it can be below 0."""
        return self.at.signed or self.sign_from is not None

    @property
    def held(self) -> Registers:
        """Its registers; only for code that knows that it has some."""
        assert isinstance(self.at, Registers), f"{self.name} stands in no registers"
        return self.at

    @property
    def fc(self) -> int:
        """Function that reads it."""
        return self.held.fc

    @property
    def address(self) -> int:
        """Its first register (fc 1 and 2: bit)."""
        return self.held.address

    @property
    def type(self) -> str:
        """How its registers are read."""
        return self.held.type

    @property
    def registers(self) -> int:
        """How many registers it fills."""
        return self.held.registers

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.held.end

    @property
    def word_order(self) -> str:
        """Which word comes first."""
        return self.held.word_order

    @property
    def byte_order(self) -> str:
        """Which byte of a register comes first."""
        return self.held.byte_order

    @property
    def bits(self) -> tuple[int, int] | None:
        """The bits of its registers that count."""
        return self.held.bits

    @property
    def chars(self) -> str:
        """The bytes of its registers that are characters."""
        return self.held.chars


@dataclass(frozen=True, slots=True)
class Serial:
    """Line settings as the device leaves the factory."""

    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1


@dataclass(frozen=True, slots=True)
class Span:
    """Registers ``first`` to ``last``, both included, that answer a read over all of them."""

    fc: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A device: its points, and what its reads must respect. docs/profiles.md says what each key means."""

    name: str
    vendor: str
    device: str
    source: str
    points: tuple[Point, ...]
    format: int = 1
    kind_unsaid: tuple[str, ...] = field(default=(), compare=False)
    """Gauges in a unit that is mostly that of counters, whose kind the file does not say."""
    protocol: str = "modbus"
    cn: str | None = None
    """HJ 212: the command of the messages that the points stand in, such as 2011."""
    default_address: int = 1
    serial: Serial | None = None
    max_registers: int = MAX_REGISTERS
    max_bits: int = MAX_BITS
    max_gap: int = 0
    step: int = 1
    readable: tuple[Span, ...] = ()
    same_functions: bool = False
    pause_ms: int = 0
    timeout_ms: int = 1000
    latency_ms: int | None = None
    connect_delay_ms: int = 0
    answer_life_ms: int | None = None
    direct: bool = False
    leading_bytes: bool = False
    may_sleep: bool = False
    sleeps_below: str | None = None
    identity: tuple[str, ...] = ()
    identity_object: int | None = None
    freshness: str | None = None
    concentrator: bool = False
    interval_ms: int | None = None
    """How often a device that sends by itself does so, at the longest."""
    same_layout: tuple[tuple[int, ...], ...] = ()
    """SunSpec models whose points stand at the same places, those that the points name first."""
    stale_after_ms: int = 60_000
    frozen_after_ms: int = 300_000
    ratios: tuple[tuple[str, str], ...] = ()
    """By ``ct`` and ``pt``, the scale points that contain the ratios set in the device."""
    ask: tuple[str, ...] = ()
    """Keys that each meter's configuration must decide, for only the device can tell."""
    positive: Direction | None = field(default=None, compare=False, repr=False)
    """Which way active power is where it is above 0, of points that have a sign: taken from the grid, as meters show
    it, or given to it, as inverters do. None: not known."""
    word_order_unsaid: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """With ``ask``: the points whose word order the configuration decides."""
    provenance: Provenance | None = field(default=None, compare=False, repr=False)
    fingerprint: Fingerprint | None = field(default=None, compare=False, repr=False)

    def decided(self, word_order: str) -> Profile:
        """The profile that decodes with this word order the points that leave it open; nothing is asked any more."""

        def settled(point: Point) -> Point:
            parts = tuple((settled(part), offset) for part, offset in point.parts)
            if point.name not in self.word_order_unsaid:
                return replace(point, parts=parts)
            return replace(point, at=replace(point.held, word_order=word_order), parts=parts)

        return replace(self, ask=(), word_order_unsaid=(), points=tuple(settled(point) for point in self.points))

    def point(self, name: str) -> Point:
        """The point of that name; ProfileError when there is none."""
        for point in self.points:
            if point.name == name:
                return point
        hint = nearest(name, [p.name for p in self.points])
        raise ProfileError(self.name, name, Message("profile-no-such-point", hint=hint))

    def select(self, names: tuple[str, ...] | None = None) -> tuple[Point, ...]:
        """The points to poll: those named (None: all recorded by default), the scale registers that they need, the
        ratios set in the device, and the witness of freshness."""
        wanted = [self.point(n) for n in names] if names is not None else [p for p in self.points if p.record]
        taken = {p.name for p in wanted} | {n for p in wanted for n in p.scale_points} | {self.freshness}
        taken |= {name for _, name in self.ratios}
        return tuple(p for p in self.points if p.name in taken)

    @property
    def factors(self) -> frozenset[str]:
        """The factors (``ct``, ``pt``) that the meter's configuration must give before its points can be decoded."""
        return frozenset(f for p in self.points for f in p.factor_from if f in FACTORS)


def nearest(word: str, known: Sequence[str]) -> Message:
    """The fix for a mistyped word: the closest known one, or all of them."""
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return Message("profile-did-you-mean", other=close[0])
    return Message("profile-known", names=tuple(sorted(known))) if known else Message("profile-known-none")
