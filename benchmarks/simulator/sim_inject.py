"""Faults armed in a running simulator: whether the next request meets each, how long the arming takes, and what the
command costs beside the start of a simulator.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from firmware_sim.control.client import SOCKET, Client
from firmware_sim.meters.pdu import tcp
from tests.support.processes import Server

COMMANDS = 5
READ = bytes([4, 0, 0, 0, 2])
REFUSED = 0x84
SCENARIO = """[[bus]]
name = "line"
type = "modbus-tcp"
port = 0
[[bus.meter]]
name = "meter"
profile = "eastron-sdm630"
address = 1
"""


def figures(times: int) -> dict[str, float | int]:
    """``inject_met`` and ``inject_cleared`` of ``times``; ``inject_median_ms``; ``inject_left``: faults after
    the last clear; ``inject_cpu_ratio``: CPU of the command ``inject`` ÷ that of ``run --for 0``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "plant.toml").write_text(SCENARIO)
        command = [sys.executable, "-u", "-m", "firmware_sim.cli", "run", str(folder / "plant.toml"), "--dir", name]
        simulator = Server("simulator", command, "bus line", folder / "sim.log")
        simulator.start()
        try:
            client = Client(folder / SOCKET)
            (bus,) = client.status()["buses"]
            with socket.create_connection((bus["host"], bus["port"])) as link:
                taken = [_round(client, link, number) for number in range(times)]
            left = len(client.status()["faults"])
            inject = _cpu_s([*command[:4], "inject", "meter", "dead", "--after", "3600", "--dir", name])
        finally:
            simulator.stop()
        start = _cpu_s([*command, "--for", "0"])
    return {
        "inject_times": times,
        "inject_met": sum(met for met, _, _ in taken),
        "inject_cleared": sum(cleared for _, cleared, _ in taken),
        "inject_median_ms": round(statistics.median(ms for _, _, ms in taken), 3),
        "inject_left": left,
        "inject_cpu_ratio": round(inject / start, 3),
    }


def _round(client: Client, link: socket.socket, number: int) -> tuple[bool, bool, float]:
    begin = time.monotonic()
    fault = client.inject("meter", "exception", {"code": 4})
    took_ms = (time.monotonic() - begin) * 1000
    met = _function(link, number) == REFUSED
    client.clear(fault)
    return met, _function(link, number) == READ[0], took_ms


def _function(link: socket.socket, number: int) -> int:
    link.sendall(tcp(number & 0xFFFF, 1, READ))
    return link.recv(260)[7]


def _cpu_s(command: list[str]) -> float:
    """The least CPU of some runs."""
    spent = []
    for _ in range(COMMANDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)
