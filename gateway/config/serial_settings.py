"""Serial settings of a bus: as written, else as its meters leave the factory, else the protocol's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.config.bus import Bus
from gateway.config.bus_types import TYPES
from gateway.devices.points import Profile, Serial
from gateway.errors import ConfigError
from gateway.messages.message import Message

KEYS = ("baudrate", "parity", "stopbits")


def serial_settings(path: Path, bus: Bus, profiles: Mapping[str, Profile]) -> Serial:
    """The settings of a bus. Over a network those of the line behind the converter are not known: the protocol's.

    Args:
        path: of the configuration.
        bus: one of its buses.
        profiles: of its meters, by their names.

    Raises:
        ConfigError: the bus does not name a setting, and its profiles differ in it.
    """
    baudrate, parity, stopbits = TYPES[bus.type].serial
    found: dict[str, Any] = {"baudrate": baudrate, "parity": parity, "stopbits": stopbits}
    if not bus.serial:
        return Serial(**found)
    for key in KEYS:
        if (written := getattr(bus, key)) is not None:
            found[key] = written
            continue
        if key not in TYPES[bus.type].delivered:
            continue
        stated = {p.name: getattr(p.serial, key) for p in (profiles[m.name] for m in bus.meter) if p.serial is not None}
        for profile, value in stated.items():
            first, of_first = next(iter(stated.items()))
            if value != of_first:
                raise ConfigError(
                    path,
                    f"bus {bus.name!r}, {key}",
                    Message(
                        "config-serial-differs",
                        profile=first,
                        value=str(of_first),
                        other=profile,
                        its=str(value),
                        key=key,
                    ),
                )
            found[key] = value
    return Serial(**found)
