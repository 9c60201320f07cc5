"""Questions of a scan at one setting of its port: short probes of many units, and single questions that are waited for.

A probe does not wait for its unit: an answer that comes while later units are asked is known by its own unit. Bytes
that are no frame may be an answer that met the next question, so the last units are asked once more, slowly.

Whoever sends hears nothing: the shortest answer, of five characters, may vanish in a question of eight. ``SHORT``
questions, of four, leave a part of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.commissioning.scan.frame_search import Piece, pieces
from gateway.commissioning.scan.scan_port import ScanPort
from gateway.commissioning.scan.settings import Settings
from gateway.fieldbus.dlt645 import frames as dlt645
from gateway.fieldbus.dlt645.framing import DLT645
from gateway.fieldbus.modbus.frames import REPORT_SERVER_ID, Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.framing import Framing, Refused
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import NO_ANSWER, NO_FRAME, Answer, Outcome, Refusal, Silence
from gateway.fieldbus.wire.serial_port import LineErrors
from gateway.fieldbus.wire.serial_time import t35_seconds
from gateway.messages.message import Message

PROBE_S, SLOW_PROBE_S = 0.03, 0.5
"""Seconds from the end of a unit's question until the next unit is asked."""
NEAR_S, FAR_S = 0.3, 0.6
"""How far back the last units are asked again; only if that finds nothing, further back."""
FRUITLESS: Final = 2
"""Times at one setting that going back may find nothing; then it is noise."""
AGAIN: Final = 3
"""Times that a unit is asked whose answers come damaged."""
MARGIN_S: Final = 0.004
"""Beyond the silence that ends a question."""
WILDCARD_S, ANSWER_S = 0.55, 1.0
"""A DL/T 645 meter begins its answer within 0.5 s (DL/T 645-2007, 5.2.6); others, once they are known, within 1 s."""
BEHIND_S = 0.1
"""A second answer to the same question comes within this time."""

FOREIGN: Final = 2
"""Frames that nobody here asked for; one may be chance."""

READ: Final = 3
"""Of one register: whatever a device has there, it answers, if only with an exception."""
SHORT: Final = REPORT_SERVER_ID
PROBES: Final[Mapping[int, Callable[[int], Request]]] = {
    READ: lambda unit: Request(unit, READ, 0, 1),
    SHORT: lambda unit: Request(unit, SHORT),
}

Reply = Literal["answer", "damaged", "silence"]


class Stopped(Exception):
    """The user wants no more; what was found is kept."""


class OtherMaster(Exception):
    """Somebody else asks on this line."""


@dataclass(slots=True)
class Heard:
    """What came in at one setting.

    ``count``: of all bytes. ``frames``: with a good check value; ``damaged``: bytes of none. ``asked``: questions;
    ``echoes``: those that came back. ``foreign``: frames that nobody here asked for. ``twice``: units whose answers
    come damaged each time, or two at a time. ``units``: those that answered, and how soon in seconds as far as it was
    seen. ``meters``: the same by DL/T 645 number. ``crowd``: meters answered the wildcard, none of them intact.
    ``fruitless``: how often going back found nothing.
    """

    settings: Settings
    count: int = 0
    frames: int = 0
    damaged: int = 0
    echoes: int = 0
    asked: int = 0
    errors: LineErrors | None = None
    foreign: list[bytes] = field(default_factory=list)
    twice: set[int] = field(default_factory=set)
    units: dict[int, float | None] = field(default_factory=dict)
    meters: dict[str, float | None] = field(default_factory=dict)
    crowd: bool = False
    fruitless: int = 0


