"""SIGTERM: the read in flight may end, but not for ever; then coverage is written and the process is gone."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

from gateway import config
from gateway.commits import STOP
from gateway.keys import make_missing
from gateway.store import Store
from ledger_client.record import Coverage, Event, parse_record
from tests.chain.site import GatewayProcess
from tests.gateway.books import check_books

PATIENT = """[gateway]
id = "patient"
[[bus]]
name = "tunnel"
type = "modbus-tcp"
host = "127.0.0.1"
port = {port}
timeout = "60s"
[[bus.meter]]
name = "mute"
profile = "eastron-sdm630"
address = 1
every = "120s"
"""


def test_a_stop_does_not_wait_for_a_meter_that_may_take_a_minute(tmp_path: Path) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "gateway.toml").write_text(PATIENT.format(port=server.getsockname()[1]))
        loaded = config.load(tmp_path / "gateway.toml")
        (tmp_path / "trust.toml").write_text('[policy]\nreceipts = 1\nledgers = ["none"]\n')
        make_missing(loaded, int(time.time()))

        def listen() -> None:
            link, _ = server.accept()
            with link:
                link.recv(260)
                asked.set()
                link.recv(260)  # never an answer; ends with the connection

        meter = threading.Thread(target=listen, daemon=True)
        meter.start()
        gateway = GatewayProcess(loaded)
        gateway.start()
        assert asked.wait(timeout=60)
        assert gateway.stop() == 0
        meter.join(timeout=60)
    check_books(loaded)
    store = Store(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.rows(1, 1 << 60)]
    store.close()
    assert isinstance(bodies[-1], Event)
    assert bodies[-1].name == STOP
    assert isinstance(bodies[-2], Coverage)
