"""The HTTP API beside the fieldbus: programs that read all there is cost no meter its schedule.

The plant is that of ``pages``: a hundred Modbus TCP meters of thirty values and a line at 9600 baud, every meter once a
second, signed, recorded, sealed and anchored. First nobody asks, then twenty clients do (api_clients.py), each for
``seconds``. After that an idle gateway with one client, which takes 10,000 readings of ten values as JSON lines.

- ``schedule_kept_…``: recorded readings of the polls that were due, while the clients ask.
- ``heartbeat_p999_ms_…``: how much later than asked for the loop calls, at the 99.9th of a hundred.
- ``memory_ratio``: the most resident memory with the clients over that without.
- ``rate_ratio``: readings a second from request to last byte over those of `meterseal readings --format jsonl` less its
  start, which is that of an empty period; the median of ``runs`` rounds, in turn.
"""

from __future__ import annotations

import json
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.rates.pages import METERS, gateway_with_heart, kept, plant_with_site
from benchmarks.rates.pages_clients import quantile
from benchmarks.rates.pages_gateway import EVERY_S
from benchmarks.rates.pages_site import SERIAL_METERS
from gateway.api.shapes.token_file import add_token, tokens_file
from gateway.config.model import Config
from gateway.records import PollResult, Timestamp
from ledger_client.formats.senml import Reading, Value
from tests.support.gateways.sites import make_site, table, tcp_buses
from tests.support.gateways.weight import weigh
from tests.support.processes import Server, free_port
from tests.support.samples import Hands, Machine

CLIENTS, VALUES, READINGS = 20, 10, 10_000
EDGE_S = 1.0
"""Around a change from one phase to the other nothing is taken of the heartbeat."""
SMALLEST = ({"seconds": 3.0, "settled_s": 0.5, "readings": 300, "runs": 1},)
_PROFILE = """vendor = "Bench"
device = "Meter of ten floats"
source = "benchmarks/rates/api.py"
direct = true
[defaults]
fc = 3
type = "float32"
unit = "V"
[points]
""" + "".join(f"voltage_{n:02} = {{ address = {2 * n} }}\n" for n in range(VALUES))


def run(seconds: float = 300.0, settled_s: float = 25.0, readings: int = READINGS, runs: int = 5) -> dict[str, object]:
    """``seconds`` of each phase, ``settled_s`` after the start; ``runs`` rounds of the idle gateway."""
    with tempfile.TemporaryDirectory() as name, plant_with_site(folder := Path(name)) as (loaded, port):
        busy = _busy(loaded, folder / "late", port, seconds, settled_s)
    with tempfile.TemporaryDirectory() as name:
        idle = _idle(Path(name), readings, runs)
    return {**busy, **idle, "clients": CLIENTS, "meters": METERS + SERIAL_METERS, "seconds": seconds}


def _busy(loaded: Config, late: Path, port: int, seconds: float, settled_s: float) -> dict[str, Any]:
    """Both phases of one gateway."""
    tokens = [_token(loaded, f"bench-{n}") for n in range(5)]
    with gateway_with_heart(loaded, late) as gateway:
        assert gateway.process is not None
        pid = gateway.process.pid
        time.sleep(settled_s)
        marks, looks = [time.time()], list[list[float]]()
        for ask in (False, True):
            given = map(str, (port, seconds, "meter-007", *tokens))
            command = [sys.executable, "-m", "benchmarks.rates.api_clients", *given]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True) if ask else None
            looks.append([])
            until = time.monotonic() + seconds
            while process.poll() is None if process else time.monotonic() < until:
                looks[-1].append(weigh(pid).resident_mb)
                time.sleep(0.5)
            marks.append(time.time())
        assert process is not None
        assert process.returncode == 0
        assert process.stdout is not None
        met = json.loads(process.stdout.read())
        process.stdout.close()
        ended = time.time()
        assert gateway.stop() == 0
    beats = array("f", late.read_bytes())
    without, with_ = (_late(beats, ended, marks[n], marks[n + 1]) for n in (0, 1))
    alone, asked = (kept(loaded, int(marks[n] * 1000), int(marks[n + 1] * 1000)) for n in (0, 1))
    return {
        **asked,
        "schedule_kept_without": min(alone["schedule_kept_tcp"], alone["schedule_kept_line"]),
        "heartbeat_p999_ms_without": quantile(without, 0.999),
        "heartbeat_p999_ms_with": quantile(with_, 0.999),
        "heartbeat_max_ms_with": with_[-1],
        "memory_ratio": max(looks[1]) / max(looks[0]),
        "memory_mb_without": max(looks[0]),
        "memory_mb_with": max(looks[1]),
        "answers_by_status": met["statuses"],
        "readings_taken_per_s": met["readings"] / seconds,
        "megabytes_taken_per_s": met["bytes"] / seconds / 1e6,
    }


