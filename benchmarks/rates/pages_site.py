"""The site whose pages are measured: a hundred meters on Modbus TCP, five on a serial line, a ledger, one user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.rates.paced_line import profile_text
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth.setup import set_user
from gateway.storage.database import Database
from tests.campaigns.endurance.site import before, make_known
from tests.support.gateways.tcp_gateway import PROFILE
from tests.support.processes import EmbeddedLedger

BAUDRATE, SERIAL_METERS, REGISTERS, LATENCY_MS, TIMEOUT_MS = 9600, 5, 30, 20, 500
USER, PASSWORD = "bench", "fifty who watch"


def make_site(folder: Path, ports: Sequence[int], link: Path, ledger: EmbeddedLedger, web_port: int) -> Config:
    """The folder: every meter is polled once a second; the pages are plain HTTP on this machine."""
    folder.mkdir(parents=True)
    tcp = "".join(
        f'[[bus]]\nname = "tcp-{n:03}"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\nport = {port}\n'
        f'[[bus.meter]]\nname = "meter-{n:03}"\nprofile = "tcp.toml"\naddress = 1\nevery = "1s"\n'
        for n, port in enumerate(ports)
    )
    serial = f'[[bus]]\nname = "rs485"\ntype = "modbus-rtu"\nport = "{link}"\nbaudrate = {BAUDRATE}\n' + "".join(
        f'[[bus.meter]]\nname = "serial-{unit}"\nprofile = "serial.toml"\naddress = {unit}\nevery = "1s"\n'
        for unit in range(1, SERIAL_METERS + 1)
    )
    (folder / "tcp.toml").write_text(PROFILE)
    (folder / "serial.toml").write_text(profile_text(REGISTERS, TIMEOUT_MS))
    (folder / "gateway.toml").write_text(
        f'[gateway]\nid = "bench"\n[seal]\nevery = "10s"\n{tcp}{serial}'
        f'[[ledger]]\nname = "{ledger.name}"\ntype = "http"\nurl = "{ledger.url}"\n'
        f'[web]\nlisten = "127.0.0.1:{web_port}"\n'
    )
    loaded = load_config(folder / "gateway.toml")
    make_known(loaded, ledger, before(0))
    set_user(loaded, USER, "installer", PASSWORD)
    Database(loaded.database).close()  # only the very first start of a gateway loads what makes the tables
    return loaded
