"""The site whose pages are measured: a hundred meters on Modbus TCP, five on a serial line, a ledger, one user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.rates.paced_line import profile_text
from gateway.config.model import Config
from gateway.dashboard.auth.setup import set_user
from gateway.storage.database import Database
from tests.support.gateways.sites import before, bus_table, make_site, meter_table, over_http, table, tcp_buses
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import EmbeddedLedger

BAUDRATE, SERIAL_METERS, REGISTERS, LATENCY_MS, TIMEOUT_MS = 9600, 5, 30, 20, 500
USER, PASSWORD = "bench", "fifty who watch"


def pages_site(folder: Path, ports: Sequence[int], link: Path, ledger: EmbeddedLedger, web_port: int) -> Config:
    """The folder: every meter is polled once a second; the pages are plain HTTP on this machine."""
    serial = [meter_table(f"serial-{unit}", "serial.toml", unit, "1s") for unit in range(1, SERIAL_METERS + 1)]
    loaded = make_site(
        folder,
        table("seal", every="10s"),
        tcp_buses(ports, "1s", "tcp.toml"),
        bus_table("rs485", "modbus-rtu", serial, port=str(link), baudrate=BAUDRATE),
        table("web", listen=f"127.0.0.1:{web_port}"),
        since_s=before(0),
        ledgers=over_http(ledger),
        profiles={"tcp.toml": PROFILE, "serial.toml": profile_text(REGISTERS, TIMEOUT_MS)},
    )
    set_user(loaded, USER, "installer", PASSWORD)
    Database(loaded.database).close()  # only the very first start of a gateway loads what makes the tables
    return loaded
