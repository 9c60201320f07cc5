"""What is wrong with a gateway, or not known of it, each with its reason and the next step. Pure.

A gateway is well only where everything of it is there and proven up to within ``LATE_MS``: whatever was never heard,
is not known or has not been proven yet is a finding, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from control_room.web.fleet import AWAY_MS, CLOCKS, GatewayFacts
from gateway.messages.message import Message

LATE_MS: Final = 1_800_000
"""Half an hour after it was recorded everything is proven, where nothing is wrong: batches are sealed more often."""
QUIET_MS: Final = 900_000
"""Coverage is recorded more often, also by a gateway whose meters are silent."""
REFUSED_MS: Final = 86_400_000
"""For a day what was refused under its name makes a gateway red; nobody can take it back, and the list keeps it."""
AHEAD_MS: Final = 300_000
"""How far a gateway's clock may be ahead of this machine's."""


class Level(StrEnum):
    """How bad it is, the worst first; ``wait``: not wrong, but not known or not proven yet."""

    BAD = "bad"
    WARN = "warn"
    WAIT = "wait"
    GOOD = "good"


class Finding(NamedTuple):
    """``page``: the list that has more of it, "" where there is none."""

    level: Level
    message: Message
    page: str = ""


_RANK: Final[Mapping[Level, int]] = {level: rank for rank, level in enumerate(Level)}


def level_of(one: GatewayFacts, now_ms: int) -> Level:
    """How a gateway stands, by the worst of its findings."""
    found = findings(one, now_ms)
    return found[0].level if found else Level.GOOD


def rank(level: Level) -> int:
    """The worst has the least."""
    return _RANK[level]


def findings(one: GatewayFacts, now_ms: int) -> list[Finding]:
    """Everything that keeps a gateway from being well, the worst first."""
    row, found = one.row, list[Finding]()
    if not one.listed:
        found.append(Finding(Level.WARN, Message("control-gateway-unlisted")))
    if row.refused_ms is not None and now_ms - row.refused_ms < REFUSED_MS:
        found.append(Finding(Level.BAD, Message("control-gateway-refused", n=row.refused), "refused"))
    if row.heard_ms is None:
        found.append(Finding(Level.BAD, Message("control-gateway-never")))
    else:
        _presence(one, row.heard_ms, now_ms, found)
        _evidence(one, now_ms, found)
        _alarms(one, found)
        _polls(one, found)
    if len(found) > 1:
        found.sort(key=lambda finding: _RANK[finding.level])
    return found


def is_away(one: GatewayFacts, now_ms: int) -> bool:
    """Whether what is known of it may be other by now: nothing came in for some time, or it went offline."""
    return one.row.heard_ms is None or now_ms - one.row.heard_ms > AWAY_MS or one.online is False


def _presence(one: GatewayFacts, heard_ms: int, now_ms: int, found: list[Finding]) -> None:
    newest_ms, away = one.row.newest_ms, is_away(one, now_ms)
    if one.online is False:
        found.append(Finding(Level.BAD, Message("control-gateway-offline", heard_ms=heard_ms)))
    elif away:
        found.append(Finding(Level.BAD, Message("control-gateway-away", heard_ms=heard_ms)))
    if newest_ms is None:
        found.append(Finding(Level.BAD, Message("control-gateway-no-record")))
    elif newest_ms - now_ms > AHEAD_MS:
        found.append(Finding(Level.BAD, Message("control-gateway-ahead", newest_ms=newest_ms)))
    elif now_ms - newest_ms > QUIET_MS and not away:
        found.append(Finding(Level.BAD, Message("control-gateway-quiet", newest_ms=newest_ms)))
    if one.row.status_ms is None:
        found.append(Finding(Level.WAIT, Message("control-gateway-no-status")))


def _evidence(one: GatewayFacts, now_ms: int, found: list[Finding]) -> None:
    row = one.row
    if row.forked:
        found.append(Finding(Level.BAD, Message("control-gateway-forked", n=row.forked), "refused"))
    if row.holes:
        found.append(Finding(Level.BAD, Message("control-gateway-holes", n=row.holes), "holes"))
    if one.oldest_ms is not None and now_ms - one.oldest_ms > LATE_MS:
        found.append(Finding(Level.BAD, Message("control-gateway-late", oldest_ms=one.oldest_ms)))
    if row.proven_ms is None:
        found.append(Finding(Level.WARN, Message("control-gateway-none-proven")))
    elif row.newest_ms is not None and min(row.newest_ms, now_ms) - row.proven_ms > LATE_MS:
        found.append(Finding(Level.BAD, Message("control-gateway-not-proven", proven_ms=row.proven_ms)))


def _alarms(one: GatewayFacts, found: list[Finding]) -> None:
    if n := one.alarms["critical"] + one.alarms["error"]:
        found.append(Finding(Level.BAD, Message("control-gateway-alarms", n=n), "alarms"))
    if n := one.alarms["warning"]:
        found.append(Finding(Level.WARN, Message("control-gateway-warnings", n=n), "alarms"))


def _polls(one: GatewayFacts, found: list[Finding]) -> None:
    row = one.row
    if row.due is None or row.recorded is None:
        found.append(Finding(Level.WAIT, Message("control-gateway-no-coverage")))
    elif row.recorded < row.due:
        found.append(Finding(Level.WARN, Message("control-gateway-polls", missed=row.due - row.recorded, due=row.due)))
    if row.clock is None or CLOCKS.get(row.clock, "unknown") == "unknown":
        found.append(Finding(Level.WARN, Message("control-gateway-clock")))


def claims(status: Mapping[str, Any] | None) -> list[tuple[str, str | int | float]]:
    """What a gateway says of itself that is plain, by its names; what it nests, by ``disk.free``."""
    found: list[tuple[str, str | int | float]] = []
    for key, value in (status or {}).items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, plain in parts:
            if isinstance(plain, bool):
                plain = "true" if plain else "false"
            if isinstance(plain, str | int | float):
                found.append((f"{key}.{part}" if part else str(key), plain))
    return found[:40]
