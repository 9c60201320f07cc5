"""A gateway's folder for a campaign that reads no wire: meters of so many values, and one ledger."""

from __future__ import annotations

from pathlib import Path

from gateway.config.model import Config
from tests.support.gateways.sites import bus_table, make_site, meter_table, over_http, table
from tests.support.processes import EmbeddedLedger

POINT = "point_{:02}"


def unread_site(
    folder: Path,
    ledger: EmbeddedLedger,
    *,
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
    points = "".join(f"{POINT.format(n)} = {{ address = {2 * n} }}\n" for n in range(values))
    profile = (
        f'vendor = "Bench"\ndevice = "Meter of {values} values"\nsource = "tests/campaigns/endurance/site.py"\n'
        f'direct = true\n[defaults]\nfc = 3\ntype = "float32"\nunit = "V"\n[points]\n{points}'
    )
    listed = [meter_table(f"meter-{n:03}", "bench.toml", n + 1, every) for n in range(meters)]
    return make_site(
        folder,
        table("store", commit_every=commit_every),
        table("seal", every=seal_every),
        bus_table("tcp", "modbus-tcp", listed, host="127.0.0.1"),
        since_s=since_s,
        ledgers=over_http(ledger, url),
        profiles={"bench.toml": profile},
    )
