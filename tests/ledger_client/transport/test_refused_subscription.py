"""A broker that refuses a subscription for a moment, as a cluster without a leader does, is asked again."""

from __future__ import annotations

import socketserver
import threading
import time
from contextlib import closing

import pytest

from ledger_client.transport import mqtt_broker as module
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker
from ledger_client.transport.mqtt_options import BrokerOptions
from tests.support.brokers.mqtt_callbacks import Callbacks

CONNECT, SUBSCRIBE, PING = 0x10, 0x82, 0xC0
PATIENCE_S = 30.0


class Leaderless(socketserver.ThreadingTCPServer):
    """An MQTT 3.1.1 broker of a few lines that refuses so many subscriptions (return code 0x80, §3.9.3)."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.refusals, self.connections, self.asked = refusals, 0, list[bytes]()


class _Talk(socketserver.StreamRequestHandler):
    server: Leaderless

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            body = self.rfile.read(head[1])  # these packets are shorter than 128 bytes
            if head[0] == CONNECT:
                self.server.connections += 1
                self.wfile.write(b"\x20\x02\x00\x00")
            elif head[0] == SUBSCRIBE:
                self.server.asked.append(body[4:-1])
                refused = len(self.server.asked) <= self.server.refusals
                self.wfile.write(b"\x90\x03" + body[:2] + (b"\x80" if refused else b"\x01"))
            elif head[0] == PING:
                self.wfile.write(b"\xd0\x00")


def test_a_subscription_that_is_refused_is_asked_for_again_on_the_same_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RESUBSCRIBE_S", 0.05)
    states = set[str]()
    with Leaderless(refusals=3) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"mqtt://127.0.0.1:{server.server_address[1]}"
        access = Access(protocol="3.1.1")
        heard: list[object] = []
        asks = Broker(BrokerOptions(url, "c", access), Callbacks(lambda it: it.subscribe("receipts/#"), heard.append))
        with closing(asks) as broker:
            end = time.monotonic() + PATIENCE_S
            while len(server.asked) < 4 or str(broker.state) != "connected":
                states.add(str(broker.state))
                assert time.monotonic() < end, broker.state
                time.sleep(0.01)
        server.shutdown()
    assert server.asked == [b"receipts/#"] * 4
    assert server.connections == 1
    assert any(state.startswith("connected, but the broker refused the subscription") for state in states)
