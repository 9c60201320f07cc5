"""nats-server with JetStream and MQTT 3.1.1: one node, or three that keep three copies of everything."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import START_TIMEOUT_S, BrokerServer, free_port

NATS = Path("/usr/sbin/nats-server")
_ATTEMPTS, _GATHERING_S = 4, 15.0
_CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01-"  # CONNECT, MQTT 3.1.1 §3.1
_CONNACK = b"\x20\x02\x00\x00"


class Node(BrokerServer):
    """One server of a cluster of ``size``, which keeps its data over a restart: MQTT clients reach it at ``url``, those
    of NATS itself at ``client_url``. ``extra`` is more configuration."""

    def __init__(self, folder: Path, number: int, routes: Sequence[int], size: int, extra: str = "") -> None:
        assert NATS.exists(), f"{NATS} is missing: apt-get install nats-server"
        self.port, self.watch, clients = free_port(), free_port(), free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.client_url = f"nats://127.0.0.1:{clients}"
        self.label = f"n{number}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / f"{self.label}.conf"
        store = folder / self.label
        text = (
            f'server_name: {self.label}\nlisten: "127.0.0.1:{clients}"\nhttp: "127.0.0.1:{self.watch}"\n'
            f'jetstream {{ store_dir: "{store}", sync_interval: always }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}", stream_replicas: {size} }}\n'
        )
        if size > 1:
            here = routes[number - 1]  # not among its peers: it would count itself twice, and want a fourth copy (2.10)
            peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes if port != here)
            text += f'cluster {{ name: c, pool_size: -1, listen: "127.0.0.1:{here}", routes: [{peers}] }}\n'
        config.write_text(text + extra)
        command = [str(NATS), "-c", str(config)]
        super().__init__(
            f"nats-server {self.label}", command, "Server is ready", config.with_suffix(".log"), dict(os.environ)
        )

    def takes_clients(self, timeout_s: float = START_TIMEOUT_S) -> bool:
        """Wait until it takes MQTT clients: in a cluster, when there is a leader and room for every copy."""
        pause, deadline = threading.Event(), time.monotonic() + timeout_s
        while not self._takes_client():
            if time.monotonic() > deadline:
                return False
            pause.wait(0.1)
        return True

    def leads(self) -> list[str]:
        """The streams that this node leads."""
        return [each["name"] for each in self._streams() if each.get("cluster", {}).get("leader") == self.label]

    def leads_consumer(self, stream: str, prefix: str = "meterseal-control-") -> bool:
        """Whether this node leads a consumer of the stream whose name begins so."""
        consumers = [
            consumer
            for each in self._streams()
            if each["name"] == stream
            for consumer in each.get("consumer_detail", [])
        ]
        return any(c["name"].startswith(prefix) and c.get("cluster", {}).get("leader") == self.label for c in consumers)

    def _streams(self) -> list[dict[str, Any]]:
        address = f"http://127.0.0.1:{self.watch}/jsz?streams=1&consumers=1"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                seen: dict[str, Any] = json.load(answer)
        except OSError:  # it does not answer: it leads nothing that anybody can see
            return []
        return [each for account in seen.get("account_details", []) for each in account.get("stream_detail", [])]

    def _takes_client(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5.0) as connection:
                connection.sendall(_CONNECT)
                taken = connection.recv(4) == _CONNACK
                connection.sendall(b"\xe0\x00")  # DISCONNECT
                return taken
        except OSError:
            return False


@contextmanager
def nats(folder: Path, size: int = 1, extra: str = "") -> Iterator[list[Node]]:
    """``size`` running nodes, all of them taking clients; whichever a test ends it may start again. ``extra`` is more
    configuration of each."""
    routes = [free_port() for _ in range(size)]
    nodes = [Node(folder, number, routes, size, extra) for number in range(1, size + 1)]
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.close)
        # now and then three that start together never find room for the third copy (2.10); started again they do
        for _ in range(_ATTEMPTS):
            for node in nodes:
                node.start()
            if all(node.takes_clients(_GATHERING_S) for node in nodes):
                break
            for node in nodes:
                node.kill()
        else:
            raise AssertionError("\n".join(node.log.read_text()[-2000:] for node in nodes))
        yield nodes