def _late(beats: array[float], ended: float, from_s: float, to_s: float) -> list[float]:
    """The lateness of the beats of a time, ordered; the last beat was at ``ended``."""
    lengths = [EVERY_S + late_ms / 1000 for late_ms in beats]
    begun = ended - sum(lengths)
    times = accumulate(lengths, initial=begun)
    edge = min(EDGE_S, (to_s - from_s) / 4)
    return sorted(late for late, at in zip(beats, times, strict=False) if from_s + edge <= at < to_s - edge)


def _token(loaded: Config, name: str) -> str:
    return add_token(tokens_file(loaded.keys), name, "readings", None, None, secrets.token_bytes(32))


def _idle(folder: Path, count: int, runs: int) -> dict[str, Any]:
    """One client and the command, in turn, of a gateway whose one meter is not there."""
    port = free_port()
    listen = table("web", listen=f"127.0.0.1:{port}")
    loaded = make_site(folder / "site", tcp_buses([1], "10s", "ten.toml"), listen, profiles={"ten.toml": _PROFILE})
    (meter,) = loaded.meters
    _fill(loaded, meter, count)
    token, rounds = _token(loaded, "idle"), []
    command = [sys.executable, "-m", "gateway.cli", "readings", str(loaded.path), meter, "--format", "jsonl"]
    gateway = Server(
        "gateway", [sys.executable, "-m", "gateway.cli", "run", str(loaded.path)], "pages at", folder / "gateway.log"
    )
    with closing(gateway):
        gateway.start()
        _taken(port, token, meter, 1)  # loads the API
        for _ in range(runs):
            api_s, lines = _taken(port, token, meter, count)
            assert lines == count * VALUES
            begun = time.perf_counter()
            subprocess.run([*command, "--to", "2001-01-01"], stdout=subprocess.DEVNULL, check=True)
            start_s = time.perf_counter() - begun
            begun = time.perf_counter()
            subprocess.run([*command, "--from", "2001-01-01"], stdout=subprocess.DEVNULL, check=True)
            rounds.append((count / api_s, count / (time.perf_counter() - begun - start_s)))
        assert gateway.stop() == 0
    return {
        "rate_ratio": statistics.median(api / command for api, command in rounds),
        "rate_api_readings_per_s": statistics.median(api for api, _ in rounds),
        "rate_command_readings_per_s": statistics.median(command for _, command in rounds),
    }


def _fill(loaded: Config, meter: str, count: int) -> None:
    """``count`` readings of ten values, 10 s apart, up to now."""
    machine = Machine()
    machine.wall_ms = (time.time_ns() // 1_000_000) - count * Hands.EVERY_MS - 60_000
    hands = Hands(loaded, machine)
    hands.store.run("PRAGMA synchronous = OFF")
    for n in range(count):
        now = Timestamp.now(hands.clock)
        values = tuple(Value(f"voltage_{k:02}", 230.0 + k + n / 1024, "V") for k in range(VALUES))
        hands.journal.poll(PollResult(meter, now.time_ms, Reading(now.time_ms, values), now))
        machine.passes(Hands.EVERY_MS / 1000)
        if n % 100 == 99:
            hands.journal.keep_time()
    hands.end()


def _taken(port: int, token: str, meter: str, limit: int) -> tuple[float, int]:
    """Seconds from the request to the last byte of a page of JSON lines, and its lines."""
    path = f"/api/v1/readings?meter={meter}&format=jsonl&limit={limit}"
    head = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    parts = list[bytes]()
    begun = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(head.encode())
        while part := link.recv(1 << 20):
            parts.append(part)
    took_s = time.perf_counter() - begun
    status, _, rest = b"".join(parts).partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200 "), status
    return took_s, _unchunked(rest).count(b"\n")


def _unchunked(rest: bytes) -> bytes:
    """The body of an answer in chunks (RFC 9112 §7.1)."""
    body, at = list[bytes](), 0
    while True:
        line_end = rest.index(b"\r\n", at)
        size, start = int(rest[at:line_end], 16), line_end + 2
        if not size:
            return b"".join(body)
        body.append(rest[start : start + size])
        at = start + size + 2
