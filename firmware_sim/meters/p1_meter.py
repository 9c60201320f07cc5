"""Electricity meter with a P1 port, and the meters that it passes on: their telegram at any moment. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from firmware_sim.meters.answers import Alter
from firmware_sim.meters.packing import Cell
from firmware_sim.plant.model import Plant
from firmware_sim.plant.signals import total
from firmware_sim.plant.state import Flow, State

CLOCK = "0-0:1.0.0"
"""Code of date and time."""
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
KINDS = {"gas": ("003", "m3", 0.4), "water": ("007", "m3", 0.02), "heat": ("004", "GJ", 0.05)}
"""Device type, unit, and how much of it flows in an hour."""
READ_EVERY_MS = 300_000
_COUNTER = re.compile(r"|1-0:[12]\.8\.[0-9]|0-[0-9]:24\.2\.[0-9]")
"""Codes of counters; in edition 2 the line of a gas meter's value has none."""
MAIN_SERIAL, SERIAL = "0-0:96.1.1", "serial_number"
"""Code of the meter's own equipment identifier, and its name for faults; those of others have their code as name."""
_SERIAL = re.compile(r"0-[0-9]:96\.1\.[01]")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A meter behind the port: ``channel`` 1 to 9, kind, equipment identifier, what it showed at the start, its name in
    the scenario."""

    channel: int
    kind: str
    equipment: str
    start: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class P1Spec:
    """The port: edition of DSMR (2, 4 or 5), the meter's place in the plant, equipment identifiers. ``country`` of
    edition 5: "nl"; "be", whose gas is not converted to a base temperature and stands elsewhere, as identifiers do; or
    "at", which sends Wh and W, totals, and no identifier."""

    edition: int
    equipment: str
    measures: str = "grid"
    start_wh: tuple[float, float] = (0.0, 0.0)
    passed_on: tuple[PassedOn, ...] = ()
    country: str = "nl"
    name: str = ""
    part: Fraction = Fraction(1)
    class_percent: float = 0.0

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The names for faults of the equipment identifiers in its telegrams."""
        last = 1 if self.country == "be" else 0
        others = [f"0-{meter.channel}:96.1.{last}" for meter in self.passed_on]
        return (*([] if self.country == "at" else [SERIAL]), *others)

    def flow(self, state: State) -> Flow:
        """What it sees of the plant: its part, with its error."""
        return state.seen(self.measures, self.name, self.part, self.class_percent)


