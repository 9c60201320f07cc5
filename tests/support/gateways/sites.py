"""Sites: the folder of a gateway, with its configuration, keys and trust file, and its name at its ledgers.

``make_site`` builds one from tables of gateway.toml, ``init_site`` as `meterseal init` does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from gateway.commissioning import site_init
from gateway.config.device_keys import REQUEST_FILE, make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry


class RunningLedger(Protocol):
    """An embedded ledger that has run before (``processes.EmbeddedLedger``, which this module must not name: sites are
    made in the quick tier of tests, too)."""

    folder: Path
    name: str
    url: str


def make_site(
    folder: Path,
    *tables: str,
    gateway: str = "bench",
    since_s: int | None = None,
    ledgers: Mapping[RunningLedger, str] | None = None,
    profiles: Mapping[str, str] | None = None,
) -> Config:
    """A new site, or one in a folder that is there, enrolled at its ledgers, which have run before.

    Args:
        folder: the site's.
        tables: the tables of gateway.toml but for ``[gateway]`` and ``[[ledger]]``.
        gateway: its id.
        since_s: Unix seconds, from when on its keys count; None: now.
        ledgers: each with the rest of its table (``over_http``).
        profiles: file name → text, beside gateway.toml.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (profiles or {}).items():
        (folder / name).write_text(text)
    named = "".join(f'[[ledger]]\nname = "{ledger.name}"\n{text}' for ledger, text in (ledgers or {}).items())
    path = folder / "gateway.toml"
    path.write_text(f'[gateway]\nid = "{gateway}"\n{"".join(tables)}{named}')
    loaded, now_s = load_config(path), int(time.time()) if since_s is None else since_s
    make_missing(loaded, now_s)
    site_init.add_to_trust(loaded, (), now_s)
    for ledger in ledgers or {}:
        believe(ledger.folder, loaded)
    return loaded


def init_site(folder: Path, changes: Mapping[str, str] | None = None, **new: Any) -> Config:
    """A site as `meterseal init` makes it of these fields of ``NewSite``, with each of these texts of its gateway.toml
    replaced wherever it stands (old → new)."""
    site_init.init(folder, site_init.NewSite(**new))
    path = folder / "gateway.toml"
    text = path.read_text()
    for old, to in (changes or {}).items():
        assert old in text
        text = text.replace(old, to)
    path.write_text(text)
    return load_config(path)


def bus_table(name: str, kind: str, meters: Iterable[str], **settings: object) -> str:
    """A ``[[bus]]`` with its meters."""
    return table("[bus]", name=name, type=kind, **settings) + "".join(meters)


def meter_table(name: str, profile: str, address: object, every: str, **settings: object) -> str:
    """A ``[[bus.meter]]``."""
    return table("[bus.meter]", name=name, profile=profile, address=address, every=every, **settings)


def tcp_buses(ports: Iterable[int], every: str, profile: str = "bench.toml", **settings: Any) -> str:
    """A Modbus TCP bus for each port, with one meter: ``tcp-000`` with ``meter-000``, …"""
    return "".join(
        bus_table(f"tcp-{n:03}", "modbus-tcp", [meter_table(f"meter-{n:03}", profile, 1, every, **settings)],
            host="127.0.0.1", port=port)
        for n, port in enumerate(ports)
    )  # fmt: skip


def over_http(ledger: RunningLedger, url: str | None = None) -> dict[RunningLedger, str]:
    """A ledger that the gateway finds at its address, or at another one."""
    return {ledger: f'type = "http"\nurl = "{url or ledger.url}"\n'}


def table(name: str, /, **entries: object) -> str:
    """A table of gateway.toml, ``[[…]]`` where its name has brackets."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in entries.items()]
    return f"[{name}]\n{''.join(lines)}"


def before(seconds: float) -> int:
    """Unix time so many seconds ago, and a minute more."""
    return int(time.time() - seconds) - 60


def believed(folder: Path, loaded: Config, name: str = "demo-ledger") -> None:
    """Make a ledger in ``folder``; the gateway is enrolled there, and believes it."""
    open_dir(folder, name).close()
    believe(folder, loaded)


def believe(folder: Path, loaded: Config) -> None:
    """Enrol the gateway at the ledger in ``folder``, and write the ledger's key into the trust file."""
    enroll(folder, loaded.keys / REQUEST_FILE)
    with loaded.trust.open("a") as trust:
        trust.write("\n" + trust_entry(folder))
