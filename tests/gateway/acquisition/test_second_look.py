"""A counter whose look is doubtful is read again at once, on a real line, and the record holds both looks."""

from __future__ import annotations

import asyncio
import struct
from decimal import Decimal
from pathlib import Path

from gateway.acquisition.poller import Poller
from gateway.clock import Clock, KernelClock
from gateway.config.bus import Meter
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.records import PollResult
from ledger_client.formats.senml import Quality, Value
from tests.gateway.fieldbus.devices import SAFETY_S, Pty, Sent, answer

Q = Quality
PROFILE = parse_profile(
    'vendor = "T"\ndevice = "T"\nsource = "T"\npause_ms = 5\nreadable = [{ fc = 3, first = 0, last = 60 }]\n'
    '[points]\nenergy = { fc = 3, address = 0, type = "uint32", unit = "kWh", scale = -2, kind = "counter" }\n',
    "counter",
    "counter.toml",
)
SHOWN = [70_000, 70_001, 65_536, 70_002, 0, 0, 70_003, 12, 13, 14]
"""What the meter shows, read after read: torn once, not available once, and set back."""
BOOKED: list[dict[str, tuple[Decimal | None, int]]] = [
    {"energy": (Decimal("700.00"), 0)},
    {"energy": (Decimal("700.01"), 0)},
    {"energy": (Decimal("700.02"), 0), "energy.first": (Decimal("655.36"), Q.DECODE_ERR)},
    {"energy": (None, Q.DECODE_ERR), "energy.second": (None, Q.DECODE_ERR)},
    {"energy": (Decimal("700.03"), 0)},
    {"energy": (Decimal("0.12"), Q.COUNTER_RESET), "energy.second": (Decimal("0.13"), 0)},
    {"energy": (Decimal("0.14"), 0)},
]


class Counter:
    """A meter that shows its next number with each read, and the last one for ever."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Sent:
        shown = SHOWN[min(len(self.asked), len(SHOWN) - 1)]
        self.asked.append(request)
        return [(0.0, answer(request, struct.pack(">I", shown) + bytes(2 * request.count - 4)))]


def test_a_doubtful_counter_is_read_again_at_once_in_another_shape(tmp_path: Path) -> None:
    readings, counter = asyncio.run(_read(tmp_path, len(BOOKED)))
    assert [{v.name: (v.value, v.quality & ~Q.IDENTITY_UNPROVEN) for v in values} for values in readings] == BOOKED
    assert all(v.unit == "kWh" for values in readings for v in values)
    second = next(v for v in readings[2] if v.name == "energy")
    assert second.offset_ms >= 5, "it bears the time of its own look, after the meter's pause"
    assert counter.asked[2].key != counter.asked[3].key


async def _read(folder: Path, count: int) -> tuple[list[tuple[Value, ...]], Counter]:
    """The values of the first polls of a meter on a pseudo-terminal."""
    counter, finished, enough = Counter(), list[PollResult](), asyncio.Event()

    def put(one: PollResult) -> None:
        finished.append(one)
        if len(_answered(finished)) >= count:
            enough.set()

    pty = Pty(folder / "port", counter)
    clock = Clock(kernel=lambda: KernelClock(True, 1))
    meter = MeterSpec("m", PROFILE, 1, 100, PROFILE.points)
    spec = LineSpec("line", "modbus-rtu", (meter,), port=str(folder / "port"), baudrate=115200, answer_life_ms=300)
    entry = Meter.model_validate({"name": "m", "profile": "counter.toml", "address": 1, "every": "100ms"})
    poller = Poller({"m": entry}, clock, put, {"m": PROFILE})
    line = Line(spec, clock, poller.poll, doubts=poller.doubts)
    task = asyncio.create_task(line.run(clock.now_ms()))
    try:
        async with asyncio.timeout(SAFETY_S):
            await enough.wait()
    finally:
        line.request_stop()
        async with asyncio.timeout(SAFETY_S):
            await task
        pty.unplug()
    return _answered(finished)[:count], counter


def _answered(finished: list[PollResult]) -> list[tuple[Value, ...]]:
    return [tuple(one.reading.values) for one in finished if one.reading is not None]
