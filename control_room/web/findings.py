"""What is wrong with a gateway, or not known of it, each with its reason and the next step. Pure.

A gateway is well only where everything of it is there and proven up to within ``LATE_MS``: whatever was never heard,
is not known or has not been proven yet is a finding, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from control_room.web.fleet import AWAY_MS, GatewayFacts
from gateway.messages.message import Message

LATE_MS: Final = 3_600_000
"""An hour after it was recorded everything is proven, where nothing is wrong."""
QUIET_MS: Final = 900_000
"""Coverage is recorded more often, also by a gateway whose meters are silent."""
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
    return min((finding.level for finding in findings(one, now_ms)), key=_RANK.__getitem__, default=Level.GOOD)


def worst_first(findings_: Iterator[Finding]) -> list[Finding]:
    """In the order in which they are shown."""
    return sorted(findings_, key=lambda finding: _RANK[finding.level])


def rank(level: Level) -> int:
    """The worst has the least."""
    return _RANK[level]


def findings(one: GatewayFacts, now_ms: int) -> Iterator[Finding]:
    """Everything that keeps a gateway from being well, in no order."""
    row = one.row
    if not one.listed:
        yield Finding(Level.WARN, Message("control-gateway-unlisted"))
    if row.refused:
        yield Finding(Level.BAD, Message("control-gateway-refused", n=row.refused), "refused")
    if row.heard_ms is None:
        yield Finding(Level.BAD, Message("control-gateway-never"))
        return
    yield from _presence(one, row.heard_ms, now_ms)
    yield from _evidence(one, now_ms)
    if one.alarms["critical"] or one.alarms["error"]:
        n = one.alarms["critical"] + one.alarms["error"]
        yield Finding(Level.BAD, Message("control-gateway-alarms", n=n), "alarms")
    if n := one.alarms["warning"]:
        yield Finding(Level.WARN, Message("control-gateway-warnings", n=n), "alarms")
    yield from _claims(one, now_ms)


def _presence(one: GatewayFacts, heard_ms: int, now_ms: int) -> Iterator[Finding]:
    newest_ms = one.row.newest_ms
    if one.online is False:
        yield Finding(Level.BAD, Message("control-gateway-offline", heard_ms=heard_ms))
    elif now_ms - heard_ms > AWAY_MS:
        yield Finding(Level.BAD, Message("control-gateway-away", heard_ms=heard_ms))
    if newest_ms is None:
        yield Finding(Level.BAD, Message("control-gateway-no-record"))
    elif newest_ms - now_ms > AHEAD_MS:
        yield Finding(Level.BAD, Message("control-gateway-ahead", newest_ms=newest_ms))
    elif now_ms - newest_ms > QUIET_MS:
        yield Finding(Level.BAD, Message("control-gateway-quiet", newest_ms=newest_ms))


def _evidence(one: GatewayFacts, now_ms: int) -> Iterator[Finding]:
    row = one.row
    if row.forked:
        yield Finding(Level.BAD, Message("control-gateway-forked", n=row.forked), "alarms")
    if row.holes:
        yield Finding(Level.BAD, Message("control-gateway-holes", n=row.holes), "holes")
    if one.oldest_ms is not None and now_ms - one.oldest_ms > LATE_MS:
        yield Finding(Level.BAD, Message("control-gateway-late", oldest_ms=one.oldest_ms))
    elif row.unproven:
        yield Finding(Level.WAIT, Message("control-gateway-unproven", n=row.unproven))
    if row.proven_ms is None:
        yield Finding(Level.WARN, Message("control-gateway-none-proven"))
    elif row.newest_ms is not None and min(row.newest_ms, now_ms) - row.proven_ms > LATE_MS:
        yield Finding(Level.BAD, Message("control-gateway-not-proven", proven_ms=row.proven_ms))


def _claims(one: GatewayFacts, now_ms: int) -> Iterator[Finding]:
    row = one.row
    if row.due is None or row.recorded is None:
        yield Finding(Level.WAIT, Message("control-gateway-no-coverage"))
    elif row.recorded < row.due:
        yield Finding(Level.WARN, Message("control-gateway-polls", missed=row.due - row.recorded, due=row.due))
    if one.clock == "unknown":
        yield Finding(Level.WARN, Message("control-gateway-clock"))
    if row.status is None:
        yield Finding(Level.WAIT, Message("control-gateway-no-status"))


def claims(status: Mapping[str, Any] | None) -> list[tuple[str, str | int | float | bool]]:
    """What a gateway says of itself that is plain, by its names; what it nests, by ``disk.free``."""
    found: list[tuple[str, str | int | float | bool]] = []
    for key, value in (status or {}).items():
        parts = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, plain in parts:
            if isinstance(plain, str | int | float | bool):
                found.append((f"{key}.{part}" if part else str(key), plain))
    return found[:40]
