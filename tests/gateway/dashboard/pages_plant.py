"""A whole plant with pages for a browser: simulated meters, a ledger and the gateway, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth import setup
from tests.support.processes import EmbeddedLedger, embedded_ledger, free_port
from tests.system.demo_site import GatewayProcess, Plant, make_site, plant

PASSWORDS = {"installer": "correct horse battery", "viewer": "staple of the viewer"}
LABEL = "并网关口 <b>&amp; Grid</b>"


@dataclass(frozen=True, slots=True)
class Site:
    """A running plant. ``url`` is where its pages are."""

    config: Config
    meters: Plant
    ledger: EmbeddedLedger
    gateway: GatewayProcess
    url: str


@contextmanager
def plant_with_pages(folder: Path, *, seal_every: str = "2s", label: str = LABEL) -> Iterator[Site]:
    """Three meters on two lines, an embedded ledger, an installer and a viewer."""
    with plant(folder / "plant") as meters, embedded_ledger(folder / "ledger", "demo-ledger") as ledger:
        loaded = make_site(folder / "site", meters, ledger, seal_every=seal_every)
        port = free_port()
        text = loaded.path.read_text().replace('name = "export-main"', f'name = "export-main"\n  label = "{label}"', 1)
        loaded.path.write_text(f'{text}\n[web]\nlisten = "127.0.0.1:{port}"\n')
        loaded = load_config(loaded.path)
        for name, password in PASSWORDS.items():
            setup.set_user(loaded, name, name, password)
        gateway = GatewayProcess(loaded, ready="pages at")
        try:
            gateway.start()
            yield Site(loaded, meters, ledger, gateway, f"http://127.0.0.1:{port}")
        finally:
            gateway.close()
