"""A case for each kind of fault: a meter on a bus of its own for each of the two who ask, and the gateway's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from firmware_sim.meters.logger_faults import LOGGER_KINDS
from firmware_sim.scenario.faults import ALL_KINDS
from gateway.devices.profile import CATALOG
from tests.support.gateways.sites import bus_table, meter_table, table

SOUND = "none"
"""The meter that has no fault."""
TCP, RTU, DLT645, LOGGER = "modbus-tcp", "modbus-rtu", "dlt645", "hj212"
GATEWAYS, CLIENTS = "g.", "c."
"""Prefixes of the names of meters and buses that each of them reads."""
NEIGHBOUR = 9
"""Unit of the second meter of a bus."""
FROZEN_AFTER_MS = 3000
POINTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "eastron-sdm630": {
        "voltages": ("voltage_ln_l1", "voltage_ln_l2", "voltage_ln_l3"),
        "power": ("active_power_total",),
        "energy": ("energy_export",),
    },
    "vaisala-gmp252": {"CO2": ("co2",), "temperature": ("temperature",)},
    "dlt645-three-phase": {"voltages": ("voltage_ln_l1",), "energy": ("energy_import",)},
    "hj212-cems-realtime": {"oxygen": ("oxygen",), "temperature": ("temperature",)},
}
"""What is looked at, by profile, under the word of the page."""
CODES = {"oxygen": "a19001-Rtd", "temperature": "a01012-Rtd"}
"""Of a logger."""
BLOCKS: Mapping[str, tuple[tuple[int, int, int], ...]] = {
    "eastron-sdm630": ((4, 0, 6), (4, 48, 6), (4, 72, 6)),
    "vaisala-gmp252": ((3, 0, 6), (3, 0, 6)),
}
"""What the plain client asks: function, address and count."""


@dataclass(frozen=True)
class Case:
    """How a kind is armed, and on what."""

    kind: str
    type: str = TCP
    profile: str = "eastron-sdm630"
    keys: Mapping[str, Any] = field(default_factory=dict)
    behind: tuple[str, ...] = ()
    """Kinds that strike one request first."""
    every_s: int = 1

    @property
    def asks(self) -> tuple[str, ...]:
        """The prefixes of its meters."""
        return (GATEWAYS, CLIENTS) if self.profile in BLOCKS else (GATEWAYS,)

    @property
    def station(self) -> str:
        """Address of a logger."""
        return self.kind.replace("-", "")


def _case(kind: str) -> Case:
    if kind in LOGGER_KINDS:
        return Case(kind, LOGGER, "hj212-cems-realtime", every_s=2 if kind == "faster" else 1)
    return _SPECIAL.get(kind, Case(kind))


_SPECIAL = {
    case.kind: case
    for case in (
        Case("reboots", every_s=3),
        Case("cached", keys={"age_ms": 5000}),
        Case("stuck-clock", LOGGER, "hj212-cems-realtime"),
        Case("drift", keys={"percent_per_hour": 3600.0}),
        Case("rollover", keys={"digits": 3}),
        Case("calibrating", profile="vaisala-gmp252"),
        Case("other-serial", keys={"serial": "30000002"}, behind=("lost",)),
        Case("wrong-di", DLT645, "dlt645-three-phase"),
        Case("late", keys={"delay_ms": 3000}),
        Case("corrupted", RTU),
        Case("lone-byte", RTU),
    )
}
CASES: Mapping[str, Case] = {kind: _case(kind) for kind in (SOUND, *ALL_KINDS)}
"""By kind, first the meter without a fault."""


def scenario(logger_port: int) -> str:
    """The plant: two meters of each case, each on its own bus, and the loggers."""
    text = ["[plant]\nseed = 20261202\nstart_hour = 10.0\n[plant.stack]\nfuel_kg_h = 5000\n"]
    for case in CASES.values():
        for who in case.asks if case.type != LOGGER else ():
            name = f"{who}{case.kind}"
            port = 0 if case.type == TCP else name.replace(".", "-")
            text += [f'[[bus]]\nname = "{name}"\ntype = "{case.type}"\n{_port(port)}', *_meter(case, name)]
    text += [f'[[bus]]\nname = "loggers"\ntype = "hj212"\nport = {logger_port}\n']
    for case in CASES.values():
        if case.type == LOGGER:
            text += [
                f'[[bus.meter]]\nname = "{GATEWAYS}{case.kind}"\naddress = "{case.station}"\n'
                f"realtime_s = {case.every_s}\ntimeout_s = 1.0\nreconnect_s = 0.2\n"
            ]
    return "".join(text)


def _port(port: int | str) -> str:
    return f"port = {port}\n" if isinstance(port, int) else f'port = "{port}"\nemulate = false\nbaudrate = 19200\n'


def _meter(case: Case, name: str) -> list[str]:
    more = {
        "eastron-sdm630": 'address = 1\nserial = "30000001"\nenergy_import_kwh = 1520.0\nenergy_export_kwh = 1760.0\n',
        "vaisala-gmp252": 'address = 1\nserial = "30000001"\n',
        "dlt645-three-phase": 'address = "000000012345"\n',
    }
    meters = [f'[[bus.meter]]\nname = "{name}"\nprofile = "{case.profile}"\n{more[case.profile]}']
    if has_neighbour(case) and name.startswith(GATEWAYS):
        meters += [f'[[bus.meter]]\nname = "{name}.{NEIGHBOUR}"\nprofile = "{case.profile}"\naddress = {NEIGHBOUR}\n']
    return meters


def has_neighbour(case: Case) -> bool:
    """Whether a second meter, without a fault, is on the gateway's bus: one silent meter is no silent line."""
    return case.type in (TCP, RTU)