class LineAsker:
    """Asks at the present setting of a port.

    Args:
        port: set already.
        heard: of this setting, also from earlier visits.
        look: called before each question; False: stop.
        force: go on although another master speaks.
    """

    def __init__(self, port: ScanPort, heard: Heard, look: Callable[[], bool], *, force: bool = False) -> None:
        self.port, self.heard, self._force = port, heard, force
        self._look, self._loop = look, asyncio.get_running_loop()
        self._recent: deque[tuple[int, float]] = deque(maxlen=64)
        self._asked = set(heard.units)
        self._open = Counter[int]()
        self._sent = b""

    async def listen(self, seconds: float) -> None:
        """Send nothing, and take what comes."""
        await self.port.hear_out(self._loop.time() + seconds)
        self._take()

    async def sweep(self, units: tuple[int, ...], wait_s: float, tail_s: float, function: int = READ) -> None:
        """Probe units, and hear the last ones out for ``tail_s``.

        Args:
            wait_s: what each unit has to answer; ``SHORT`` needs none.
            function: ``READ``, which every device answers, or ``SHORT``, which some leave unanswered.
        """
        if function == SHORT:
            wait_s = min(wait_s, t35_seconds(self.port.settings.baudrate) + MARGIN_S)
        for unit in units:
            if unit in self.heard.units:
                continue
            await self._probe(unit, wait_s, function)
        if units:
            await self.port.hear_out(self._loop.time() + tail_s)
            if self._take():
                await self._go_back(function)

    async def latency(self, unit: int) -> float | None:
        """How soon a unit that was found answers, in seconds; None: it does not answer any more."""
        for _ in range(AGAIN if self.heard.units[unit] is None else 0):
            if await self._slowly(unit, ANSWER_S) == "answer":
                break
        return self.heard.units[unit]

    async def wildcard(self) -> None:
        """Ask the DL/T 645 meter of this line for its number."""
        damaged = 0
        for _ in range(AGAIN):
            out = self._send(dlt645.Request(dlt645.WILDCARD), DLT645)
            came = await self._first_byte(out + WILDCARD_S)
            damaged += self._take()
            if self.heard.meters and came is not None:
                self.heard.meters = dict.fromkeys(self.heard.meters, came - out)
                return
            if came is None:
                return
        self.heard.crowd = damaged == AGAIN

    async def ask(self, question: Question, timeout_s: float = ANSWER_S) -> Outcome:
        """One read, waited for. Raises LineDown; Stopped."""
        framing: Framing = DLT645 if isinstance(question, dlt645.Request) else RTU
        while (free := self.port.last_byte + t35_seconds(self.port.settings.baudrate)) > self._loop.time():
            await self.port.listen(free)
        self._take()
        until, seen = self._send(question, framing) + timeout_s, NO_ANSWER
        while self._loop.time() < max(until, self.port.last_byte + self.port.gap_s):
            await self.port.listen(max(until, self.port.last_byte + self.port.gap_s))
            heard = bytes(self.port.heard).removeprefix(self._sent)
            for piece in pieces(heard):
                whole = piece.protocol and framing.answer_length(piece.data) == len(piece.data)
                if whole and framing.answers(framing.head(piece.data), question.key):
                    self._take()
                    return self._outcome(question, framing.read(question, piece.data))
            seen = NO_FRAME if heard else NO_ANSWER
        await self.port.hear_out(self._loop.time() + timeout_s)  # a late answer is not the next question's
        self._take()
        return Silence("timeout", seen, question)

    def _outcome(self, question: Question, answer: bytes | Refused | Message) -> Outcome:
        if isinstance(answer, Refused):
            return Refusal(question, answer)
        if isinstance(answer, Message):
            return Silence("timeout", answer, question)
        return Answer(question, answer, self._loop.time())

    def _send(self, question: Question, framing: Framing) -> float:
        if not self._look():
            raise Stopped
        if len(self.heard.foreign) >= FOREIGN and not self._force:
            raise OtherMaster
        self.heard.asked += 1
        self._sent = framing.sent(question)
        return self.port.send(question, framing)

    def _ask_unit(self, unit: int, function: int = READ) -> float:
        self._asked.add(unit)
        self._open[unit] += 1
        return self._send(PROBES[function](unit), RTU)

    async def _probe(self, unit: int, wait_s: float, function: int) -> None:
        out = self._ask_unit(unit, function)
        self._recent.append((unit, out))
        await self.port.hear_out(out + wait_s)
        if self._take():
            await self._go_back(function)

    async def _go_back(self, function: int) -> None:
        """Something was damaged: ask the last units again, the nearest first, and further back where none answers. Of
        the many that ``SHORT`` questions have asked meanwhile, the first that answers ends it."""
        if self.heard.fruitless >= FRUITLESS:
            return
        begun = self._loop.time()
        known = len(self.heard.units) + len(self.heard.twice)
        await self.port.hear_out(begun + NEAR_S)
        self._take()
        for within_s in (NEAR_S, FAR_S):
            for unit, ago_s in [(unit, begun - out) for unit, out in reversed(self._recent) if begun - out <= within_s]:
                if unit not in self.heard.units and unit not in self.heard.twice:
                    await self._surely(unit, ago_s + BEHIND_S)  # it has answered by now, or was not the one
                if function == SHORT and len(self.heard.units) + len(self.heard.twice) > known:
                    return
            if len(self.heard.units) + len(self.heard.twice) > known:
                return
        self.heard.fruitless += 1

    async def _surely(self, unit: int, wait_s: float) -> None:
        """Ask one unit until it answers, is silent, or has given nothing but damaged bytes."""
        reply: Reply = "damaged"
        for _ in range(AGAIN):
            if (reply := await self._slowly(unit, wait_s)) != "damaged":
                break
        if reply == "damaged":
            self.heard.twice.add(unit)

    async def _slowly(self, unit: int, wait_s: float) -> Reply:
        """Ask one unit and wait for its answer."""
        out = self._ask_unit(unit)
        while (came := await self._first_byte(out + wait_s)) is not None:
            await self.port.hear_out(self._loop.time() + BEHIND_S)
            answers, damaged, echoes = 0, False, self.heard.echoes
            for piece in pieces(self._stripped()):
                self._note(piece)
                damaged = damaged or piece.is_damage
                answers += piece.protocol == "modbus" and piece.is_answer and piece.unit == unit
            late, self._open[unit] = self._open[unit] > 1, 0
            if answers > 1 and late:  # the other one may be the answer to a question before
                return await self._slowly(unit, wait_s)
            if answers > 1:
                self.heard.twice.add(unit)
            if answers:
                seen = self.heard.echoes == echoes  # else that first byte was the question's
                self.heard.units[unit] = max(0.0, came - out) if seen else None
                return "answer"
            if damaged:
                return "damaged"
        return "silence"

    async def _first_byte(self, until: float) -> float | None:
        """When the first byte came that is none of our own question; then what begins with it has been heard out. None:
        none came."""
        while self._loop.time() < until or self.port.heard:
            if not self.port.heard and not await self.port.listen(until):
                return None
            came = self.port.last_byte
            await self.port.hear_out(came)
            if self._is_echo():
                del self.port.heard[: len(self._sent)]
                self._sent = b""
                self.heard.echoes += 1
                continue
            return came
        return None

    def _is_echo(self) -> bool:
        return bool(self._sent) and bytes(self.port.heard) == self._sent

    def _stripped(self) -> bytes:
        """What came, without our questions in front: an echo may be late."""
        data = bytes(self.port.heard)
        self.port.heard.clear()
        self.heard.count += len(data)
        while echo := next((question for question in self.port.sent if data.startswith(question)), b""):
            self.heard.echoes += 1
            data = data[len(echo) :]
        self._sent = b""
        return data

    def _take(self) -> bool:
        """Take what came; True when some of it was no frame."""
        damaged = False
        for piece in pieces(self._stripped()):
            self._note(piece)
            damaged = damaged or piece.is_damage
        return damaged

    def _note(self, piece: Piece) -> None:
        """Whose frame it is."""
        heard = self.heard
        if not piece.protocol:
            heard.damaged += len(piece.data)
            return
        if piece.data in self.port.sent:  # no answer looks like its question
            heard.echoes += 1
            return
        heard.frames += 1
        if piece.protocol == "dlt645":
            reply = dlt645.parse(piece.data)
            number = reply.named_address or (reply.address if reply.control & dlt645.FROM_METER else None)
            if number is not None and number.isdecimal():
                heard.meters.setdefault(number, None)
            else:
                heard.foreign.append(piece.data)
            return
        asked = piece.unit in self._asked
        if asked and piece.is_answer and piece.function in PROBES:
            heard.units.setdefault(piece.unit, None)
        elif not (piece.is_answer and piece.unit in heard.units):
            heard.foreign.append(piece.data)
