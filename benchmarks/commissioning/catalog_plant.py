"""A simulated plant with a device for each profile of the catalog, and the configuration of a gateway that reads all.

Serial devices share a pseudo-terminal; those that somebody else's reader is to ask too, and those with a network port,
share a Modbus TCP endpoint; DL/T 645 meters have a line of their own. Each SunSpec profile has a device for each of
its models. Values stand still, so that readers one after the other find the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.devices.points import UNRECORDED, Profile
from gateway.devices.profile import catalog, load_profile

BY_MBPOLL = (
    "abb-b23", "accuenergy-acuvim-ii", "acrel-adw300", "carlo-gavazzi-em24-e1", "carlo-gavazzi-em340",
    "chint-dtsu666", "eastron-sdm120", "eastron-sdm630", "huawei-sun2000", "janitza-umg96rm-e", "schneider-iem3155",
    "sick-marsic300", "siemens-pac3200", "sma-inverter", "teledyne-100e",
)  # fmt: skip
"""Devices that mbpoll reads too."""
RATIO = 20
"""Of transformers, where a device has a register for it or divides by it."""
PROTOCOLS = ("modbus", "sunspec", "dlt645")
STARTS_S = 30.0
ORDER = "little"
"""Where only the device can say: not the one that is taken if nothing is."""
SERIAL = "{:012}"
PLANT = """
[plant]
seed = {seed}
start_hour = 11.5
[plant.stack]
fuel_kg_h = 900
"""
KINDS = {
    "tcp": 'type = "modbus-tcp"\nport = 0\n',
    "rtu": 'type = "modbus-rtu"\nport = "ttyM"\nbaudrate = 115200\nemulate = false\n',
    "meters": 'type = "dlt645"\nport = "ttyD"\nbaudrate = 9600\nparity = "N"\nemulate = false\n',
}
"""Lines of the simulator by name."""
BUSES = {
    "tcp": 'type = "modbus-tcp"\nhost = "127.0.0.1"\nport = {port}\n',
    "rtu": 'type = "modbus-rtu"\nport = "ttyM"\nbaudrate = 115200\nparity = "N"\nstopbits = 1\n',
    "meters": 'type = "dlt645"\nport = "ttyD"\nbaudrate = 9600\nparity = "N"\nstopbits = 1\n',
}
"""The same lines in the gateway's configuration."""
LIFE = 'answer_life = "100ms"\n'
"""No device here answers late, so that questions which look alike need not wait long for each other."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of the plant; ``model``: the SunSpec model that it has."""

    name: str
    profile: Profile
    line: str
    number: int
    model: int | None = None

    @property
    def address(self) -> int | str:
        """On its line."""
        return SERIAL.format(self.number) if self.line == "meters" else self.number

    @property
    def points(self) -> tuple[str, ...]:
        """All points that have a value."""
        return tuple(point.name for point in self.profile.points if point.kind not in UNRECORDED)

    def in_plant(self) -> str:
        """Its entry in the simulator's scenario."""
        where = json.dumps(self.address)
        text = f'[[bus.meter]]\nname = "{self.name}"\nprofile = "{self.profile.name}"\naddress = {where}\n'
        text += f'serial = "{SERIAL.format(self.number)}"\n' if self.line == "meters" else 'serial = "21043387"\n'
        text += "energy_import_kwh = 12345.6\nenergy_export_kwh = 2345.6\n"
        text += "reactive_energy_import_kvarh = 345.6\nreactive_energy_export_kvarh = 45.6\n"
        if self.line == "meters":
            return text + ("single_phase = true\n" if "single" in self.profile.name else "")
        shown = {p.name: RATIO for p in self.profile.points if p.name in ratios(self.profile)}
        text += f"show = {_inline(shown)}\n" if shown else ""
        text += (
            f"factors = {_inline(dict.fromkeys(sorted(self.profile.factors), RATIO))}\n" if self.profile.factors else ""
        )
        text += f'word_order = "{ORDER}"\n' if self.profile.ask else ""
        return text + (f"sunspec_model = {self.model}\n" if self.model else "")

    def in_gateway(self) -> str:
        """Its entry in the gateway's configuration, with all of its points."""
        text = f'[[bus.meter]]\nname = "{self.name}"\nprofile = "{self.profile.name}"\n'
        text += f'address = {json.dumps(self.address)}\nevery = "10m"\npoints = {json.dumps(list(self.points))}\n'
        text += f'word_order = "{ORDER}"\n' if self.profile.ask else ""
        return text + "".join(f"{name} = {RATIO}\n" for name in sorted(self.profile.factors))


