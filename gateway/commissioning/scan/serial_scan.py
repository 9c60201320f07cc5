"""Scan of a serial line: it is listened to first, then asked quickly at every setting, then unit by unit.

A line on which somebody else speaks is not asked. Devices of one line share its settings: the pass over every unit ends
with the first setting at which any answers. Where addresses that nobody uses answer too, the scan ends with that
setting: units that answer alike are one device (``likeness``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Final

from gateway.commissioning.scan import diagnosis
from gateway.commissioning.scan.found import FoundLine, FoundUnit, Progress, Protocol, ScanResult, Step
from gateway.commissioning.scan.identify import identify, known
from gateway.commissioning.scan.likeness import MOST_UNITS, STRAYS, Likeness
from gateway.commissioning.scan.line_asker import (
    ANSWER_S,
    FOREIGN,
    NEAR_S,
    PROBE_S,
    READ,
    SHORT,
    SLOW_PROBE_S,
    WILDCARD_S,
    Heard,
    LineAsker,
    OtherMaster,
    Stopped,
)
from gateway.commissioning.scan.scan_port import ScanPort, lasting_name, open_scan_port
from gateway.commissioning.scan.settings import ScanOptions, Settings
from gateway.commissioning.scan.tcp_diagnosis import of_answers
from gateway.devices.places import Registers
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.errors import LineDown
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import Answer, Outcome
from gateway.fieldbus.wire.serial_port import LineErrors
from gateway.fieldbus.wire.serial_time import char_seconds
from gateway.messages.message import Message

LISTEN_S = 0.4
"""Seconds of listening at each setting before anything is sent."""
TAIL_S = 0.05
"""Seconds that the last units of the quick pass still have to answer."""
SET_S = 0.15
"""What setting a port takes at most."""
IDENTIFY_S = 8.0
"""What asking one device who it is may take, for the time that is left."""
EXPECTED: Final = 4
"""Devices that the estimate of the time left expects, before any is found."""
COMPARE_S = 0.5
"""What comparing one takes about."""
READS: Final = 30
"""About how many reads it takes to identify a device."""
LEAST_S: Final = 0.2
"""Time-out of a device that answers at once; of others more."""
TRAFFIC: Final = 3
"""Bytes that nobody asked for: another master. Fewer may come of opening the port."""
TWICE: Final = 4
"""How many of the likeliest units are asked with the shorter question, too."""
HEARD_OUT: Final = 18
"""Units of the quick pass that have had 0.4 s to answer when it ends; the others are asked again."""
AGAIN: Final = 5
"""How many settings are tried once more where nothing was found."""
ANY_UNIT: Final = Message("scan-any-unit")
AskTimed = Callable[[Question, float], Awaitable[Outcome]]
_QUESTION: Final = {READ: 8, SHORT: 4}
_WILDCARD: Final = 16
"""Characters of the questions."""


async def scan_serial(target: str, options: ScanOptions, progress: Progress) -> ScanResult:
    """Find the devices on a serial line, at whatever setting.

    Whoever calls this leaves the line alone for ``scan_port.answer_life_s`` afterwards.

    Args:
        target: a serial port, or ``rfc2217://HOST:PORT``.
        progress: called before each question; False ends the scan with what was found.

    Raises:
        PortError: the port cannot be opened, or another process has it; a device server cannot be connected to. If it
            is lost later, what was found is given.
    """
    port = await open_scan_port(target)
    try:
        return await _SerialScan(port, options, progress).run()
    finally:
        port.close()


class _SerialScan:
    def __init__(self, port: ScanPort, options: ScanOptions, progress: Progress) -> None:
        self._port, self._options, self._progress = port, options, progress
        self._loop = asyncio.get_running_loop()
        self._profiles = (*options.profiles, *known())
        self._modbus = options.settings(parity=port.parity)
        self._dlt645 = options.dlt645(parity=port.parity)
        self._every = tuple(dict.fromkeys((*self._modbus, *self._dlt645)))
        self._wait_s = SLOW_PROBE_S if options.slow else PROBE_S
        self._heard: dict[Settings, Heard] = {}
        self._present: tuple[Heard, LineErrors] | None = None
        self._found: list[tuple[Settings, FoundUnit]] = []
        self._doing, self._until = Message("scan-listens", settings=""), 0.0
        self._refused: dict[str, None] = {}
        self._new: list[FoundUnit] = []
        self._answered: tuple[Settings, ...] = ()
        self._apart: dict[Settings, list[int]] = {}

    async def run(self) -> ScanResult:
        begun, complete, shared = self._loop.time(), True, False
        lost: tuple[Message, ...] = ()
        try:
            await self._listen()
            if shared := sum(heard.count for heard in self._heard.values()) >= TRAFFIC:
                complete = self._options.force
            if complete:
                await self._ask_all()
        except Stopped:
            complete = False
        except OtherMaster:
            complete, shared = False, True
        except LineDown as error:
            complete, lost = False, (Message("scan-line-lost", why=error.sentence),)
        self._count_errors()
        heard = list(self._heard.values())
        of_units = [sentence for _, unit in self._found for sentence in of_answers(unit)]
        if self._refused and not any(one.units or one.meters for one in heard):
            of_units.append(diagnosis.refused(tuple(self._refused)))
        return ScanResult(
            tuple(self._lines()),
            (*diagnosis.of_line(heard, shared=shared, complete=complete), *of_units, *lost),
            complete=complete,
            elapsed_s=self._loop.time() - begun,
            sent_bytes=self._port.sent_bytes,
        )

    async def _listen(self) -> None:
        """Hear whether somebody else speaks: at each setting for its part of the time, and where it is understood,
        until the end."""
        slot_s = max(LISTEN_S, self._options.listen_s / len(self._every))
        until = self._loop.time() + self._options.listen_s
        later_s = sum(map(self._quick_s, self._every)) + self._behind_quick_s()
        for place, settings in enumerate(self._every):
            self._do(
                Message("scan-listens", settings=str(settings)),
                (len(self._every) - place) * (slot_s + SET_S) + later_s,
            )
            self._demand_going_on()
            if (asker := await self._at(settings)) is not None:
                await self._hear(asker, self._loop.time() + slot_s)
                if len(asker.heard.foreign) >= FOREIGN:
                    await self._hear(asker, until)
                    return

    async def _hear(self, asker: LineAsker, until: float) -> None:
        await asker.listen(min(LISTEN_S, until - self._loop.time()))
        while (left_s := until - self._loop.time()) > 0:
            self._demand_going_on()
            await asker.listen(min(LISTEN_S, left_s))

    def _demand_going_on(self) -> None:
        if not self._look():
            raise Stopped

    async def _ask_all(self) -> None:
        """The quick pass, the pass over every unit, and who it is that was found."""
        for place, settings in enumerate(self._every):
            left_s = sum(map(self._quick_s, self._every[place:])) + self._behind_quick_s()
            self._do(Message("scan-quick", settings=str(settings)), left_s)
            if (asker := await self._at(settings)) is not None:
                if settings in self._dlt645:
                    await asker.wildcard()
                if settings in self._modbus:
                    units = self._options.quick_units()
                    await asker.sweep(units, self._wait_s, TAIL_S)
                    await asker.sweep(units[:TWICE], self._wait_s, TAIL_S, SHORT)
                    if await self._answers_anywhere(asker) and await self._tell_apart(settings, asker):
                        break
        if not self._apart:
            await self._ask_every_unit()
        await self._identify()

    async def _answers_anywhere(self, asker: LineAsker) -> bool:
        """Whether addresses answer that hardly a device has; asked where many others do."""
        strays = [unit for unit in STRAYS if unit in self._options.all_units()]
        if len(asker.heard.units) <= MOST_UNITS or not strays or _damage(asker.heard):
            return False
        for _ in range(2):
            if not asker.heard.units.keys() >= {*strays}:
                await asker.sweep(tuple(strays), self._wait_s, NEAR_S)
        return asker.heard.units.keys() >= {*strays}

    async def _tell_apart(self, settings: Settings, asker: LineAsker) -> bool:
        """Identify the device that answers under any address, and find the units that are others. False: there is none,
        but so many devices."""
        strays = [unit for unit in STRAYS if unit in asker.heard.units]
        others = [unit for unit in asker.heard.units if unit not in strays]
        self._apart[settings] = others[:1]
        self._do_identify(settings, strays[0], 1 + MOST_UNITS)
        device, likeness = await self._known(asker, strays[0])
        if not all([await likeness.holds(unit) for unit in strays[1:]]):
            del self._apart[settings]
            return False
        first = [unit for unit in others[:MOST_UNITS] if not await likeness.holds(unit)]
        if first:  # there are others: every unit may be one
            self._do(Message("scan-every-unit", settings=str(settings)), self._sweep_s(settings))
            await asker.sweep(self._options.all_units(), self._wait_s, NEAR_S)
            others = [unit for unit in asker.heard.units if unit not in strays]
            for place, unit in enumerate(others[MOST_UNITS:], MOST_UNITS):
                self._do_identify(settings, unit, (len(others) - place) * COMPARE_S / IDENTIFY_S + len(first))
                first += [] if await likeness.holds(unit) else [unit]
        address = next((unit for unit in others if unit not in first), strays[0])
        found = replace(device, address=address, evidence=(ANY_UNIT, *device.evidence))
        self._apart[settings] = sorted([address, *first])
        self._found.append((settings, found))
        self._new.append(found)
        return True

    async def _known(self, asker: LineAsker, unit: int) -> tuple[FoundUnit, Likeness]:
        """Who a unit is, and what others are compared with."""
        reads = list[Request]()

        async def ask(question: Question, timeout_s: float = ANSWER_S) -> Outcome:
            outcome = await asker.ask(question, timeout_s)
            if isinstance(outcome, Answer) and isinstance(question, Request):
                reads.append(question)
            return outcome

        found = await self._who(asker, unit, ask)
        profile = next((p for p in self._profiles for c in found.candidates[:1] if p.name == c.profile), None)
        points = [profile.point(name).at for name in profile.identity] if profile is not None else []
        exact = {
            (at.fc, n)
            for at in points
            if isinstance(at, Registers)
            for n in range(at.address, at.address + at.registers)
        }
        latency_s = (found.latency_ms or 0.0) / 1000
        return found, Likeness(partial(asker.ask, timeout_s=LEAST_S + 3 * latency_s), unit, reads, exact)

    async def _ask_every_unit(self) -> None:
        """At one setting after the other, until one has brought units; there once more with the shorter question. Where
        none has, the likeliest settings are gone through with that one."""
        sweeps, again = self._to_sweep(), self._modbus[:AGAIN]
        if self._options.units and set(self._options.units) <= {u for s in self._modbus for u in self._units(s)}:
            return  # those that were asked for are there
        for place, settings in enumerate(sweeps):
            left_s = sum(map(self._sweep_s, sweeps[place + 1 :])) + sum(self._sweep_s(s, SHORT) for s in again)
            await self._sweep(settings, left_s)
            if self._units(settings):
                rest = [s for s in sweeps[place + 1 :] if self._options.slow or s in self._answered]
                await self._sweep(settings, sum(map(self._sweep_s, rest)), SHORT)
                if not self._options.slow and settings not in self._answered:
                    return
        if not any(map(self._units, self._modbus)) and sweeps:
            for place, settings in enumerate(again):
                await self._sweep(settings, sum(self._sweep_s(s, SHORT) for s in again[place + 1 :]), SHORT)
                if self._units(settings):
                    return

    async def _sweep(self, settings: Settings, later_s: float, function: int = READ) -> None:
        left_s = self._sweep_s(settings, function) + later_s + self._identify_s()
        self._do(Message("scan-every-unit", settings=str(settings)), left_s)
        if (asker := await self._at(settings)) is not None:
            units = self._options.all_units(known=HEARD_OUT if function == READ else 0)
            await asker.sweep(units, self._wait_s, NEAR_S, function)

    def _to_sweep(self) -> tuple[Settings, ...]:
        """At which settings every unit is asked: those that have brought units, else all, those first that have brought
        something; on a line of DL/T 645 meters none."""
        self._answered = tuple(s for s in self._modbus if self._units(s))
        if self._options.slow:
            return self._modbus
        if self._answered or any(heard.meters for heard in self._heard.values()):
            return self._answered
        return tuple(sorted(self._modbus, key=lambda s: not (s in self._heard and self._heard[s].twice)))

    async def _identify(self) -> None:
        """Ask those that were found who they are."""
        everybody: list[tuple[Settings, int | str]] = []
        for settings, heard in self._heard.items():
            everybody += [(settings, number) for number in heard.meters]
            everybody += [(settings, unit) for unit in self._units(settings)]
        done = {(settings, unit.address) for settings, unit in self._found}
        everybody = [each for each in everybody if each not in done]
        for place, (settings, unit) in enumerate(everybody):
            self._do_identify(settings, unit, len(everybody) - place)
            if (asker := await self._at(settings)) is not None:
                found = await self._who(asker, unit)
                self._found.append((settings, found))
                self._new.append(found)
        self._do(Message("scan-ends"), 0.0)
        self._look()

    def _do_identify(self, settings: Settings, unit: int | str, units_left: float) -> None:
        doing = Message("scan-identifies", address=str(unit), settings=str(settings))
        self._do(doing, IDENTIFY_S * units_left)

    async def _who(self, asker: LineAsker, unit: int | str, asks: AskTimed | None = None) -> FoundUnit:
        latency_s = await asker.latency(unit) if isinstance(unit, int) else asker.heard.meters[unit]
        timeout_s = ANSWER_S if latency_s is None else min(ANSWER_S, LEAST_S + 3 * latency_s)
        asked = asks or asker.ask
        most_s = IDENTIFY_S + READS * (latency_s or 0.0)
        likely = {c.profile for _, other in self._found for c in other.candidates[:1]}
        protocol: Protocol = "modbus" if isinstance(unit, int) else "dlt645"
        found = await identify(
            lambda question: asked(question, timeout_s),
            unit,
            protocol,
            profiles=self._profiles,
            likely=likely,
            most_s=most_s,
        )
        return replace(found, latency_ms=None if latency_s is None else round(1000 * latency_s, 1))

    async def _at(self, settings: Settings) -> LineAsker | None:
        """The port at a setting; None where it cannot be set so."""
        self._count_errors()
        if not await self._port.set(settings):
            self._refused[str(settings)] = None
            return None
        heard = self._heard.setdefault(settings, Heard(settings))
        if (errors := self._port.errors()) is not None:
            self._present = heard, errors
        return LineAsker(self._port, heard, self._look, force=self._options.force)

    def _count_errors(self) -> None:
        """Bytes that came damaged since the port was set belong to its setting."""
        if self._present is not None and (now := self._port.errors()) is not None:
            heard, before = self._present
            known = heard.errors or LineErrors()
            heard.errors = LineErrors(*(k + n - b for k, n, b in zip(known, now, before, strict=True)))
        self._present = None

    def _units(self, settings: Settings) -> list[int]:
        """Single devices that answered there, and nowhere else with fewer damaged bytes. All speeds of
        a pseudo-terminal are one: there, at none before."""
        here = self._heard.get(settings)
        if here is None:
            return []
        if settings in self._apart:
            return self._apart[settings]
        better = [heard for heard in self._heard.values() if _damage(heard) < _damage(here)]
        if not self._port.parity:
            better += [self._heard[before] for before in takewhile(lambda one: one != settings, self._heard)]
        return sorted(u for u in here.units if u not in here.twice and not any(u in other.units for other in better))

    def _lines(self) -> Iterator[FoundLine]:
        """One line a setting and type, with what is known of its units."""
        known = {(settings, unit.address): unit for settings, unit in self._found}
        for settings, heard in self._heard.items():
            unsure = settings in self._apart and all(at != settings for at, _ in self._found)
            asked_units = (ANY_UNIT,) if unsure else ()
            modbus: Iterable[FoundUnit] = (
                FoundUnit(unit, "modbus", evidence=asked_units) for unit in self._units(settings)
            )
            meters: Iterable[FoundUnit] = (FoundUnit(number, "dlt645") for number in sorted(heard.meters))
            for kind, units in (("modbus-rtu", modbus), ("dlt645", meters)):
                there = tuple(known.get((settings, unit.address), unit) for unit in units)
                if there:
                    yield FoundLine(
                        "dlt645" if kind == "dlt645" else "modbus-rtu",
                        port=lasting_name(self._port.target),
                        baudrate=settings.baudrate,
                        parity=settings.parity,
                        stopbits=settings.stopbits,
                        units=there,
                    )

    def _do(self, doing: Message, left_s: float) -> None:
        self._doing, self._until = doing, self._loop.time() + left_s

    def _look(self) -> bool:
        new = self._new.pop(0) if self._new else None
        return self._progress(Step(self._doing, max(0.0, self._until - self._loop.time()), new))

    def _quick_s(self, settings: Settings) -> float:
        """The longest that the quick pass takes at a setting where nothing answers."""
        found_s = SET_S
        if settings in self._dlt645:
            found_s += _WILDCARD * char_seconds(*settings) + WILDCARD_S
        if settings in self._modbus:
            units = self._options.quick_units()
            found_s += 2 * TAIL_S + len(units) * self._probe_s(settings) + TWICE * self._probe_s(settings, SHORT)
        return found_s

    def _sweep_s(self, settings: Settings, function: int = READ) -> float:
        return SET_S + NEAR_S + len(self._options.all_units()) * self._probe_s(settings, function)

    def _behind_quick_s(self) -> float:
        """The longest that everything behind the quick pass takes."""
        again_s = sum(self._sweep_s(settings, SHORT) for settings in self._modbus[:AGAIN])
        return sum(map(self._sweep_s, self._modbus)) + again_s + self._identify_s()

    def _identify_s(self) -> float:
        """What identification takes, of those that were found, and of a few that may be found."""
        found = sum(len(self._units(settings)) for settings in self._modbus)
        return IDENTIFY_S * max(EXPECTED, found + sum(len(heard.meters) for heard in self._heard.values()))

    def _probe_s(self, settings: Settings, function: int = READ) -> float:
        return _QUESTION[function] * char_seconds(*settings) + self._wait_s


def _damage(heard: Heard) -> int:
    return 0 if heard.errors is None else heard.errors.parity + heard.errors.framing
