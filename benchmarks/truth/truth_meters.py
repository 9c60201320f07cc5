"""Meters of which it is known what each register showed when: the far end of the lines of a fieldbus-truth case, and
the judge of what was taken for their values."""

from __future__ import annotations

import asyncio
import random
import struct
from collections import Counter, deque
from dataclasses import dataclass, field

from benchmarks.truth.truth_reader import Polled, Raised, Report
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import Sent, answer
from tests.gateway.fieldbus.truth import SLACK, TICK_S, tick, truth

UNITS = (1, 2)
POWER, ENERGY, SERIAL_BESIDE, OTHERS, SERIAL_APART = 1000, 1004, 1010, 2000, 9000
"""Addresses: a block of four numbers with a counter behind them, another block, the serial number beside or apart."""
OF_ANOTHER = 64
"""Added to a unit's address where another device shows its own numbers under it."""
REMEMBERED = 64
STRANGER = "stranger"


@dataclass
class Book:
    """What the meters of one case were asked, what was taken from them, and whether it was true."""

    due: int = 0
    recorded: int = 0
    values: int = 0
    wrong: int = 0
    alarms: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    more: Counter[str] = field(default_factory=Counter)
    """What a case counts beside these."""
    lines: list[Meters] = field(default_factory=list)

    def take(self, report: Report) -> None:
        """One report of the process that reads the lines."""
        if isinstance(report, Raised):
            self.alarms[report.code] += 1
        elif report.missed != "stopped":
            self.due += 1
            self.recorded += bool(report.answers)
            if report.missed:
                self.missed[report.missed] += 1
            self.lines[report.line].judge(report, self)

    def figures(self) -> dict[str, object]:
        """As the benchmark prints them."""
        return {
            "polls": self.due,
            "values": self.values,
            "wrong": self.wrong,
            "strangers": self.alarms[STRANGER],
            "recorded": self.recorded / max(1, self.due),
            "missed": dict(self.missed),
            "alarms": dict(self.alarms),
            **self.more,
        }


class Meters:
    """The units of one line: a device as tests/gateway/fieldbus/devices.py takes it. ``exchanged``: since that tick
    another device answers in place of each, with a counter that stands ``apart`` from the first one's."""

    def __init__(self, rng: random.Random, *, apart: int = 1) -> None:
        self.rng, self.apart = rng, apart
        self.exchanged: int | None = None
        self.named_until = 0
        """Values of the other device are what the documentation names, until this tick."""
        self.found: set[int] = set()
        self.asked: dict[tuple[int, int, int], deque[int]] = {}
        self.busy_until = 0.0
        """Loop time until which an answer is on its way."""

    def __call__(self, request: Request) -> Sent:
        now = tick()
        self.asked.setdefault((request.unit, request.address, request.count), deque(maxlen=REMEMBERED)).append(now)
        delay = self.rng.uniform(0.005, 0.03)
        self.busy_until = asyncio.get_running_loop().time() + delay
        registers = [self._shown(request.unit, request.address + n, now) for n in range(request.count)]
        return [(delay, answer(request, struct.pack(f">{request.count}H", *registers)))]

    def judge(self, polled: Polled, book: Book) -> None:
        """Count a poll's values, and those that are true at no moment between question and answer."""
        if polled.missed == "exchanged" and polled.unit not in self.found:
            self.found.add(polled.unit)
            book.more["exchanged"] += 1
        for block in polled.answers:
            done = int(block.completed / TICK_S)
            sent = max(t for t in self.asked[polled.unit, block.address, block.size] if t <= done + SLACK)
            moments = range(sent - SLACK, done + SLACK + 1)
            for address, word in enumerate(block.registers, start=block.address):
                book.values += 1
                if any(self._of_first(polled.unit, address, t) == word for t in moments):
                    continue
                named = done < self.named_until and any(
                    self._of_other(polled.unit, address, t) == word for t in moments
                )
                book.more["of_another_device"] += named
                book.wrong += not named

    def _shown(self, unit: int, address: int, now: int) -> int:
        face = self._of_first if self.exchanged is None else self._of_other
        return face(unit, address, now)

    def _of_first(self, unit: int, address: int, now: int) -> int:
        return _register(unit, address, now, 0)

    def _of_other(self, unit: int, address: int, now: int) -> int:
        return _register(unit + OF_ANOTHER, address, now, self.apart)


def _register(device: int, address: int, now: int, apart: int) -> int:
    """A register of one device; its counter counts tenths of a second."""
    if address in (SERIAL_BESIDE, SERIAL_APART):
        return 7000 + device
    if address in (ENERGY, ENERGY + 1):
        return (now // 100 + apart) >> (16 if address == ENERGY else 0) & 0xFFFF
    return truth(device, address, now)


def profile(serial: int = SERIAL_APART) -> Profile:
    """A meter with two blocks and a serial number at that address."""
    powers = "\n".join(
        f'p{a} = {{ fc = 3, address = {a}, type = "uint16", unit = "W" }}'
        for a in (*range(POWER, ENERGY), *range(OTHERS, OTHERS + 4))
    )
    spans = ", ".join(f"{{ fc = 3, first = {s}, last = {s + 90} }}" for s in (POWER, OTHERS, SERIAL_APART))
    return parse_profile(
        f'vendor = "T"\ndevice = "T"\nsource = "T"\nidentity = ["serial"]\nreadable = [{spans}]\n[points]\n{powers}\n'
        f'energy = {{ fc = 3, address = {ENERGY}, type = "uint32", unit = "kWh", kind = "counter" }}\n'
        f'serial = {{ fc = 3, address = {serial}, type = "uint16", kind = "status", record = false }}\n',
        "truth",
        "truth.toml",
    )


def line_spec(name: str, period_ms: int, serial: int = SERIAL_APART) -> LineSpec:
    """A line of these meters, for every wire; its times are those of a serial line at a period of 2 s."""
    found = profile(serial)
    meters = tuple(MeterSpec(f"u{unit}", found, unit, period_ms, found.select()) for unit in UNITS)
    return LineSpec(
        name, "modbus-rtu", meters, baudrate=115200, timeout_ms=period_ms * 3 // 20,
        answer_life_ms=period_ms * 3 // 2,
    )  # fmt: skip
