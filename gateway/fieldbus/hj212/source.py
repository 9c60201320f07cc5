"""Source of a line of HJ 212 loggers: a TCP server that hears the messages of all its stations and answers them.

A message is answered (9014) when its record is durable, not before: ``reply``. A notice (1013) or heartbeat (9015) is
answered at once (9013). Nothing else is ever sent. What cannot be taken is counted and kept (refused.py), is not
answered, and does not close the connection.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from gateway.devices.decode_text import PACKET_FLAG, MessageBlock
from gateway.fieldbus.hj212.answers import DATA_RECORDED, NOTICE_HEARD, answer
from gateway.fieldbus.hj212.connection import Connection
from gateway.fieldbus.hj212.connection_table import ConnectionTable
from gateway.fieldbus.hj212.packets import NotAPacket, Packet, parse
from gateway.fieldbus.hj212.parts import Parts
from gateway.fieldbus.hj212.refused import ListenerFacts, Refused, damaged, unwelcome
from gateway.fieldbus.hj212.splitter import Damaged, Whole
from gateway.fieldbus.hj212.times import label_ms
from gateway.fieldbus.wire.errors import LineDown
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.listener import HighSocket, listening_socket, most_connections, within
from gateway.fieldbus.wire.source import Crowded, Heard
from gateway.messages.message import Message
from gateway.records import Token

NOTICES = frozenset({"1013", "9015"})
"""A logger asks for its clock to be set; it says that it lives."""
LONGEST_LABEL = 32
CROWDED_MS = 1000
"""Shortest interval between two reports of too many connections."""


class Station(NamedTuple):
    """One kind of data of one station: a meter.

    ``points``: the place of each point's value in a message, such as ``a21026-Rtd``. ``factors``: the codes that the
    meter's profile stands for, recorded or not. ``password``: what the packets of the whole station must bear; None:
    anything.
    """

    meter: str
    mn: str
    cn: str
    block: MessageBlock
    points: Mapping[str, str]
    factors: frozenset[str]
    password: str | None = None


class _Unreplied(NamedTuple):
    connection: Connection
    packet: Packet


class Hj212Source:
    """See the module. Event loop only; made by ``open``.

    Args:
        now_ms: the gateway's record time.
        facts: what was refused and passed over; outlives the source.
    """

    def __init__(
        self, stations: Sequence[Station], zone: tzinfo, now_ms: Callable[[], int], facts: ListenerFacts
    ) -> None:
        self._zone, self._now_ms, self._facts = zone, now_ms, facts
        self._stations = {(station.mn, station.cn): station for station in stations}
        self._passwords = {station.mn: station.password for station in stations}
        self._parts = {key: Parts() for key in self._stations}
        self._networks: tuple[IPv4Network | IPv6Network, ...] = ()
        self._server: asyncio.Server | None = None
        self._connections = ConnectionTable[Connection]()
        self._most, self._crowded_ms = most_connections(len(self._passwords)), 0
        self._unreplied: dict[tuple[Unit, Token], list[_Unreplied]] = {}
        self._heard: deque[Heard | Crowded] = deque()
        self._news = asyncio.Event()
        self._closed = False

    async def open(self, host: str, tcp_port: int, networks: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        """Listen; connections out of other ``networks`` are refused (none: any is taken). Raises PortError."""
        self._networks = tuple(networks)
        listener = HighSocket.of(listening_socket(host, tcp_port))
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._take, self._made, self._lost), sock=listener
        )

    @property
    def tcp_port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    async def hear(self) -> Heard | Crowded:
        """The next message, or that there are too many connections. Raises LineDown when the source is closed."""
        while not self._heard:
            if self._closed:
                raise LineDown(Message("line-closed"))
            self._news.clear()
            await self._news.wait()
        return self._heard.popleft()

    def connected(self, unit: Unit) -> bool:
        """A connection on which this station has spoken is open."""
        return self._connections.connected(unit)

    def reply(self, unit: Unit, token: Token) -> None:
        """Its record is durable: answer this message, and each repetition of it that still waits."""
        for connection, packet in self._unreplied.pop((unit, token), ()):
            connection.replied(answer(packet, DATA_RECORDED) if packet.wants_answer else None)

    def release(self, unit: Unit, token: Token) -> None:
        """It is not recorded: nothing is answered, and what comes after it is read. The logger sends it again."""
        for connection, _ in self._unreplied.pop((unit, token), ()):
            connection.replied(None)

    def close(self) -> None:
        """Close the server and its connections; harmless if done before."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drop()
        self._news.set()

    def _made(self, connection: Connection) -> bool:
        """Whether a connection is taken."""
        if self._networks and not within(connection.host, self._networks):
            self._facts.refuse(Refused(self._now_ms(), connection.peer, "network"))
            return False
        if len(self._connections) >= self._most:
            self._make_room()
        self._connections.add(connection)
        return not self._closed

    def _make_room(self) -> None:
        """Drop the connection whose place a new one takes; what it had sent and was not answered is sent again."""
        if (found := self._connections.superfluous()) is None:
            return
        (closed, holder), now_ms = found, self._now_ms()
        self._facts.refuse(
            Refused(now_ms, closed.peer, "connections", None if holder.station is None else str(holder.station))
        )
        self._lost(closed)
        closed.drop()
        if now_ms - self._crowded_ms >= CROWDED_MS:
            self._crowded_ms = now_ms
            self._heard.append(Crowded(holder.station, holder.host, holder.connections, self._most))
            self._news.set()

    def _lost(self, connection: Connection) -> None:
        """Nothing can be answered on it any more."""
        if self._connections.remove(connection):
            for key, waiting in list(self._unreplied.items()):
                if left := [one for one in waiting if one.connection is not connection]:
                    self._unreplied[key] = left
                else:
                    del self._unreplied[key]

    def _take(self, connection: Connection, one: Whole | Damaged) -> None:
        """Take, answer or refuse what came on a connection."""
        if isinstance(one, Damaged):
            self._facts.refuse(damaged(self._now_ms(), connection.peer, one))
            return
        packet = parse(one.segment)
        if isinstance(packet, NotAPacket):
            self._facts.refuse(unwelcome(self._now_ms(), connection.peer, "form", packet.mn, one, str(packet.why)))
            return
        if (reason := self._objection(packet)) is not None:
            self._facts.refuse(unwelcome(self._now_ms(), connection.peer, reason, packet.mn, one))
            return
        self._connections.heard(connection, packet.mn)
        if packet.cn in NOTICES:
            self._facts.counters["notices"] += 1
            if packet.wants_answer:
                connection.give(answer(packet, NOTICE_HEARD))
        elif (station := self._stations.get((packet.mn, packet.cn))) is not None:
            self._hear(connection, station, packet)
        else:
            self._facts.command(packet.cn)

    def _objection(self, packet: Packet) -> str | None:
        """Why a packet is refused, None if it is not."""
        if packet.mn not in self._passwords:
            return "station"
        if packet.edition is None:
            return "version"
        password, given = self._passwords[packet.mn], packet.pw or ""
        if password is None or hmac.compare_digest(password.encode(), given.encode()):
            return None
        return "password"

    def _hear(self, connection: Connection, station: Station, packet: Packet) -> None:
        now_ms, parts = self._now_ms(), self._parts[station.mn, station.cn]
        token = Token(_mark(packet, now_ms), packet.part, packet.digest)
        label = parts.label(packet.label, packet.part, packet.parts)
        held = frozenset(point for point, place in station.points.items() if place in packet.places)
        missing = parts.missing(label, packet.part, packet.parts, held, frozenset(station.points))
        codes = {code for code, dash, _ in (place.partition("-") for place in packet.places) if dash}
        if unnamed := codes - station.factors:
            self._facts.name_factors(station.meter, unnamed)
        self._facts.counters["heard"] += 1
        connection.unreplied += 1
        self._unreplied.setdefault((station.mn, token), []).append(_Unreplied(connection, packet))
        at_ms = label_ms(label, self._zone)
        raw = packet.places if packet.flag is None else {**packet.places, PACKET_FLAG: str(packet.flag)}
        self._heard.append(Heard(station.mn, station.block, raw, now_ms, at_ms, token, missing))
        self._news.set()


def _mark(packet: Packet, now_ms: int) -> str:
    """What tells a message from another one of the same content: the time that it bears; where it bears none, its
    number; where it has none either, every one counts as another."""
    return packet.label[:LONGEST_LABEL] or (f"QN {packet.qn}" if packet.qn else f"at {now_ms}")
