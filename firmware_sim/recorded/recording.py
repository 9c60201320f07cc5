"""Recording of a real meter: a file of JSON lines, the first about the meter, each further one a read and its outcome.

Each line is whole when the next one is begun: a recording that was cut, by Ctrl-C, a kill or a power failure, holds all
that was read until then, and only a last line without its end is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim.errors import ScenarioError
from firmware_sim.meters.pdu import READS, Read

VERSION = 1
"""Of the file's format: in its first line."""
BITS = (1, 2)
"""Functions whose answers are bits."""


class _Wrong(Exception):
    """What is wrong with a line."""


@dataclass(frozen=True, slots=True)
class Head:
    """What was recorded: the profile by its name, the unit, the wire as it was set, how often, and the wall clock at
    the start with its offset."""

    profile: str
    unit: int
    wire: Mapping[str, str | int]
    every_ms: int
    began: str

    def line(self) -> str:
        """As the first line."""
        return _line(
            {
                "v": VERSION,
                "profile": self.profile,
                "unit": self.unit,
                "wire": dict(self.wire),
                "every_ms": self.every_ms,
                "began": self.began,
            }
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a meter gave for a read ``at_ms`` after the start: the bytes of its registers or bits, or an exception, or
    nothing within ``timeout_ms``; of the three one."""

    at_ms: int
    read: Read
    data: bytes | None = None
    exception: int | None = None
    timeout_ms: int | None = None

    @property
    def words(self) -> tuple[int, ...]:
        """Its registers, or its bits; none where it has no data."""
        data = self.data or b""
        if self.read.fc in BITS:
            return tuple(data[n // 8] >> n % 8 & 1 for n in range(self.read.count)) if data else ()
        return tuple(int.from_bytes(data[n : n + 2], "big") for n in range(0, len(data), 2))

    def line(self) -> str:
        """As a line."""
        read, outcome = self.read, dict[str, object]()
        if self.data is not None:
            outcome = {_holds(read.fc): self.data.hex()}
        elif self.exception is not None:
            outcome = {"exception": self.exception}
        else:
            outcome = {"timeout_ms": self.timeout_ms}
        return _line({"at_ms": self.at_ms, "fc": read.fc, "address": read.address, "count": read.count, **outcome})


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording. ``is_cut``: its last line had no end, and was left out; ``digest``: SHA-256 of the file."""

    source: str
    head: Head
    answers: tuple[Answer, ...]
    is_cut: bool
    digest: str


def size_of(read: Read) -> int:
    """How many bytes of registers or bits its answer has."""
    return (read.count + 7) // 8 if read.fc in BITS else 2 * read.count


def read_recording(path: Path) -> Recording:
    """Read a recording. Raises ``ScenarioError``, which names the line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScenarioError(str(path), "", error.strerror or str(error), "check the path and its permissions") from None
    *lines, rest = data.split(b"\n")
    if not lines:
        problem = "its only line is cut" if rest else "it is empty"
        raise ScenarioError(str(path), "", problem, "record the meter again: meterseal-sim record")
    head: Head | None = None
    answers: list[Answer] = []
    for number, text in enumerate(lines, 1):
        try:
            table = _table(text)
            if head is None:
                head = _head(table)
            else:
                answers.append(_answer(table, answers[-1].at_ms if answers else 0))
        except _Wrong as wrong:
            fix = "remove that line" if number > 1 else "use a file that meterseal-sim record has written"
            raise ScenarioError(str(path), f"line {number}", str(wrong), fix) from None
    assert head is not None
    if not answers:
        raise ScenarioError(str(path), "", "it has no answers", "record the meter again: meterseal-sim record")
    return Recording(str(path), head, tuple(answers), bool(rest), hashlib.sha256(data).hexdigest())


def _line(table: Mapping[str, object]) -> str:
    return json.dumps(table, ensure_ascii=False) + "\n"


def _holds(fc: int) -> str:
    """The key of what an answer to this function holds."""
    return "bits" if fc in BITS else "registers"


def _table(text: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except ValueError:  # also bytes that are not UTF-8
        raise _Wrong("it is not JSON") from None
    if not isinstance(table, dict):
        raise _Wrong("it is no JSON object")
    return table


def _number(table: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _Wrong(f"{key}: missing" if key not in table else f"{key}: {value!r} is no whole number {low} to {high}")
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise _Wrong(f"{key}: {'missing' if key not in table else f'{value!r} is no text'}")
    return value


def _head(table: Mapping[str, Any]) -> Head:
    if "v" not in table or "profile" not in table:
        raise _Wrong("it is not the first line of a recording")
    if table["v"] != VERSION:
        raise _Wrong(f"v: {table['v']!r}; this version of meterseal-sim knows {VERSION}")
    wire = table.get("wire", {})
    if not isinstance(wire, dict):
        raise _Wrong(f"wire: {wire!r} is no table")
    every_ms, unit = _number(table, "every_ms", 1, 10**9), _number(table, "unit", 0, 255)
    return Head(_text(table, "profile"), unit, wire, every_ms, _text(table, "began"))


def _answer(table: Mapping[str, Any], before_ms: int) -> Answer:
    """``before_ms``: the time of the line before."""
    fc, address = _number(table, "fc", READS[0], READS[-1]), _number(table, "address", 0, 0xFFFF)
    read = Read(fc, address, _number(table, "count", 1, min(2000 if fc in BITS else 125, 0x10000 - address)))
    at_ms = _number(table, "at_ms", 0, 10**12)
    if at_ms < before_ms:
        raise _Wrong(f"at_ms: {at_ms} is before {before_ms}, that of the line before")
    outcomes = [key for key in (_holds(fc), "exception", "timeout_ms") if key in table]
    if len(outcomes) != 1:
        raise _Wrong(f"it needs one of {_holds(fc)}, exception and timeout_ms, and has {len(outcomes)} of them")
    if outcomes == ["exception"]:
        return Answer(at_ms, read, exception=_number(table, "exception", 1, 255))
    if outcomes == ["timeout_ms"]:
        return Answer(at_ms, read, timeout_ms=_number(table, "timeout_ms", 0, 10**9))
    try:
        data = bytes.fromhex(_text(table, _holds(fc)))
    except ValueError:
        raise _Wrong(f"{_holds(fc)}: it is not hexadecimal") from None
    if len(data) != size_of(read):
        raise _Wrong(f"{_holds(fc)}: {len(data)} bytes, and {read.count} of them have {size_of(read)}")
    return Answer(at_ms, read, data)