def site(lines: Mapping[str, Mapping[str, Any]], logger_port: int) -> str:
    """The gateway's buses: all its settings are in the page's first lines."""
    tables = [table("store", commit_every="200ms"), table("seal", every="2s")]
    for case in CASES.values():
        name = f"{GATEWAYS}{case.kind}"
        if case.type == LOGGER:
            continue
        at = lines[name]
        wire = {"host": at["host"], "port": at["port"]} if case.type == TCP else {"port": at["port"], "parity": "N"}
        if case.type != TCP:
            wire |= {"baudrate": 19200, "answer_life": "100ms"}
        points = [point for group in POINTS[case.profile].values() for point in group]
        address: object = "000000012345" if case.type == DLT645 else 1
        profile = f"{case.profile}.toml" if case.type == TCP else case.profile
        meter = meter_table(name, profile, address, f"{case.every_s}s", points=points)
        meters = [meter]
        if has_neighbour(case):
            meters += [meter_table(f"{name}.{NEIGHBOUR}", profile, NEIGHBOUR, "4s", points=points[:1])]
        tables.append(bus_table(name, case.type, meters, timeout="800ms", **wire))
    loggers = [
        meter_table(f"{GATEWAYS}{case.kind}", case.profile, case.station, f"{case.every_s}s", password="123456",
                    role="emission")
        for case in CASES.values() if case.type == LOGGER
    ]  # fmt: skip
    return "".join([*tables, bus_table("loggers", LOGGER, loggers, listen=f"127.0.0.1:{logger_port}")])


def profiles() -> dict[str, str]:
    """The catalog's, with what is true of a simulated meter on Modbus TCP, and with less patience for what stands."""
    return {f"{name}.toml": _quick((CATALOG / f"{name}.toml").read_text()) for name in BLOCKS}


def _quick(profile: str) -> str:
    lines = [line for line in profile.splitlines() if not line.startswith(("answer_life_ms", "direct", "frozen_after"))]
    at = next(number for number, line in enumerate(lines) if line.startswith("["))
    head = [*lines[:at], "answer_life_ms = 200", "direct = true", f"frozen_after_ms = {FROZEN_AFTER_MS}"]
    return "\n".join([*head, *lines[at:]]) + "\n"
