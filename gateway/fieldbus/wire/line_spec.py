"""Line specifications: a physical line and its meters, as the configuration has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from gateway.devices.points import Point, Profile, Ratio
from gateway.fieldbus.wire.keys import Unit
from gateway.night import Night

SERIAL_LIFE_MS, NETWORK_LIFE_MS = 3_000, 10_000
"""How long after a question its answer may still come, on a serial port and over a network."""
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
    address: Unit
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
    ``passive``: another master asks, and the line is only listened to. ``overload_after_ms``: so long its polls are
    looked at before it is called overloaded (overload.py).

    ``rfc2217``: ``host`` and ``tcp_port`` are those of a device server whose serial port is set over the network.

    ``ca``, ``cert``, ``key``: PEM files, of a line with TLS: who signs the device's certificate, and what this gateway
    shows of itself.

    ``listen``: IP address and port on which a device or its DTU connects, out of one of the ``networks``. Lines of one
    ``listen`` share it; a connection is the line's whose ``hello`` its first bytes are. ``hello`` and ``heartbeat`` are
    texts of the DTU, no part of any frame. ``timezone``: of times in the messages.
    """

    name: str
    type: str
    meters: tuple[MeterSpec, ...]
    port: str | None = None
    baudrate: int = 9600
    parity: str = "N"
    stopbits: int = 1
    databits: int = 8
    host: str | None = None
    tcp_port: int | None = None
    rfc2217: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
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
    passive: bool = False
    rs485: bool = False
    rs485_before_ms: int = 0
    rs485_after_ms: int = 0
    backoff_cap_ms: int = 300_000
    timeout_max_ms: int | None = None
    overload_after_ms: int = 300_000

    @property
    def where(self) -> str:
        """The port or endpoint in words."""
        if self.listen is not None:
            host, port = self.listen
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.rfc2217:
            return f"rfc2217://{f'[{self.host}]' if ':' in str(self.host) else self.host}:{self.tcp_port}"
        return self.port or f"{self.host}:{self.tcp_port or 502}"

    @property
    def sets_line(self) -> bool:
        """The serial settings of the line are set from here; elsewhere they are those of the converter."""
        return self.port is not None or self.rfc2217

    @property
    def only_read(self) -> bool:
        """Nothing is ever sent on it."""
        return self.passive or self.type == "p1"

    @property
    def tls(self) -> bool:
        """The connection is encrypted, and both ends show certificates (Modbus/TCP Security)."""
        return self.ca is not None

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
