"""Line specifications and poll results: the facts that pass between the fieldbus and its callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple, Protocol

from gateway.devices.blocks import Block, Raw
from gateway.devices.night import Night
from gateway.devices.points import Point, Profile, Ratio
from ledger_client.messages import Said

SERIAL_LIFE_MS, NETWORK_LIFE_MS = 3_000, 10_000
"""How long after a question its answer may still come, on a serial port and over a network."""
NOT_ASKED = frozenset({"no-shape", "shared", "stopped"})
"""Reasons of blocks that were not asked, or not so that the answer tells whose it is."""
TUNNEL_TIMEOUT_MS, TUNNEL_LIFE_MS = 15_000, 90_000
CLOCK_LIMIT_MS = 300_000


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """One meter of a line. ``points`` are those to poll, scale registers included (``Profile.select``). ``night``: when
    one that may sleep may do so by the clock; None: the clock does not say.

    ``password``: what messages of a station must bear; None: anything. ``clock_limit_ms``: how far a source's clock may
    be from ours.
    """

    name: str
    profile: Profile
    address: int
    period_ms: int
    points: tuple[Point, ...]
    factors: Mapping[str, Ratio] = field(default_factory=dict)
    timeout_ms: int | None = None
    night: Night | None = None
    password: str | None = None
    clock_limit_ms: int = CLOCK_LIMIT_MS


@dataclass(frozen=True, slots=True)
class LineSpec:
    """One physical line: a serial port, an address to connect to, or one on which others connect.

    ``timeout_ms`` and ``answer_life_ms`` override the profiles'. ``echo``: "on" when a two-wire adapter gives back
    what it sends, "off" when not, "auto" to find out. ``tunnel``: the line goes over radio or GPRS. ``rs485``: the
    port's driver switches the direction, with these delays around sending. ``timeout_max_ms``: how far late answers may
    lengthen a time-out; twice the time-out if not given. ``shared``: the site knows that another master speaks on the
    line; a block then counts only with two reads of two shapes and the same witness (an identity point) in both.

    ``listen``: IP address and port on which a device or its DTU connects, out of one of the ``networks`` (none: out of
    any). Lines of one ``listen`` share it; a connection is the line's whose ``hello`` its first bytes are. ``hello``
    and ``heartbeat`` are texts of the DTU, no part of any frame. ``timezone``: of times in the messages.
    """

    name: str
    type: str
    meters: tuple[MeterSpec, ...]
    port: str | None = None
    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1
    host: str | None = None
    tcp_port: int | None = None
    listen: tuple[str, int] | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hello: tuple[bytes, ...] = ()
    heartbeat: tuple[bytes, ...] = ()
    timezone: tzinfo | None = None
    timeout_ms: int | None = None
    answer_life_ms: int | None = None
    echo: str = "auto"
    tunnel: bool = False
    shared: bool = False
    rs485: bool = False
    rs485_before_ms: int = 0
    rs485_after_ms: int = 0
    backoff_cap_ms: int = 300_000
    timeout_max_ms: int | None = None

    @property
    def where(self) -> str:
        """The port or endpoint in words."""
        if self.listen is not None:
            host, port = self.listen
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self.port or f"{self.host}:{self.tcp_port or 502}"

    @property
    def far(self) -> bool:
        """Questions and answers may take long, over radio or GPRS, as to a DTU that dials in."""
        return self.tunnel or self.listen is not None

    @property
    def bridged(self) -> bool:
        """A converter stands between the network and the meters: an answer may be another question's."""
        return self.port is None and not all(self.direct(meter) for meter in self.meters)

    def timeout_of(self, meter: MeterSpec) -> int:
        """The time-out of a meter's reads in ms, to the first byte of the answer."""
        return meter.timeout_ms or self.timeout_ms or (TUNNEL_TIMEOUT_MS if self.far else meter.profile.timeout_ms)

    def timeout_max_of(self, meter: MeterSpec) -> int:
        """The longest time-out that late answers may teach, in ms."""
        return self.timeout_max_ms or 2 * self.timeout_of(meter)

    def answer_life_of(self, meter: MeterSpec) -> int:
        """The answer life of a meter on this line in ms."""
        if self.answer_life_ms or self.far:
            return self.answer_life_ms or TUNNEL_LIFE_MS
        return meter.profile.answer_life_ms or (NETWORK_LIFE_MS if self.port is None else SERIAL_LIFE_MS)

    def direct(self, meter: MeterSpec) -> bool:
        """The device itself speaks Modbus TCP; several units behind one endpoint stand behind a converter, whatever a
        profile says."""
        return self.type == "modbus-tcp" and meter.profile.direct and len(self.meters) == 1


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm condition of a line; reported once when it begins (``raised``) and once when it ends.

    ``meter`` is None where the line as a whole is meant. ``said`` says what, where, and the way out. Codes:
    ``meter-exchanged`` (another device answers), ``stranger`` (another master speaks), ``crc-rate`` (too many damaged
    frames), ``line-down`` (the port is gone, or no meter answers), ``comms-lost`` (one meter is silent, others not),
    ``wrong-answer`` (a meter answers with another function or length than it was asked for).
    """

    line: str
    meter: str | None
    code: str
    said: Said
    raised: bool

    @property
    def text(self) -> str:
        """It in English."""
        return str(self.said)


class BlockAnswer(NamedTuple):
    """A block that answered: the variant that was asked, what it held, and the wall-clock ms when it was complete."""

    block: Block
    raw: Raw
    completed_ms: int


@dataclass(frozen=True, slots=True)
class BlockFailure:
    """A block without values: the reason (EVIDENCE's words), what was seen, and the Modbus exception if it was one."""

    block: Block
    reason: str
    detail: Said
    exception_code: int | None = None

    @property
    def asked(self) -> bool:
        """A question was sent, and its answer could have been told from any other."""
        return self.reason not in NOT_ASKED


class Poll(NamedTuple):
    """One due poll: its answers, or ``missed`` with the reason when no block answered. A tuple, as one is always made.

    ``flags`` are quality bits for all of its values. ``identity`` is the meter's own (serial number), as last read.
    A block that was read again at once (``Line.doubts``) has two answers, the first before the second.
    """

    meter: str
    due_ms: int
    answers: tuple[BlockAnswer, ...] = ()
    failures: tuple[BlockFailure, ...] = ()
    missed: str | None = None
    flags: int = 0
    identity: str | None = None
    detail: Said = ""


class FieldLine(Protocol):
    """One line and its meters, asked (``Line``) or listened to (``ListenLine``), as the rest of the gateway sees it.

    Owned by the event loop: everything is used there only.
    """

    spec: LineSpec
    counters: Counter[str]
    """Polls by outcome, and frames that were no expected answer by kind."""
    busy_s: float
    """For so long it was asked and listened to, since it was made; 0 where nothing is ever asked."""

    @property
    def up(self) -> bool:
        """It is open, and not all of its meters are silent; or they sleep."""

    @property
    def asleep(self) -> bool:
        """All of its meters sleep."""

    @property
    def silent(self) -> list[str]:
        """Its meters that are not responding."""

    @property
    def shared(self) -> bool:
        """Another master was heard, and values are flagged."""

    async def run(self, anchor_ms: int, from_ms: int | None = None) -> None:
        """Report every due poll once until ``request_stop``; they are due by the schedule's clock from ``anchor_ms``
        on, or from ``from_ms``. No fault of a device or a port ends it."""

    def request_stop(self) -> None:
        """Finish what is in flight; ``run`` then returns."""

    def accept(self, meter: str, identity: str) -> None:
        """Take values from the meter that now answers under this name."""

    def stranger(self, meter: str) -> str | None:
        """The identity of another device that answers in place of the known one, None while there is none."""

    def identity(self, meter: str) -> str | None:
        """The identity from which values are accepted, None while none was read."""

    def clear_shared(self) -> str:
        """The other master was removed from the line; gives its last frame as hex, "" while none is known."""

    def last_answered(self, meter: str) -> Poll | None:
        """The last poll in which at least one block of this meter answered, with what it held."""