@dataclass(frozen=True, slots=True)
class RunningPlant:
    """The simulator at work: the port of its endpoint, and the file of its answers."""

    tcp_port: int
    log: Path


def devices(most: int = 0) -> list[Device]:
    """One for each profile and model; ``most`` profiles of each protocol (0: all)."""
    found: list[Device] = []
    profiles = [profile for profile in map(load_profile, catalog()) if profile.protocol in PROTOCOLS]
    for protocol in PROTOCOLS:
        kind = [profile for profile in profiles if profile.protocol == protocol]
        for profile in kind[: most or None]:
            models: Sequence[int | None] = [model for row in profile.same_layout for model in row] or [None]
            for model in models[: most or None]:
                name = profile.name if model is None else f"{profile.name}-{model}"
                found.append(Device(name, profile, _line(profile), len(found) + 1, model))
    return found


def _line(profile: Profile) -> str:
    if profile.protocol == "dlt645":
        return "meters"
    return "tcp" if profile.protocol == "sunspec" or profile.direct or profile.name in BY_MBPOLL else "rtu"


def ratios(profile: Profile) -> set[str]:
    """The points of a profile that hold a ratio which others are multiplied by."""
    return {name for point in profile.points for name in point.factor_from} - profile.factors


def _inline(table: Mapping[str, int]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in table.items()) + " }"


def write_plant(folder: Path, found: Sequence[Device], seed: int) -> Path:
    """The scenario of the plant: each meter shows what it did at its first question."""
    text = PLANT.format(seed=seed)
    for line in dict.fromkeys(device.line for device in found):
        text += f'[[bus]]\nname = "{line}"\n{KINDS[line]}' + "".join(d.in_plant() for d in found if d.line == line)
    text += "".join(f'[[fault]]\nmeter = "{device.name}"\nkind = "frozen"\n' for device in found)
    (path := folder / "plant.toml").write_text(text)
    return path


def write_gateway(folder: Path, found: Sequence[Device], tcp_port: int) -> Path:
    """The configuration of the gateway."""
    text = '[gateway]\nid = "catalog"\n'
    for line in dict.fromkeys(device.line for device in found):
        text += f'[[bus]]\nname = "{line}"\n{BUSES[line].format(port=tcp_port)}{LIFE}'
        text += "".join(device.in_gateway() for device in found if device.line == line)
    (path := folder / "gateway.toml").write_text(text)
    return path


@contextmanager
def plant(folder: Path, found: Sequence[Device], seed: int) -> Iterator[RunningPlant]:
    """The plant at work, in a process of its own, for the time of a ``with``."""
    scenario, ready, log = write_plant(folder, found, seed), folder / "ready.json", folder / "answers.jsonl"
    command = [sys.executable, "-m", "firmware_sim.cli", "run", scenario, "--dir", folder, "--log", log]
    process = subprocess.Popen([*map(str, command), "--ready", str(ready)], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + STARTS_S
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the simulator did not start with {scenario}")
            time.sleep(0.02)
        lines = json.loads(ready.read_text())["lines"]
        yield RunningPlant(int(lines["tcp"]["port"]) if "tcp" in lines else 0, log)
    finally:
        process.terminate()
        process.wait()
