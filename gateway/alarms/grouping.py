"""Grouping of simultaneous alarms: the meters of one line, the lines of one site. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LEAST = 3
MOST_NAMED = 5
WINDOW_MS = 60_000
"""What falls silent within it has one cause."""


class Member(NamedTuple):
    """One that is silent: since when (ms), and whether it is now to be told, and was not yet."""

    name: str
    since_ms: int
    ripe: bool


def enough(count: int, all_: int | None) -> bool:
    """Whether so many silent ones are one: ``LEAST``, or all that there are (None: all count no more than others)."""
    return count >= LEAST or (all_ is not None and count == all_ >= 2)


def together(silent: Sequence[Member], all_: int | None, window_ms: int = WINDOW_MS) -> list[Member]:
    """Those of the silent that are to be told as one, oldest first; none while none of them is ripe.

    All that there are, whenever each fell silent; else ``LEAST`` or more that did within ``window_ms``.
    """
    found = sorted(silent, key=lambda one: one.since_ms)
    if len(found) == all_ and enough(len(found), all_):
        return found if any(one.ripe for one in found) else []
    best: list[Member] = []
    start = 0
    for end, one in enumerate(found):
        while one.since_ms - found[start].since_ms > window_ms:
            start += 1
        crowd = found[start : end + 1]
        if len(crowd) >= LEAST and len(crowd) > len(best) and any(member.ripe for member in crowd):
            best = crowd
    return best


def one_subnet(hosts: Iterable[str | None]) -> bool:
    """Whether all of these are addresses of one subnet, as far as addresses alone tell it: of one /24, or one /64. A
    serial line (None) and a name are none."""
    found = set()
    for host in hosts:
        try:
            address = ipaddress.ip_address(host or "")
        except ValueError:
            return False
        found.add(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
    return len(found) == 1


def named(of: Sequence[str]) -> Sequence[str]:
    """Those of so many that ``names`` gives by name."""
    return of if len(of) <= MOST_NAMED else of[: MOST_NAMED - 1]


def names(of: Sequence[str]) -> str:
    """Names in words: ``"a, b and 98 more"``."""
    first = named(of)
    return ", ".join(first) + (f" and {len(of) - len(first)} more" if len(of) > len(first) else "")