class P1Meter:
    """A meter over time.

    Args:
        spec: what it is.
        plant: what it measures.
        unix_ms: Unix time of a moment of the plant's time, for its clock.
    """

    def __init__(self, spec: P1Spec, plant: Plant, unix_ms: Callable[[int], int]) -> None:
        self.spec, self._plant, self._unix_ms = spec, plant, unix_ms

    def telegram(self, t_ms: int, alter: Alter | None = None) -> bytes:
        """What it sends at that moment; ``alter`` changes what clock and counters show."""
        edition, now_ms = self.spec.edition, self._unix_ms(t_ms)
        lines = ["/SIM5\\METERSEAL-SIM", ""]
        if edition > 2:
            version = "1-3:0.2.8(50)" if edition == 5 else "1-3:0.2.8(42)"
            version = "0-0:96.1.4(50217)" if self.spec.country == "be" else version
            lines += [version, f"{CLOCK}({_time(now_ms)})"]
        if self.spec.country != "at":
            lines.append(f"0-0:96.1.1({self.spec.equipment.encode().hex().upper()})")
        lines += self._measured(t_ms)
        for meter in self.spec.passed_on:
            lines += self._passed_on(meter, t_ms)
        if alter is not None:
            lines = [_altered(line, alter) for line in lines]
        text = "".join(f"{line}\r\n" for line in lines).encode() + b"!"
        return text + (b"\r\n" if edition == 2 else b"%04X\r\n" % checksum(text))

    def values(self, telegram: bytes) -> dict[str, dict[str, str]]:
        """The readings in one of its telegrams by meter (itself first) and code: numbers in the text's digits, without
        their units, and texts."""
        names = {str(meter.channel): meter.name for meter in self.spec.passed_on}
        found: dict[str, dict[str, str]] = {self.spec.name: {}, **{name: {} for name in names.values()}}
        for code, text, unit in _read(telegram):
            name = names.get(code[2], self.spec.name)
            found[name][code] = text if unit is None else format(Decimal(text), "f")
        return found

    def received(self, data: bytes, telegram: bytes) -> dict[str, dict[str, str]]:
        """The readings that a right reader takes from the bytes that were sent of a telegram, by meter and code.

        Those of a telegram that is whole; of a damaged one none, as its check value tells. Edition 2 has no check
        value: there those of all lines that still have a code of the meter and a number in its unit.
        """
        right = self.values(telegram)
        if telegram in data:
            return right
        found: dict[str, dict[str, str]] = {name: {} for name in right}
        is_telegram = len(data) == len(telegram) and data.startswith(b"/") and data.count(b"!") == 1
        if self.spec.edition > 2 or not is_telegram:
            return found
        units, names = self.units(telegram), {code: name for name, values in right.items() for code in values}
        for code, text, unit in _read(data):
            if code in names and unit == units.get(code) and (unit is None or _NUMBER.fullmatch(text)):
                found[names[code]][code] = text if unit is None else format(Decimal(text), "f")
        return found

    def units(self, telegram: bytes) -> dict[str, str]:
        """The units of the numbers in one of its telegrams, by code."""
        return {code: unit for code, _, unit in _read(telegram) if unit is not None}

    def exact(self, t_ms: int) -> dict[str, dict[str, float]]:
        """What it measures by meter and code, in the units of its telegrams, before it is written in digits."""
        right, (taken, given) = replace(self.spec, class_percent=0.0), self.spec.start_wh
        flow = right.flow(self._plant.at(t_ms))
        unit = 1 if self.spec.country == "at" else 1000
        imported, exported = taken + total(flow.imported_wh), given + total(flow.exported_wh)
        power = total(flow.watts)
        values = {
            **{f"1-0:1.8.{tariff}": imported / unit for tariff in (0, 1)},
            **{f"1-0:2.8.{tariff}": exported / unit for tariff in (0, 1)},
            "1-0:1.7.0": max(power, 0) / unit,
            "1-0:2.7.0": max(-power, 0) / unit,
        }
        for phase, (active, reactive, volts) in enumerate(zip(flow.watts, flow.vars, flow.volts, strict=True)):
            code = 20 * phase
            values[f"1-0:{21 + code}.7.0"] = max(active, 0) / 1000
            values[f"1-0:{22 + code}.7.0"] = max(-active, 0) / 1000
            values[f"1-0:{31 + code}.7.0"] = math.hypot(active, reactive) / volts if volts > 0 else 0.0
            values[f"1-0:{32 + code}.7.0"] = volts
        found = {self.spec.name: values}
        for meter in self.spec.passed_on:
            now = meter.start + KINDS[meter.kind][2] * t_ms / 3_600_000
            found[meter.name] = {f"0-{meter.channel}:24.2.{number}": now for number in (1, 3)}
        return found

    def _measured(self, t_ms: int) -> Sequence[str]:
        flow = self.spec.flow(self._plant.at(t_ms))
        (start_in, start_out), watts = self.spec.start_wh, flow.watts
        imported, exported = start_in + total(flow.imported_wh), start_out + total(flow.exported_wh)
        power = total(watts)
        if self.spec.country == "at":
            return [
                *(f"1-0:1.8.{tariff}({imported:09.0f}*Wh)" for tariff in (0, 1)),
                "1-0:1.8.2(000000000*Wh)",
                f"1-0:1.7.0({max(power, 0):09.0f}*W)",
                *(f"1-0:2.8.{tariff}({exported:09.0f}*Wh)" for tariff in (0, 1)),
                "1-0:2.8.2(000000000*Wh)",
                f"1-0:2.7.0({max(-power, 0):09.0f}*W)",
            ]
        lines = [
            f"1-0:1.8.1({imported / 1000:010.3f}*kWh)",
            "1-0:1.8.2(000000.000*kWh)",
            f"1-0:2.8.1({exported / 1000:010.3f}*kWh)",
            "1-0:2.8.2(000000.000*kWh)",
            "0-0:96.14.0(0001)",
            f"1-0:1.7.0({max(power, 0) / 1000:06.3f}*kW)",
            f"1-0:2.7.0({max(-power, 0) / 1000:06.3f}*kW)",
        ]
        if self.spec.edition == 2:
            return lines
        for phase, (active, reactive, volts) in enumerate(zip(watts, flow.vars, flow.volts, strict=True)):
            amps = (active * active + reactive * reactive) ** 0.5 / volts if volts > 0 else 0.0
            code = 20 * phase
            if self.spec.edition == 5:
                lines.append(f"1-0:{32 + code}.7.0({volts:06.1f}*V)")
            lines.append(f"1-0:{31 + code}.7.0({amps:06.2f}*A)" if self.spec.edition == 5 else _whole_amps(code, amps))
            lines.append(f"1-0:{21 + code}.7.0({max(active, 0) / 1000:06.3f}*kW)")
            lines.append(f"1-0:{22 + code}.7.0({max(-active, 0) / 1000:06.3f}*kW)")
        return lines

    def _passed_on(self, meter: PassedOn, t_ms: int) -> Sequence[str]:
        type_, unit, an_hour = KINDS[meter.kind]
        read_ms = self._unix_ms(t_ms) // READ_EVERY_MS * READ_EVERY_MS
        age_ms = max(0, t_ms - (self._unix_ms(t_ms) - read_ms))
        value, at, equipment = meter.start + an_hour * age_ms / 3_600_000, f"0-{meter.channel}", meter.equipment
        belgian = self.spec.country == "be"
        identifier, code = "96.1.1" if belgian else "96.1.0", "24.2.3" if belgian and meter.kind == "gas" else "24.2.1"
        lines = [f"{at}:24.1.0({type_})", f"{at}:{identifier}({equipment.encode().hex().upper()})"]
        if self.spec.edition == 2:
            local = _time(read_ms)[:-1]
            return [*lines, f"{at}:24.3.0({local})(00)(60)(1)({at}:24.2.1)({unit})", f"({value:09.3f})"]
        return [*lines, f"{at}:{code}({_time(read_ms)})({value:09.3f}*{unit})"]


