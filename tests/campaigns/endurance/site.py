"""A gateway's folder for a benchmark that reads no wire: meters of so many values, one ledger, keys and trust."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.config.device_keys import REQUEST_FILE, load_keys, make_missing, public_entries
from gateway.config.load import load_config
from gateway.config.model import Config
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry
from tests.support.processes import EmbeddedLedger

POINT = "point_{:02}"


def make_site(
    folder: Path,
    ledger: EmbeddedLedger,
    *,
    gateway: str = "bench",
    meters: int,
    values: int,
    every: str,
    commit_every: str,
    seal_every: str,
    since_s: int,
    url: str | None = None,
) -> Config:
    """The folder, its gateway enrolled at the ledger, which has run before.

    ``url``: where the gateway finds the ledger, if not at its own address. Keys are valid from ``since_s`` on.
    """
    folder.mkdir(parents=True)
    points = "".join(f"{POINT.format(n)} = {{ address = {2 * n} }}\n" for n in range(values))
    (folder / "bench.toml").write_text(
        f'vendor = "Bench"\ndevice = "Meter of {values} values"\nsource = "tests/campaigns/endurance/site.py"\n'
        "direct = true\n"
        f'[defaults]\nfc = 3\ntype = "float32"\nunit = "V"\n[points]\n{points}'
    )
    listed = "".join(
        f'[[bus.meter]]\nname = "meter-{n:03}"\nprofile = "bench.toml"\naddress = {n + 1}\nevery = "{every}"\n'
        for n in range(meters)
    )
    (folder / "gateway.toml").write_text(
        f'[gateway]\nid = "{gateway}"\n[store]\ncommit_every = "{commit_every}"\n[seal]\nevery = "{seal_every}"\n'
        f'[[bus]]\nname = "tcp"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\n{listed}'
        f'[[ledger]]\nname = "{ledger.name}"\ntype = "http"\nurl = "{url or ledger.url}"\n'
    )
    loaded = load_config(folder / "gateway.toml")
    make_known(loaded, ledger, since_s)
    return loaded


def make_known(loaded: Config, ledger: EmbeddedLedger, since_s: int) -> None:
    """Keys for a gateway, valid from ``since_s`` on, its trust file, and its name at the ledger."""
    made = make_missing(loaded, since_s)
    loaded.trust.write_text(
        f'[policy]\nreceipts = 1\nledgers = ["{ledger.name}"]\n'
        + public_entries(loaded, load_keys(loaded), made, since_s)
        + trust_entry(ledger.folder)
    )
    enroll(ledger.folder, loaded.keys / REQUEST_FILE)


def before(seconds: float) -> int:
    """Unix time so many seconds ago, and a minute more."""
    return int(time.time() - seconds) - 60
