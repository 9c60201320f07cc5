"""SIGTERM: the read in flight may end, but not for ever; then coverage is written and the process is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from gateway.config import model
from gateway.records import STOP
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, Event, parse_record
from tests.support.books import check_books
from tests.support.gateways.sites import bus_table, make_site, meter_table
from tests.system.demo_site import GatewayProcess, until


def test_a_stop_does_not_wait_for_the_end_of_a_recovery(tmp_path: Path) -> None:
    """It may take a quarter of an hour; nothing was begun that would have to be finished."""
    loaded, here = patient_site(tmp_path, 502), tmp_path / "here"
    loaded.data.mkdir()
    loaded.database.write_bytes(b"no database at all" * 1000)
    env = os.environ | {"METERSEAL_HOLD": f"recovered:1:{here}"}
    with subprocess.Popen([sys.executable, "-m", "gateway.cli", "run", str(loaded.path)], env=env) as held:
        until("the recovery", here.exists)
        held.terminate()
        try:
            assert held.wait(timeout=30) == -signal.SIGTERM
        finally:
            held.kill()
    assert loaded.database.read_bytes().startswith(b"no database")


def patient_site(folder: Path, port: int) -> model.Config:
    """A site of one meter over TCP, without a ledger."""
    place = {"host": "127.0.0.1", "port": port, "timeout": "60s"}
    return make_site(
        folder, bus_table("tunnel", "modbus-tcp", [meter_table("mute", "eastron-sdm630", 1, "120s")], **place)
    )


def test_a_stop_does_not_wait_for_a_meter_that_may_take_a_minute(tmp_path: Path) -> None:
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        loaded = patient_site(tmp_path, server.getsockname()[1])

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
    store = Database(loaded.database, read_only=True)
    bodies = [parse_record(row.data).body for row in store.records.rows(1, 1 << 60)]
    store.close()
    assert isinstance(bodies[-1], Event)
    assert bodies[-1].name == STOP
    assert isinstance(bodies[-2], Coverage)
