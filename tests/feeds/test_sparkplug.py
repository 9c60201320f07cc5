"""The Sparkplug edge node before a host that is not ours. docs/sparkplug.md names these tests by the conformance ids
that they show."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.feeds.rig import OTHER, PATIENCE_S, feed_site, running, until
from tests.processes import Mosquitto, mosquitto

GROUP, HOST, NODE = "plant", "scada-1", "test-gateway"
ROOT = Path(__file__).resolve().parents[2]
MORE = f'group = "{GROUP}"\nprimary_host = "{HOST}"\nbackfill_rate = 1000\n'


class Host:
    """The foreign host's process, and all that it has read so far."""

    def __init__(self, port: int) -> None:
        python = Path(os.environ.get("METERSEAL_SPARKPLUG_PYTHON", ROOT / ".venv-sparkplug" / "bin" / "python"))
        assert python.exists(), f"{python} is missing: scripts/test installs it"
        command = [str(python), "-u", str(Path(__file__).with_name("foreign_host.py")), str(port), GROUP, HOST]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.messages: list[dict[str, Any]] = []
        self._ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._ready.wait(PATIENCE_S)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message["kind"] == "ready":
                self._ready.set()
            else:
                assert "error" not in message, message
                self.messages.append(message)

    def do(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def kinds(self) -> list[str]:
        return [message["kind"] for message in self.messages]

    def of(self, kind: str, device: str | None = None) -> list[dict[str, Any]]:
        return [m for m in self.messages if m["kind"] == kind and (device is None or m["device"] == device)]

    def records(self, *, historical: bool, births: bool = True) -> list[str]:
        """The records that data, and births, have told of."""
        kinds = ("DDATA", "DBIRTH") if births else ("DDATA",)
        return [
            metric["value"]
            for message in self.messages
            if message["kind"] in kinds
            for metric in message["metrics"]
            if metric["name"] == "Record" and metric["value"] and metric["historical"] is historical
        ]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def metric(message: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [m for m in message["metrics"] if m["name"] == name]
    return dict(found)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with mosquitto(tmp_path / "broker") as started:
        yield started


@contextmanager
def host_at(broker: Mosquitto) -> Iterator[Host]:
    host = Host(broker.port)
    try:
        yield host
    finally:
        host.close()


def test_a_host_sees_births_data_and_death(tmp_path: Path, broker: Mosquitto) -> None:
    async def work() -> None:
        loaded = feed_site(tmp_path / "site", broker.url, f'group = "{GROUP}"', "sparkplug")
        with host_at(broker) as host:
            async with running(loaded) as rig:
                await until(lambda: rig.feed.connected)
                first = await rig.poll(value=7)
                second = await rig.poll(value=8)
                await until(lambda: len(host.records(historical=False)) == 2)
                other = await rig.poll(OTHER)
                await until(lambda: len(host.records(historical=False)) == 3)
                host.do(f"rebirth {NODE}")
                await until(lambda: len(host.of("NBIRTH")) == 2 and len(host.of("DBIRTH", OTHER)) == 2)
            await until(lambda: "NDEATH" in host.kinds())
        print(json.dumps(host.messages, indent=1))
        assert host.kinds()[:3] == ["NBIRTH", "DBIRTH", "DDATA"]
        assert first + second + other == host.records(historical=False)[:3]

    asyncio.run(work())
