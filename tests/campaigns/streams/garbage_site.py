"""A gateway whose listeners get garbage: `meterseal run` with HJ 212 stations and a DL/T 645 meter behind a DTU."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from gateway.storage.database import Database
from ledger_client.formats.record import Reading, parse_record
from ledger_client.formats.senml import Quality
from tests.campaigns.streams.garbage import Station, alone, behind, connected, pour
from tests.campaigns.streams.hj212_site import gateway, recorded, stations_site
from tests.support.gateways.weight import FLAT, weigh
from tests.support.processes import embedded_ledger, free_port

STATIONS, POURING = 2, 4
LOOK_AFTER_S = 10.0
METER, EVERY_S = "main", 2
BUS = """[[bus]]
name = "dtu"
type = "dlt645"
listen = "127.0.0.1:{port}"
hello = "DTU-1"
timeout = "900ms"
answer_life = "1s"
[[bus.meter]]
name = "main"
profile = "dlt645-single-phase"
address = "202401000123"
every = "2s"
"""
PLANT = """
[[bus]]
name = "dtu"
type = "dlt645"
dial = "127.0.0.1:{port}"
hello = "DTU-1"
emulate = false
redial_ms = 200
[[bus.meter]]
name = "main"
profile = "dlt645-single-phase"
address = "202401000123"
"""


@contextmanager
def _plant(folder: Path, port: int) -> Iterator[None]:
    scenario = folder / "plant.toml"
    scenario.write_text(PLANT.format(port=port))
    command = [sys.executable, "-m", "firmware_sim.cli", "run", str(scenario), "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def garbage(folder: Path, seconds: float) -> dict[str, object]:
    """Pour garbage into both listeners for so long."""
    with embedded_ledger(folder / "ledger", "demo-ledger") as ledger:
        port = free_port()
        site = stations_site(folder / "site", ledger, STATIONS, BUS.format(port=port))
        process = gateway(site)
        with _plant(folder, port):
            process.start()
            assert process.process is not None
            pid, stations = process.process.pid, [Station(number) for number in range(STATIONS)]
            weights = asyncio.run(_poured(pid, site.port, port, stations, seconds))
            assert process.stop() == 0
    there = recorded(site.loaded)
    polls, missed = _polls(site.loaded.database)
    return {
        "garbage_s": seconds,
        "messages_sent": sum(station.sent for station in stations),
        "messages_taken": sum(
            there[station.number, message] == 1 for station in stations for message in station.acknowledged
        ),
        "of_them_behind_a_silence": len(stations[1].acknowledged),
        "polls": polls,
        "polls_missed": missed,
        "memory_mb_10s": weights[0],
        "memory_mb_end": weights[1],
        "memory_growth": weights[1] / weights[0],
        "memory_is_flat": weights[1] <= FLAT * weights[0],
    }


async def _poured(pid: int, port: int, dtu_port: int, stations: list[Station], seconds: float) -> tuple[float, float]:
    """Resident memory early and at the end."""
    _, writer = await connected(port)
    writer.transport.abort()
    pouring = [asyncio.create_task(pour(to, number)) for to in (port, dtu_port) for number in range(POURING)]
    end_s = time.monotonic() + seconds
    saying = asyncio.gather(alone(port, stations[0], end_s), behind(port, stations[1], end_s))
    await asyncio.sleep(min(LOOK_AFTER_S, seconds / 2))
    early = weigh(pid).resident_mb
    await saying
    late = weigh(pid).resident_mb
    for task in pouring:
        task.cancel()
    return early, late


def _polls(database: Path) -> tuple[int, int]:
    """Polls of the meter behind the DTU that hold all values, from the first one on, and how many are missing."""
    store = Database(database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60) if row.meter == METER]
    store.close()
    whole = [
        body.time_ms
        for body in bodies
        if isinstance(body, Reading) and not any(value.quality & Quality.COMM_FAIL for value in body.values)
    ]
    gaps = sum(round((later - earlier) / 1000 / EVERY_S) - 1 for earlier, later in pairwise(whole))
    return len(whole), gaps
