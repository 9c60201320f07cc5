"""Settings that a serial scan tries, in order of likelihood, its units, and what narrows or widens both. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gateway.devices.points import Profile
from gateway.devices.profile import catalog, load_profile

UNITS = range(1, 248)
"""Addresses of single devices (Modbus over serial line v1.02, 2.2)."""
LIKELY = 24
"""How many units the quick pass asks."""
FACTORY = (1, 2, 3, 4, 5, 10, 100, 126, 247, 6, 7, 8, 9, 11, 12, 20, 15, 16, 30, 50, 13, 14, 101, 200)
"""Addresses that are often left or set where no profile names another: the first ones, round ones, that of SunSpec, the
last one."""


class Settings(NamedTuple):
    """Of a serial line with eight data bits."""

    baudrate: int
    parity: str = "N"
    stopbits: int = 1

    def __str__(self) -> str:
        return f"{self.baudrate} 8{self.parity}{self.stopbits}"


MODBUS = tuple(
    Settings(baudrate, parity)
    for baudrate, parity in (
        (9600, "N"), (9600, "E"), (19200, "E"), (19200, "N"), (2400, "E"), (4800, "E"), (4800, "N"), (38400, "E"),
        (38400, "N"), (115200, "N"), (57600, "N"), (2400, "N"), (115200, "E"), (57600, "E"), (1200, "E"), (1200, "N"),
    )
)  # fmt: skip
"""The likeliest first: what most meters leave the factory with, Modbus's own default 19200 8E1, and what shares a line
with DL/T 645."""
DLT645 = (Settings(2400, "E"), Settings(9600, "E"), Settings(4800, "E"), Settings(1200, "E"))
"""Of DL/T 645 meters; the standard's own is 2400 8E1 (DL/T 645-2007, 5.1)."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What narrows or widens a scan; empty: everything.

    ``baudrates``, ``parities``: those of the settings, in this order. ``units``: Modbus units to ask. ``slow``: every
    unit is given half a second, and all settings are gone through. ``force``: questions are sent although another
    master speaks. ``profiles``: what a unit may be beside the catalog.
    ``listen_s``: so long the line is listened to before anything is sent; less than usual is usual.
    """

    baudrates: tuple[int, ...] = ()
    parities: tuple[str, ...] = ()
    units: tuple[int, ...] = ()
    slow: bool = False
    force: bool = False
    profiles: tuple[Profile, ...] = ()
    listen_s: float = 0.0

    def settings(self, *, parity: bool = True) -> tuple[Settings, ...]:
        """Those to try for Modbus. ``parity``: the port has one."""
        return self._chosen(MODBUS, parity=parity)

    def dlt645(self, *, parity: bool = True) -> tuple[Settings, ...]:
        """Those at which a DL/T 645 meter is asked for; none where single units were asked for."""
        if self.units:
            return ()
        usual = tuple(s for s in DLT645 if s.parity in (self.parities or "E"))
        found = tuple(s for s in usual if s.baudrate in (self.baudrates or tuple(d.baudrate for d in DLT645)))
        return found if parity else tuple(Settings(s.baudrate) for s in found)

    def quick_units(self) -> tuple[int, ...]:
        """Of the quick pass."""
        return self.units or likely_units()

    def all_units(self, *, known: int = 0) -> tuple[int, ...]:
        """Of the pass over every unit, without the first ``known`` ones of the quick pass."""
        asked = likely_units()[:known]
        return self.units or tuple(unit for unit in dict.fromkeys((*likely_units(), *UNITS)) if unit not in asked)

    def _chosen(self, usual: Sequence[Settings], *, parity: bool) -> tuple[Settings, ...]:
        if not parity:
            usual = tuple(dict.fromkeys(Settings(s.baudrate) for s in usual))
        if self.baudrates or (parity and self.parities):
            known = [s for s in usual if s.baudrate in (self.baudrates or {s.baudrate})]
            speeds = tuple(dict.fromkeys([*(s.baudrate for s in known), *self.baudrates]))
            parities = (self.parities or ("N", "E")) if parity else ("N",)
            asked = [Settings(baudrate, one) for baudrate in speeds for one in parities]
            return tuple(sorted(asked, key=lambda s: known.index(s) if s in known else len(known)))
        return tuple(usual)


@lru_cache(1)
def likely_units() -> tuple[int, ...]:
    """The likeliest units: those with which the devices of the catalog leave the factory, the most frequent first."""
    profiles = [load_profile(name) for name in catalog()]
    delivered = Counter(
        p.default_address
        for p in profiles
        if p.protocol in ("modbus", "sunspec") and isinstance(p.default_address, int) and p.default_address in UNITS
    )
    ordered = [unit for unit, _ in sorted(delivered.items(), key=lambda pair: (-pair[1], pair[0]))]
    return tuple(dict.fromkeys((*ordered, *FACTORY)))[:LIKELY]
