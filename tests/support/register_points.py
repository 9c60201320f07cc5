"""Points of Modbus devices for tests, in one line each."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from gateway.devices.blocks import Block, Raw
from gateway.devices.places import Registers
from gateway.devices.points import Point, Profile
from gateway.devices.profile import catalog, load_profile
from gateway.devices.read_plan import resolve_profile
from gateway.devices.register_block import RegisterBlock

_PLACE = tuple(f.name for f in fields(Registers))


def register_point(name: str, *place: Any, **keys: Any) -> Point:
    """A point at registers: function, address, type and how many, in this order or by key; ``keys`` are those of its
    place and its own."""
    more = {key: keys.pop(key) for key in _PLACE if key in keys}
    return Point(name, Registers(*place, **more), **keys)


def registers_of(block: Block) -> RegisterBlock:
    """The block as one of registers."""
    assert isinstance(block, RegisterBlock)
    return block


def words_of(raw: Raw) -> tuple[int, ...]:
    """The content of a block of registers."""
    assert isinstance(raw, tuple)
    return raw


def of_registers() -> list[str]:
    """The profiles of the catalog whose devices have registers."""
    return [name for name in catalog() if load_profile(name).protocol in ("modbus", "sunspec")]


def as_found(profile: Profile) -> Profile:
    """The profile of a SunSpec device that has all of its models, the common one first; any other as it is."""
    if profile.protocol != "sunspec":
        return profile
    return resolve_profile(profile, {p.model: 40002 if p.model == 1 else 40070 for p in profile.points if p.model})
