"""Ten of the demo's plants in one simulator, with faults on their lines, and the gateway that reads them all.

Each plant has an RS-485 line of 9600 baud with a grid meter and a CO2 probe, and an inverter on Modbus TCP; periods are
those of the demonstration.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway.config.model import Config
from tests.campaigns.endurance.soak_plan import Strike
from tests.support.gateways.sites import before, bus_table, make_site, meter_table, table
from tests.support.processes import EmbeddedLedger, Server

PLANTS = 10
GRID_S, CO2_S, INVERTER_S = 2, 5, 2
SERIAL_FAULTS = (
    ("late", 0.08, "delay_ms = 200\nmost_ms = 1500"), ("lost", 0.08, ""), ("truncated", 0.05, ""),
    ("corrupted", 0.05, ""), ("doubled", 0.03, ""), ("noise-before", 0.03, ""), ("exception", 0.03, ""),
)  # fmt: skip
TCP_FAULTS = (
    ("late", 0.08, "delay_ms = 200\nmost_ms = 1500"), ("lost", 0.08, ""), ("truncated", 0.05, ""),
    ("exception", 0.03, ""),
)  # fmt: skip


def lines() -> list[str]:
    """The names of all lines of a site."""
    return [name for n in range(PLANTS) for name in (f"rs485-{n}", f"inverter-{n}")]


def meters_of(line: str) -> list[str]:
    """The meters on a line."""
    kind, _, n = line.partition("-")
    return [f"export-main-{n}", f"stack-co2-{n}"] if kind == "rs485" else [f"pv-inverter-{n}"]


class TenPlants(Server):
    """The simulator of a site. It may be stopped and started again: what is left of its faults goes on."""

    def __init__(self, folder: Path, strikes: Sequence[Strike], ports: Sequence[int]) -> None:
        """``strikes`` are those on its lines, ``ports`` those of its inverters, which it keeps."""
        folder.mkdir(parents=True)
        self.answers, self._scenario, self._strikes = folder / "answers.jsonl", folder / "plants.toml", strikes
        self.folder, self.ports = folder, ports
        self.begun = time.monotonic()
        """The beginning of the course, on the monotonic clock."""
        command = [sys.executable, "-u", "-m", "firmware_sim.cli", "run", str(self._scenario)]
        command += ["--dir", str(folder), "--log", str(self.answers)]
        super().__init__("plant", command, f"bus {lines()[-1]}", folder / "plant.log")

    def start(self) -> str:
        """Start it, with the faults from now on."""
        self._scenario.write_text(self._text(time.monotonic() - self.begun))
        return super().start()

    def close(self) -> None:
        """End it in order: a link that a killed one leaves leads to whoever gets that pseudo-terminal next."""
        if self.process is not None:
            self.resume()
            assert self.stop() == 0

    def _text(self, gone_s: float) -> str:
        parts = ["[plant]\nseed = 20261124\nstart_hour = 10.0\n"]
        for n in range(PLANTS):
            parts.append(
                f'[[bus]]\nname = "rs485-{n}"\ntype = "modbus-rtu"\nport = "rs485-{n}"\nbaudrate = 9600\n'
                f'[[bus.meter]]\nname = "export-main-{n}"\nprofile = "eastron-sdm630"\naddress = 1\nmeasures = "grid"\n'
                f'serial = "{21043000 + n}"\nlatency_ms = 20\nenergy_export_kwh = 4821.5\n'
                f'[[bus.meter]]\nname = "stack-co2-{n}"\nprofile = "vaisala-gmp252"\naddress = 240\n'
                f'serial = "K07100{n}"\nlatency_ms = 15\n'
                f'[[bus]]\nname = "inverter-{n}"\ntype = "modbus-tcp"\nport = {self.ports[n]}\n'
                f'[[bus.meter]]\nname = "pv-inverter-{n}"\nprofile = "sunspec-inverter"\naddress = 1\nmeasures = "pv"\n'
                f'serial = "PV15-{n}"\nlatency_ms = 5\nenergy_export_kwh = 8754.25\n'
                'plate = { manufacturer = "Meterseal simulator", device_model = "PV15", version = "1" }\n'
            )
        for strike in self._strikes:
            begin, end = strike.at_s - gone_s, strike.end_s - gone_s
            if end > 0:
                parts += [_fault(meter, max(0.0, begin), end, strike) for meter in meters_of(strike.whose)]
        return "\n".join(parts)


def _fault(meter: str, begin: float, end: float, strike: Strike) -> str:
    head = f'[[fault]]\nmeter = "{meter}"\nfrom = {begin:.3f}\nto = {end:.3f}\n'
    if strike.kind == "a dead meter":  # the first on its line; the other one keeps its schedule
        return head + 'kind = "dead"\n' if meter == meters_of(strike.whose)[0] else ""
    faults = TCP_FAULTS if meter.startswith("pv") else SERIAL_FAULTS
    choices = "".join(f'[[fault.choice]]\nkind = "{kind}"\nshare = {share}\n{more}\n' for kind, share, more in faults)
    return f'{head}kind = "one-of"\n{choices}'


def plants_site(
    folder: Path,
    gateway: str,
    plants: TenPlants,
    ledgers: dict[str, tuple[EmbeddedLedger, str]],
    seal_every: str,
) -> Config:
    """A gateway's folder, enrolled at every ledger; ``ledgers`` gives each one's kind and the address to use."""
    buses = []
    for n in range(PLANTS):
        grid = meter_table(f"export-main-{n}", "eastron-sdm630", 1, f"{GRID_S}s")
        stack = meter_table(f"stack-co2-{n}", "vaisala-gmp252", 240, f"{CO2_S}s")
        pv = meter_table(f"pv-inverter-{n}", "sunspec-inverter", 1, f"{INVERTER_S}s")
        port = f"{plants.folder}/rs485-{n}"
        buses.append(bus_table(f"rs485-{n}", "modbus-rtu", [grid, stack], port=port, baudrate=9600, stopbits=1))
        buses.append(bus_table(f"inverter-{n}", "modbus-tcp", [pv], host="127.0.0.1", port=plants.ports[n]))
    loaded = make_site(
        folder,
        table("store", commit_every="1s"),
        table("seal", every=seal_every),
        *buses,
        gateway=gateway,
        since_s=before(540),
        ledgers={
            ledger: f'type = "{kind}"\npolicy = "required"\nurl = "{url}"\n' for kind, (ledger, url) in ledgers.items()
        },
    )
    trust = loaded.trust.read_text()
    assert "\nreceipts = 1 " in trust
    loaded.trust.write_text(trust.replace("\nreceipts = 1 ", f"\nreceipts = {len(ledgers)} "))
    return loaded
