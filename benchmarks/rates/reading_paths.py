"""Readings a second from the answers of one block, by the way that the poller makes them.

``columns``: thirty plain values in one block. ``judged``: the same registers, each value held against its limits.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.bus import Meter
from gateway.devices.profile import parse_profile
from gateway.devices.read_plan import Limits, plan
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.records import PollResult
from ledger_client.formats.senml import Columns

_HEAD = 'vendor = "bench"\ndevice = "bench"\nsource = "bench"\n[defaults]\nfc = 3\n[points]\n'
_START_MS = 1_800_000_000_000


def reading_rates(values: int, readings: int) -> dict[str, float]:
    """Readings a second of ``columns`` and ``judged``, each over so many readings of so many values."""
    return {name: _rate(values, readings, limits) for name, limits in (("columns", ""), ("judged", ", high = 1e6"))}


def _rate(values: int, readings: int, limits: str) -> float:
    points = (f'p{n} = {{ address = {2 * n}, type = "float32", unit = "V"{limits} }}\n' for n in range(values))
    profile = parse_profile(_HEAD + "".join(points), "bench", "bench.toml")
    (block,) = plan(profile.points, Limits())
    registers = struct.unpack(f">{2 * values}H", struct.pack(f">{values}f", *(230.0 + n for n in range(values))))
    last: list[PollResult] = []
    put: Callable[[PollResult], None] = last.append
    meter = Meter.model_validate({"name": "m", "profile": "bench.toml", "address": 1, "every": "1s"})
    poller = Poller({"m": meter}, Clock(), put, {"m": profile})
    begun = time.perf_counter()
    for n in range(readings):
        last.clear()
        answer = BlockAnswer(block, registers, _START_MS + 1000 * n)
        poller.doubts("m", answer)
        poller.poll(Poll("m", 0, (answer,)))
    seconds = time.perf_counter() - begun
    assert last[0].reading is not None
    assert isinstance(last[0].reading.values, Columns) is not bool(limits)
    return readings / seconds
