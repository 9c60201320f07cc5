"""One endpoint of a TCP scan: what speaks there, which units answer, and what they are.

Modbus TCP is tried first. A port that answers none of it is asked once more in RTU frames: a device server that hands
on the bytes of a serial line. All that is sent are reads, one at a time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from gateway.commissioning.scan import tcp_diagnosis
from gateway.commissioning.scan.found import FoundLine, FoundUnit
from gateway.commissioning.scan.identify import identify, known
from gateway.commissioning.scan.likeness import MOST_UNITS, STRAYS
from gateway.devices.points import Profile
from gateway.fieldbus.modbus.frames import GATEWAY_SILENT, Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.modbus.tcp_link import TcpLink
from gateway.fieldbus.wire import stream_link
from gateway.fieldbus.wire.connections import RECONNECT_PAUSE_S
from gateway.fieldbus.wire.errors import LineDown, not_connected
from gateway.fieldbus.wire.keys import KeyTable, Question
from gateway.fieldbus.wire.link import NO_ANSWER, Answer, Link, Manners, ObservedFrame, Outcome, Refusal, Silence
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.messages.message import Message

CONNECT_S, PATIENCE_S = 3.0, 1.0
"""How long a connection, and the answer of a unit, is waited for."""
LIKELY, LATE = 0.5, 3.0
"""Parts of it for a unit that is only likely to be there, and for one that may be slow."""
IDENTIFY_S, SILENT_S = 2.0, 30.0
"""What identifying a unit, and an address that answers nothing, costs about."""
SLOW_START_S = 1.0
"""Some devices ignore what is asked sooner after the connection; tried where nothing was answered."""
FIRST = (1, 255, 0, 247)
EVERY = range(1, 248)
ENOUGH = 64
"""Bytes by which another service is known."""
RTU_BAUD = 9600
"""The speed that a device server's line is taken to have; it only spaces the frames."""

Note = Callable[[Message], None]
"""Called with what is being done."""


class Stopped(Exception):
    """The scan is to end."""


@dataclass
class Traffic:
    """What a scan has sent so far; ``stopped``: it is to end, and nothing more is sent."""

    sent_bytes: int = 0
    stopped: bool = False


@dataclass
class Endpoint:
    """What was found at one address; ``doubts``: what stood in the way, ``reached``: it took a connection."""

    host: str
    tcp_port: int
    type: Literal["modbus-tcp", "modbus-rtu-over-tcp"] = "modbus-tcp"
    units: list[FoundUnit] = field(default_factory=list)
    doubts: list[Message] = field(default_factory=list)
    reached: bool = False

    @property
    def line(self) -> FoundLine:
        """It as a line."""
        return FoundLine(self.type, host=self.host, tcp_port=self.tcp_port, units=tuple(self.units))


