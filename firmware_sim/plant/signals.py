"""Seeded signals and exact integrals of the plant model. Pure.

Nothing here keeps a state. Randomness is a hash of (seed, channel, number), so a signal is a function of time and a
run can be repeated, or looked up in the middle, without drawing the numbers before it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

_MASK = 2**64 - 1
AREA_PER_UNIT = 2_000_000
"""``area`` counts in half millionths of what flows in a second: so a ramp over whole milliseconds is exact."""
AREA_PER_JOULE = 1000 * AREA_PER_UNIT
"""Of a power in mW."""


def uniform(seed: int, channel: str, number: int) -> float:
    """A number in [0, 1) that depends on nothing but its arguments (splitmix64 over them)."""
    state = (seed * 0x9E3779B97F4A7C15 + zlib.crc32(channel.encode()) * 0xD1B54A32D192ED03 + number) & _MASK
    for _ in range(2):
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return (state >> 11) / 2**53


def noise(seed: int, channel: str, t_s: float, period_s: float) -> float:
    """A smooth wander in [-1, 1].

    Args:
        seed: of the run.
        channel: name of the signal; two with one name are equal.
        t_s: the plant's time in seconds.
        period_s: about how often it takes a new direction, in seconds.
    """
    number, part = divmod(t_s / period_s, 1.0)
    before = uniform(seed, channel, int(number)) * 2 - 1
    after = uniform(seed, channel, int(number) + 1) * 2 - 1
    return before + (after - before) * part * part * (3 - 2 * part)


def total(values: Iterable[float]) -> float:
    """Their sum, added up one by one, so that a plant is the same on each version: ``sum`` compensates since 3.12."""
    found: float = 0
    for value in values:
        found += value
    return found


def daylight(hour: float) -> float:
    """Clear-sky irradiance, 0 to 1, at an hour of the day: sunrise at 6, noon at 12, sunset at 18."""
    height = math.sin(math.pi * (hour % 24 - 6) / 12)
    return height**1.3 if height > 0 else 0.0


def cloud_cover(seed: int, second: float) -> float:
    """What clouds take at a moment, 0 to 1 of the most that they take: a weather of hours, and clouds that pass. One
    sky stands over the whole plant."""
    return (3 + 2 * noise(seed, "weather", second, 10_800) + noise(seed, "passing", second, 140)) / 6


def demand(hour: float) -> float:
    """Share of the installed load in use at an hour of the day: a base, a working day, an evening peak."""
    hour %= 24
    work = math.exp(-(((hour - 12.5) / 3.5) ** 2))
    evening = math.exp(-(((hour - 19.5) / 1.8) ** 2))
    return 0.35 + 0.35 * work + 0.25 * evening


def lag(start: float, target: float, slope: float, tau_s: float, after_s: float) -> float:
    """A first-order lag behind a moving target. The exact solution: one step of two seconds and two of one agree.

    Args:
        start: the value now.
        target: the target now.
        slope: how far the target moves in a second.
        tau_s: time constant in seconds.
        after_s: how much later the value is asked for, in seconds.
    """
    behind = slope * tau_s
    return target + slope * after_s - behind + (start - target + behind) * math.exp(-after_s / tau_s)


def area(start_mw: int, end_mw: int, after_ms: int) -> int:
    """The positive part under a one-second ramp from ``start_mw`` to ``end_mw``, up to ``after_ms`` (0 to 1000).

    In units of 1/``AREA_PER_JOULE`` joule. Whole numbers throughout: the exact integral, rounded down, so it never
    falls as ``after_ms`` grows. Negative power is counted by ``area(-start, -end, …)``.
    """
    rise = end_mw - start_mw
    now = 1000 * start_mw + rise * after_ms  # µW at after_ms
    if start_mw >= 0 and now >= 0:
        return after_ms * (2000 * start_mw + rise * after_ms)
    if start_mw < 0:
        return max(0, now) ** 2 // rise if rise > 0 else 0
    return 1_000_000 * start_mw**2 // -rise
