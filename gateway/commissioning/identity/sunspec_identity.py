"""SunSpec devices: who they say they are in the common model, and which models they have.

SunSpec device information model specification: marker, model chain, model 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.commissioning.identity.unit_reads import UnitReads
from gateway.devices.points import Profile
from gateway.fieldbus.modbus.sunspec_discovery import BASES, END, MARKER

COMMON, MOST_MODELS = 1, 40
_TEXTS = {"manufacturer": (2, 16), "model": (18, 16), "version": (42, 8), "serial": (50, 16)}
"""Texts of model 1: offset from its ID register, registers."""


@dataclass(frozen=True, slots=True)
class SunSpecDevice:
    """What a device says of itself; ``models``: the numbers of its models."""

    base: int
    models: tuple[int, ...]
    manufacturer: str | None = None
    model: str | None = None
    version: str | None = None
    serial: str | None = None


async def sunspec_device(reads: UnitReads) -> SunSpecDevice | None:
    """Look for the marker, and follow the chain of models; None: it is no SunSpec device."""
    for base in BASES:
        if await reads.words(3, base, 2) == MARKER:
            return await _device(reads, base)
    return None


async def _device(reads: UnitReads, base: int) -> SunSpecDevice:
    models, texts, place = list[int](), dict[str, str | None](), base + len(MARKER)
    for _ in range(MOST_MODELS):
        head = await reads.words(3, place, 2) if place < 0xFFFF else None
        if head is None or head[0] == END:
            break
        number, length = head
        if number == COMMON and COMMON not in models:
            for name, (offset, count) in _TEXTS.items():
                texts[name] = _text(await reads.words(3, place + offset, count))
        models.append(number)
        place += 2 + length
    return SunSpecDevice(base, tuple(models), **texts)


def _text(words: tuple[int, ...] | None) -> str | None:
    data = b"".join(word.to_bytes(2, "big") for word in words or ())
    text = data.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return text if text and text.isprintable() else None


def models_of(profile: Profile) -> frozenset[int]:
    """The models of a profile, without the common one."""
    return frozenset(p.model for p in profile.points if p.model not in (None, COMMON))


def fitting(device: SunSpecDevice, profiles: Sequence[Profile]) -> list[tuple[Profile, bool]]:
    """The SunSpec profiles of which the device has a model, those of which it has all in front, and whether it does."""
    found = []
    for profile in profiles:
        there = [any(model in device.models for model in _alike(profile, model)) for model in models_of(profile)]
        if any(there):
            found.append((profile, all(there)))
    return sorted(found, key=lambda one: (not one[1], one[0].name))


def _alike(profile: Profile, model: int) -> tuple[int, ...]:
    """The models whose points stand at the same places."""
    return next((models for models in profile.same_layout if model in models), (model,))