def _altered(line: str, alter: Alter) -> str:
    """A line as it stands where ``alter`` changes it, with as many digits."""
    code, opening, rest = line.partition("(")
    if _SERIAL.fullmatch(code):
        name = SERIAL if code == MAIN_SERIAL else code
        cell = Cell(name=name, fc=0, address=0, registers=0, type="string", kind="serial")
        shown = alter.value(cell, bytes.fromhex(rest.rstrip(")")).decode())
        return f"{code}({str(shown).encode().hex().upper()})"
    kind = "clock" if code == CLOCK else "counter" if _COUNTER.fullmatch(code) else ""
    if not opening or not kind:
        return line
    at = rest.rfind("(") + 1
    text, mark, unit = re.split(r"([*)])", rest[at:], maxsplit=1)
    shown = alter.value(Cell(name=code, fc=0, address=0, registers=0, type="string", kind=kind), text)
    digits = shown if isinstance(shown, str) else re.sub("[0-9]", "0", text)
    return f"{code}({rest[:at]}{digits}{mark}{unit}"


def _read(telegram: bytes) -> Iterator[tuple[str, str, str | None]]:
    """Codes and texts, with the unit of a number."""
    code, before = "", ""
    for line in telegram.decode("latin-1").split("\r\n"):
        head, opening, _ = line.partition("(")
        code = head or code  # in edition 2 a gas meter's value has a line of its own, and its unit stands before
        text, star, unit = line[line.rfind("(") + 1 :].rstrip(")").partition("*")
        if opening:
            yield code, text, unit if star else None if head else before
        before = text


def _whole_amps(code: int, amps: float) -> str:
    return f"1-0:{31 + code}.7.0({round(amps):03}*A)"


def _time(unix_ms: int) -> str:
    """Local time with S (summer) or W."""
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone(AMSTERDAM)
    return f"{moment:%y%m%d%H%M%S}{'S' if moment.dst() else 'W'}"


def checksum(text: bytes) -> int:
    """CRC-16/ARC, bit by bit: polynomial 8005H, both ways mirrored, from 0."""
    register = 0
    for byte in text:
        for place in range(8):
            top = register >> 15 ^ byte >> place & 1
            register = (register << 1 & 0xFFFF) ^ (0x8005 if top else 0)
    return int(f"{register:016b}"[::-1], 2)