class EndpointScan:
    """The scan of one address.

    Args:
        host: name or address.
        tcp_port: port of all of its connections.
        units: the units to ask; None: as the answers suggest.
        patience_s: how long the answer of a unit is waited for, in seconds.
        profiles: what a unit may be beside the catalog.
        traffic: that of the whole scan.
        note: called with each step.
        found: called with each unit that is found.
    """

    def __init__(
        self,
        host: str,
        tcp_port: int,
        units: Sequence[int] | None,
        patience_s: float,
        profiles: Sequence[Profile],
        traffic: Traffic,
        note: Note,
        found: Callable[[FoundUnit], None],
    ) -> None:
        self.result = Endpoint(host, tcp_port)
        self._units, self._patience_s, self._profiles = units, patience_s, profiles
        self._traffic, self._note, self._found = traffic, note, found
        self._link: Link | None = None
        self._answers = dict[int, tuple[object, ...]]()
        self._gateway_silent: int | None = None
        self._no_modbus_tcp = self._any_unit = self._strange = False
        self._cut = 0
        self._slowest_s = self._delay_s = 0.0
        self._latency_s = dict[int, float]()
        self.left_s = SILENT_S
        """The estimated seconds that are left."""

    async def run(self) -> Endpoint:
        """Scan it. Stopped passes through; what was found until then is in ``result``."""
        try:
            if await self._reach():
                await self._search()
        finally:
            self._close()
        return self.result

    async def _reach(self) -> bool:
        """Whether the port takes a connection."""
        host, tcp_port = self.result.host, self.result.tcp_port
        self._note(Message("scan-step-connect", host=host))
        try:
            (await stream_link.connected(host, tcp_port, CONNECT_S)).close()
        except socket.gaierror:
            self.result.doubts.append(tcp_diagnosis.no_name(host))
        except ConnectionRefusedError:
            self.result.doubts.append(tcp_diagnosis.closed(host, tcp_port))
        except OSError:
            self.result.doubts.append(tcp_diagnosis.no_host(host))
        else:
            self.result.reached = True
            await asyncio.sleep(RECONNECT_PAUSE_S)
        return self.result.reached

    async def _search(self) -> None:
        await self._sweep_tcp()
        if not self._answers and self._gateway_silent is None:
            await self._sweep_rtu()
        host, tcp_port = self.result.host, self.result.tcp_port
        if self._answers:
            await self._identify(self._distinct())
            if self.result.type == "modbus-rtu-over-tcp":
                self.result.doubts.append(tcp_diagnosis.rtu(host, tcp_port))
        elif self._gateway_silent is not None:
            self.result.doubts.append(tcp_diagnosis.no_units(host, tcp_port, self._gateway_silent))
        elif (service := tcp_diagnosis.service(host, tcp_port, await self._first_bytes())) is not None:
            self.result.doubts.append(service)
        elif self._cut:
            self.result.doubts.append(tcp_diagnosis.taken(host, tcp_port))
        elif self._strange:
            self.result.doubts.append(tcp_diagnosis.no_modbus(host, tcp_port))
        else:
            self.result.doubts.append(tcp_diagnosis.silent(host, tcp_port))

    async def _sweep_tcp(self) -> None:
        if self._units is not None:
            await self._ask_units(self._units, self._patience_s)
            return
        await self._ask_units(FIRST, self._patience_s)
        if self._cut >= len(FIRST):
            return
        if not self._answers and self._gateway_silent is None and not self._no_modbus_tcp:
            self._close()
            self._delay_s = SLOW_START_S
            await self._ask_units(FIRST[:1], LATE * self._patience_s)
        if self._gateway_silent is not None:
            await self._ask_units([unit for unit in EVERY if unit not in FIRST], self._patience_s)
        elif not self._answers and not self._no_modbus_tcp:
            await self._ask_units([unit for unit in likely_units() if unit not in FIRST], LIKELY * self._patience_s)
            if self._gateway_silent is not None:
                await self._ask_units([unit for unit in EVERY if unit not in self._answers], self._patience_s)
        elif self._answers:
            await self._ask_strays()
            if STRAYS[0] not in self._answers and not self._is_device():
                rest = [unit for unit in likely_units() if unit not in (*FIRST, *STRAYS)]
                await self._ask_units(rest, max(LIKELY / 2 * self._patience_s, 3 * self._slowest_s))

    async def _ask_strays(self) -> None:
        """Addresses that hardly a device has, as long as they answer."""
        for unit in STRAYS:
            await self._ask_units([unit], LIKELY * self._patience_s)
            if unit not in self._answers:
                return

    def _is_device(self) -> bool:
        """The device speaks Modbus TCP itself: it answers under the addresses of TCP (255, 0) as under its own."""
        others = {self._answers[unit] for unit in self._answers if unit not in EVERY}
        return any(self._answers[unit] in others for unit in self._answers if unit in EVERY)

    async def _sweep_rtu(self) -> None:
        """The same in RTU frames."""
        self._close()
        self._no_modbus_tcp, cut, self._cut = False, self._cut, 0
        self.result.type = "modbus-rtu-over-tcp"
        units = self._units if self._units is not None else likely_units()
        await self._ask_units(units, LIKELY * self._patience_s)
        if self._units is None and len(self._answers) > MOST_UNITS:
            await self._ask_strays()
        if not self._answers:
            self.result.type, self._cut = "modbus-tcp", max(cut, self._cut)

    async def _ask_units(self, units: Sequence[int], timeout_s: float) -> None:
        """One read of one register of each; who answers, be it with an exception, is there."""
        pace = _Pace(len(units), timeout_s)
        for done, unit in enumerate(units):
            if self._no_modbus_tcp or self._cut >= len(FIRST):
                return
            self.left_s = pace.left_s(done) + IDENTIFY_S * max(1, len(self._answers))
            self._note(Message("scan-step-units", host=self.result.host, unit=unit))
            cut = self._cut
            outcome = await self._ask(Request(unit, 3, 0, 1), timeout_s)
            if self._cut > cut:  # another connection for the same question
                outcome = await self._ask(Request(unit, 3, 0, 1), timeout_s)
            if isinstance(outcome, Answer):
                self._answers[unit] = (outcome.data,)
            elif isinstance(outcome, Refusal) and outcome.refused.code in GATEWAY_SILENT:
                self._gateway_silent = outcome.refused.code
            elif isinstance(outcome, Refusal):
                self._answers[unit] = ("refused", outcome.refused.code)

    def _distinct(self) -> list[int]:
        """The units that are devices of their own: not the addresses 0 and 255 under which another one answers too, and
        one address of a device that answers under any."""
        answers = self._answers
        if self._units is None and answers.keys() >= {*STRAYS} and self._gateway_silent is None:
            self._any_unit = True
            return [next(unit for unit in (*FIRST, *STRAYS) if unit in answers)]
        proper = [unit for unit in answers if unit in EVERY]
        others = [unit for unit in answers if unit not in EVERY]
        same = {answers[unit] for unit in proper}
        extra = [] if self._units is None and proper else others[: 1 if self._units is None else None]
        return sorted([*proper, *(unit for unit in extra if answers[unit] not in same)])

    async def _identify(self, units: Sequence[int]) -> None:
        pace = _Pace(len(units), IDENTIFY_S)
        for done, unit in enumerate(units):
            self.left_s = pace.left_s(done)
            self._note(Message("scan-step-identify", host=self.result.host, unit=unit))
            neighbours = {c.profile for other in self.result.units for c in other.candidates[:1]}
            profiles = (*self._profiles, *known())
            found = await identify(self._patiently, unit, "modbus", profiles=profiles, likely=neighbours)
            if self._any_unit:
                found = replace(found, evidence=(Message("scan-any-unit"), *found.evidence))
            latency_s = self._latency_s.get(unit)
            found = replace(found, latency_ms=None if latency_s is None else 1000 * latency_s)
            self.result.units.append(found)
            self.result.doubts += tcp_diagnosis.of_answers(found)
            self._found(found)

    async def _patiently(self, question: Question) -> Outcome:
        """A read of a unit that has answered before."""
        return await self._ask(question, min(LATE * self._patience_s, self._patience_s + 3 * self._slowest_s))

    async def _ask(self, question: Question, timeout_s: float) -> Outcome:
        """One read. A connection that breaks off is replaced for the next one."""
        if self._traffic.stopped:
            raise Stopped
        assert isinstance(question, Request)
        loop = asyncio.get_running_loop()
        try:
            link = self._link or await self._open()
            begun = loop.time()
            self._traffic.sent_bytes += (
                len(question.frame) if self.result.type != "modbus-tcp" else 2 + len(question.mbap)
            )
            outcome = await link.read([question], Manners(timeout_s, direct=True))
        except LineDown as error:
            self._cut += 1
            self._close()
            await asyncio.sleep(RECONNECT_PAUSE_S)
            return Silence("timeout", error.sentence, question)
        if isinstance(outcome, Answer):
            took_s = outcome.completed - begun
            self._slowest_s = max(self._slowest_s, took_s)
            self._latency_s[question.unit] = min(took_s, self._latency_s.get(question.unit, took_s))
        if isinstance(outcome, Answer | Refusal):
            self._cut = 0
        elif isinstance(outcome.detail, Message) and outcome.detail != NO_ANSWER:
            self._strange = True
            if outcome.detail.code == "answer-not-modbus-tcp":
                self._no_modbus_tcp = self.result.type == "modbus-tcp"
        return outcome

    async def _first_bytes(self) -> bytes:
        """What the port sends of itself, or in answer to a read in either framing: another service is known by it."""
        self._close()
        read = Request(FIRST[0], 3, 0, 1)
        for frame in (b"\0\1" + read.mbap, RTU.permit(read.frame)):
            if self._traffic.stopped:
                raise Stopped
            await asyncio.sleep(RECONNECT_PAUSE_S)
            if heard := await self._raw(frame):
                return heard
        return b""

    async def _raw(self, frame: bytes) -> bytes:
        """The first bytes that come back of a connection of its own."""
        loop, heard = asyncio.get_running_loop(), b""
        try:
            sock = await stream_link.connected(self.result.host, self.result.tcp_port, CONNECT_S)
        except OSError:
            return b""
        try:
            await loop.sock_sendall(sock, frame)
            self._traffic.sent_bytes += len(frame)
            async with asyncio.timeout(self._patience_s):
                while len(heard) < ENOUGH and (more := await loop.sock_recv(sock, ENOUGH)):
                    heard += more
        except OSError:
            pass  # what came until then is enough
        finally:
            sock.close()
        return heard

    async def _open(self) -> Link:
        host, tcp_port = self.result.host, self.result.tcp_port
        table = KeyTable(0.0, armed=False)
        if self.result.type == "modbus-tcp":
            tcp = TcpLink(host, tcp_port, table, _unseen, self._delay_s)
            await tcp.connect()
            self._link = tcp
        else:
            try:
                port = await stream_link.connect(
                    host, tcp_port, CONNECT_S, char_seconds(RTU_BAUD), t35_seconds(RTU_BAUD)
                )
            except OSError as error:
                raise not_connected(error) from None
            self._link = stream_link.StreamLink(port, RTU, table, _unseen)
        return self._link

    def _close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class _Pace:
    """How long the rest of some steps takes: as long as those before, or at first ``each_s`` seconds each."""

    def __init__(self, steps: int, each_s: float) -> None:
        self._steps, self._each_s = steps, each_s
        self._begun = asyncio.get_running_loop().time()

    def left_s(self, done: int) -> float:
        """After so many steps, in seconds."""
        each_s = (asyncio.get_running_loop().time() - self._begun) / done if done else self._each_s
        return (self._steps - done) * each_s


def _unseen(frame: ObservedFrame) -> None:
    """Frames that are no answers tell a scan of TCP nothing."""


def likely_units() -> list[int]:
    """Unit addresses in order of likelihood: those of the catalog's devices, and the lowest ones."""
    factory = {profile.default_address for profile in known() if profile.protocol in ("modbus", "sunspec")}
    return [*dict.fromkeys([1, 2, 3, *sorted(factory - {0}), 126, 100, 247, 255, *range(4, 17)])][:28]
