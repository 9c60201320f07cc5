"""The plain client: pymodbus as its documentation has it, without retries; and what each read came to."""

from __future__ import annotations

import logging
import math
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ModbusException

from gateway.devices.profile import load_profile
from tests.firmware_sim.fault_page.cases import BLOCKS, CLIENTS, POINTS, RTU, Case

TIMEOUT_S, PAUSE_S, ROUNDS = 1.0, 0.1, 3
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class Read:
    """One question, when it was asked (Unix ms), and what the client has of it: registers, or what went wrong."""

    block: tuple[int, int, int]
    from_ms: int
    to_ms: int
    registers: Sequence[int] | None
    failed: str = ""


class PlainClient:
    """A client of the meter of one case."""

    def __init__(self, case: Case, at: Mapping[str, Any]) -> None:
        self.case, self.reads = case, list[Read]()
        self._client: ModbusSerialClient | ModbusTcpClient
        if case.type == RTU:
            self._client = ModbusSerialClient(at["port"], baudrate=19200, timeout=TIMEOUT_S, retries=0)
        else:
            self._client = ModbusTcpClient(at["host"], port=at["port"], timeout=TIMEOUT_S, retries=0)
        self._client.connect()

    def ask(self, rounds: int = ROUNDS) -> None:
        """Ask all questions so many times."""
        for _ in range(rounds):
            for block in BLOCKS[self.case.profile]:
                time.sleep(PAUSE_S)
                begun = _now_ms()
                registers, failed = self._read(*block)
                self.reads.append(Read(block, begun, _now_ms(), registers, failed))

    def _read(self, fc: int, address: int, count: int) -> tuple[Sequence[int] | None, str]:
        ask = self._client.read_input_registers if fc == 4 else self._client.read_holding_registers
        try:
            answer = ask(address, count=count, device_id=1)
        except ModbusException as error:
            return None, f"no answer (`{type(error).__name__}`)"
        if answer.isError():
            return None, f"exception {answer.exception_code}"
        return answer.registers, ""

    def close(self) -> None:
        """Hang up."""
        self._client.close()  # type: ignore[no-untyped-call]


def outcomes(
    case: Case, reads: Sequence[Read], log: Sequence[Mapping[str, Any]], behind: int
) -> dict[str, Counter[str]]:
    """What the reads from number ``behind`` on came to, by the word of the points; "" where it is of all of a read."""
    found: dict[str, Counter[str]] = {}
    entries = [entry for entry in log if entry.get("meter") == f"{CLIENTS}{case.kind}"]
    for number, read in enumerate(reads):
        if number < behind:
            continue
        if read.registers is None:
            found.setdefault("", Counter())[read.failed] += 1
        elif len(read.registers) != read.block[2]:
            found.setdefault("", Counter())[f"{len(read.registers)} registers in place of {read.block[2]}"] += 1
        else:
            shown, true = _logged(entries, read)
            for word, values in _decoded(case, read).items():
                for point, value in values.items():
                    found.setdefault(word, Counter())[_judged(value, shown.get(point), true.get(point))] += 1
    if "" in found:
        return {"": Counter(set().union(*found.values()))}
    return found


def _judged(value: float, shown: object, true: object) -> str:
    """A value beside what the meter showed, and what is true."""
    if math.isnan(value):
        return "NaN"
    if true is not None and _single(float(str(true))) == value:
        return "true"
    return "0" if value == shown == 0 else "untrue"


def _logged(entries: Sequence[Mapping[str, Any]], read: Read) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the meter showed at a read, by the log, and what was true."""
    for entry in entries:
        asked = entry.get("fc"), entry.get("address"), entry.get("count")
        if asked == read.block and read.from_ms - 2 <= entry["t_ms"] <= read.to_ms + 2:
            return entry["values"], {**entry["values"], **entry.get("true", {})}
    return {}, {}


def _decoded(case: Case, read: Read) -> dict[str, dict[str, float]]:
    assert read.registers is not None
    places = {point.name: point.address for point in load_profile(case.profile).points}
    found = dict[str, dict[str, float]]()
    for word, names in POINTS[case.profile].items():
        for name in names:
            at = places[name] - read.block[1]
            words = read.registers[at : at + 2] if at >= 0 else []
            if len(words) == 2:
                ordered = words if case.profile == "eastron-sdm630" else words[::-1]
                (value,) = struct.unpack(">f", struct.pack(">2H", *ordered))
                found.setdefault(word, {})[name] = value
    return found


def _single(number: float) -> float:
    (single,) = struct.unpack(">f", struct.pack(">f", number))
    return float(single)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
