"""A serial line that takes its time, in a process of its own: bytes come when a wire of this speed would bring them.

A device hears a request when its last character and a silence of t3.5 are over, thinks, and answers character by
character. Started as ``python -m benchmarks.rates.paced_line LINK BAUDRATE LATE UNIT=LATENCY_MS …`` (8N1); units that
are not named are silent. A third of the answers of unit LATE (0: none) come up to ``LATE_S`` late, when the wire is
quiet. Registers hold their own address. Ends when its standard input does.
"""

from __future__ import annotations

import os
import random
import select
import struct
import subprocess
import sys
import time
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.fieldbus.modbus.frames import crc
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds

PROFILE = """\
vendor = "Bench"
device = "Meter of {registers} registers"
source = "benchmarks/rates/paced_line.py"
max_registers = 80
timeout_ms = {timeout_ms}
readable = [{{ fc = 3, first = 0, last = 79 }}]
identity = ["serial_number"]
[defaults]
fc = 3
type = "float32"
unit = "V"
[points]
serial_number = {{ address = 900, type = "uint32", kind = "status", record = false }}
"""
REQUEST = 8
"""Bytes of a read request."""
LATE_S, LATE_SHARE = 2.7, 1 / 3


def profile_text(registers: int, timeout_ms: int) -> str:
    """A number of ``registers`` of 32-bit floats, of a device that allows 80 in a read and needs no pause."""
    points = "".join(f"v{n} = {{ address = {n} }}\n" for n in range(0, registers, 2))
    return PROFILE.format(registers=registers, timeout_ms=timeout_ms) + points


@contextmanager
def paced_line(link: Path, baudrate: int, latency_ms: Mapping[int, float], *, late: int = 0) -> Iterator[None]:
    """Such a line behind ``link`` for the time of a ``with``; ``latency_ms`` by unit."""
    units = [f"{unit}={ms}" for unit, ms in latency_ms.items()]
    command = [sys.executable, "-m", "benchmarks.rates.paced_line", str(link), str(baudrate), str(late), *units]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline(), "the line did not start"
    try:
        yield
    finally:
        process.stdin.close()
        process.wait()


class _Wire:
    """The devices' end of the pseudo-terminal."""

    def __init__(self, link: Path, baudrate: int, latency_s: Mapping[int, float], late: int) -> None:
        self._late, self._waiting = late, list[tuple[float, bytes]]()
        self._chance = random.Random(2700)
        self.master, slave = os.openpty()
        tty.setraw(slave)
        link.symlink_to(os.ttyname(slave))
        os.close(slave)  # who holds a port besides the gateway keeps the gateway from opening it
        self._char_s, self._t35_s, self._latency_s = char_seconds(baudrate), t35_seconds(baudrate), latency_s

    def serve(self) -> None:
        """Answer one request after the other until standard input ends."""
        heard = b""
        while sys.stdin not in (ready := select.select([self.master, sys.stdin], [], [], self._next_s())[0]):
            if not ready:
                self._send(*self._waiting.pop(0))
                continue
            try:
                heard += os.read(self.master, 4096)
            except OSError:  # nobody has the line open
                time.sleep(0.01)
            if len(heard) >= REQUEST:
                out = time.monotonic() + REQUEST * self._char_s
                self._answer(heard[:REQUEST], out + self._t35_s)
                heard = heard[REQUEST:]

    def _next_s(self) -> float | None:
        """In how many seconds the next late answer comes."""
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def _answer(self, request: bytes, heard_at: float) -> None:
        unit, function, address, count = struct.unpack(">BBHH", request[:6])
        if unit not in self._latency_s:
            return
        words = ((address + place) & 0xFFFF for place in range(count))
        body = bytes([unit, function, 2 * count]) + struct.pack(f">{count}H", *words)
        begin, frame = heard_at + self._latency_s[unit], body + crc(body)
        if unit == self._late and self._chance.random() < LATE_SHARE:
            self._waiting = sorted([*self._waiting, (begin + self._chance.uniform(0, LATE_S), frame)])
        else:
            self._send(begin, frame)

    def _send(self, begin: float, frame: bytes) -> None:
        for number, byte in enumerate(frame, 1):
            time.sleep(max(0.0, begin + number * self._char_s - time.monotonic()))
            os.write(self.master, bytes([byte]))


if __name__ == "__main__":
    latencies = dict(word.split("=") for word in sys.argv[4:])
    slow = {int(unit): float(ms) / 1000 for unit, ms in latencies.items()}
    wire = _Wire(Path(sys.argv[1]), int(sys.argv[2]), slow, int(sys.argv[3]))
    print("ready", flush=True)
    wire.serve()
