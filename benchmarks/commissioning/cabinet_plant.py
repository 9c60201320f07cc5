"""The cabinet: meters of several makes on one RS-485 line of unknown speed, two more behind a TCP converter, simulated.

One hangs the wrong way round: a generator's meter, which counts as import what is generated. One has a current
transformer 200/5 whose ratio its registers do not hold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

from gateway.cli.demo.balance import Answer, read_answers


@dataclass(frozen=True, slots=True)
class Unit:
    """One meter as it hangs there. ``serial``: on its plate and in its registers, "" where it tells none."""

    profile: str
    address: int
    role: str
    measures: str
    serial: str = ""
    ct: str = ""
    reversed: bool = False

    @property
    def name(self) -> str:
        """That a scan gives it."""
        return f"{self.profile}-{self.address}"

    def section(self) -> str:
        """Its table in a scenario."""
        given = self.measures == "pv" and not self.reversed
        counted = "energy_export_kwh = 8754.25" if given else "energy_import_kwh = 1520.5"
        serial = f'serial = "{self.serial}"\n' if self.serial else ""
        turned = "reversed = true\n" if self.reversed else ""
        factors = "factors = { ct = 40, pt = 1 }\n" if self.ct else ""
        return (
            f'[[bus.meter]]\nname = "{self.name}"\nprofile = "{self.profile}"\naddress = {self.address}\n'
            f'measures = "{self.measures}"\n{counted}\n{serial}{factors}{turned}'
        )


ON_THE_LINE = (
    Unit("eastron-sdm630", 17, "consumption", "load", serial="21043387"),
    Unit("carlo-gavazzi-em24", 33, "generation", "pv", serial="BQ1230045", reversed=True),
    Unit("acrel-adl3000", 91, "consumption", "load", ct="200/5"),
)
BEHIND_THE_CONVERTER = (
    Unit("abb-b23", 5, "consumption", "load", serial="1002003"),
    Unit("sunspec-inverter", 126, "generation", "pv", serial="PV15-000713"),
)
PLANT = "[plant]\nseed = 20261127\nstart_hour = 10.0\nload_kw = 18.0\npv_kw = 15.0\n"
LINE = """
[[bus]]
name = "line"
type = "modbus-rtu"
rfc2217 = true
port = 0
baudrate = 2400
parity = "E"
"""
CONVERTER = """
[[bus]]
name = "converter"
type = "modbus-tcp"
port = 0
unknown_unit = "exception"
unknown_after_ms = 30
"""


def scenario(line: Sequence[Unit], converter: Sequence[Unit]) -> str:
    """The simulator's file; ports 0 are free ones."""
    text = f"{PLANT}{LINE}" + "".join(unit.section() for unit in line)
    if converter:
        text += CONVERTER + "".join(unit.section() for unit in converter)
    return text


class Displays:
    """What the displays of the meters show: the newest values in the simulator's log, cut after one decimal."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def shows(self, meter: str, point: str) -> str:
        """ "" where the display does not show it."""
        found = ""
        for answer in self.answers():
            if answer.meter == meter and point in answer.values:
                number = Decimal(str(answer.values[point]))
                found = str(number.quantize(Decimal("0.1"), rounding=ROUND_DOWN)) if number.is_finite() else ""
        return found

    def answers(self) -> list[Answer]:
        """All that the meters have answered."""
        return read_answers(self._log)


def ready(file: Path) -> dict[str, Any]:
    """Where the buses are."""
    lines: dict[str, Any] = json.loads(file.read_text())["lines"]
    return lines
