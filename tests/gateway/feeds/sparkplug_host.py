"""The foreign Sparkplug host (foreign_host.py) as a child of a test."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.feeds.rig import PATIENCE_S
from tests.support.brokers.nats import Node
from tests.support.processes import Mosquitto

GROUP, HOST, NODE = "plant", "scada-1", "test-gateway"
FREE = f'group = "{GROUP}"\nbackfill_rate = 1000\n'
ROOT = Path(__file__).parents[3]


class Host:
    """Its process, and all that it has read so far."""

    def __init__(self, port: int, name: str) -> None:
        python = Path(os.environ.get("METERSEAL_SPARKPLUG_PYTHON", ROOT / ".venv-sparkplug" / "bin" / "python"))
        assert python.exists(), f"{python} is missing: scripts/test installs it"
        command = [str(python), "-u", str(Path(__file__).with_name("foreign_host.py")), str(port), GROUP, name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.messages: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._ready.wait(PATIENCE_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message["kind"] == "ready":
                self._ready.set()
            elif message["kind"] != "NCMD":  # its own, or a test's nonsense
                (self.errors if "error" in message else self.messages).append(message)

    def do(self, command: str) -> None:
        """Have it do something (foreign_host.py)."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def kinds(self) -> list[str]:
        """What it has read, in order."""
        return [message["kind"] for message in self.messages]

    def of(self, kind: str, device: str | None = None) -> list[dict[str, Any]]:
        """All of one kind, of one device."""
        return [m for m in self.messages if m["kind"] == kind and device in (None, m["device"])]

    def records(self, *, historical: bool) -> list[str]:
        """The records that data and births have named."""
        return [
            metric["value"]
            for message in self.messages
            for metric in message["metrics"]
            if metric["name"] == "Record" and metric["value"] and metric["historical"] is historical
        ]

    def close(self) -> None:
        """End it; it has been able to read everything."""
        self._process.kill()
        self._process.wait()
        assert self.errors == []


def metric(message: dict[str, Any], name: str) -> dict[str, Any]:
    """The one metric of that name."""
    (found,) = metrics(message, name)
    return found


def metrics(message: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Every metric of that name, in order: readings that wait together share a message."""
    return [dict(found) for found in message["metrics"] if found["name"] == name]


@contextmanager
def host_at(broker: Mosquitto | Node, name: str = HOST) -> Iterator[Host]:
    """A host that is connected."""
    host = Host(broker.port, name)
    try:
        yield host
    finally:
        host.close()


def check_sequence(host: Host) -> None:
    """Every message but an NDEATH has the number behind that of the one before; an NBIRTH begins with 0."""
    last = None
    for message in host.messages:
        if message["kind"] == "NBIRTH":
            assert message["seq"] == 0
        elif message["kind"] == "NDEATH":
            assert message["seq"] is None
            last = None
            continue
        elif message["kind"] in ("NDATA", "DBIRTH", "DDATA", "DDEATH"):
            assert last is not None
            assert message["seq"] == (last + 1) % 256
        else:
            continue
        last = message["seq"]
