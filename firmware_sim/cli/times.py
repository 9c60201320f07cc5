"""Times on the command line: a moment, a length of time, the speed of the plant's time."""

from __future__ import annotations

import re
from fractions import Fraction

import click

SLOWEST, FASTEST = 0.01, 3600.0
"""Of ``--speed``: beyond an hour a second no machine keeps up with the plant."""
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def moment(_: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """``--at``: a moment with its offset."""
    if text is None:
        return None
    from firmware_sim.scenario.plant_schema import moment_of

    try:
        moment_of(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}") from None
    return text


def plant_speed(_: click.Context, option: click.Parameter, speed: float) -> float:
    """``--speed``: a number that a plant can run at."""
    if not SLOWEST <= speed <= FASTEST:  # nor is it what is no number
        raise click.BadParameter(f"{speed:g} is no speed of a plant; give {SLOWEST:g} to {FASTEST:g}")
    return speed


def milliseconds(_: click.Context, option: click.Parameter, text: str | None) -> int | None:
    """A length of time such as 24h, 1.5m or 500ms; without a unit it is in seconds. None: it is not given."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", text, re.ASCII)
    if not found:
        raise click.BadParameter(f"{text!r} is no length of time; write 500ms, 60s, 15m, 24h or 7d")
    length = Fraction(found[1]) * UNITS_MS[found[2] or "s"]
    if length.denominator != 1:
        raise click.BadParameter(f"{text} is no whole number of milliseconds")
    return int(length)
