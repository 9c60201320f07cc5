"""Facts of the fleet: how each gateway of the trust file stands, heard or not, worst first.

What a gateway says of itself in its status is a claim; everything else follows from what
was verified when it came in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from control_room.store import fleet as rows
from control_room.store.connection import Database
from control_room.store.fleet import GatewayRow, OpenAlarms
from gateway.messages.alarm_kinds import KINDS, SEVERITIES, Severity

AWAY_MS: Final = 180_000
"""A gateway says each minute how it stands; after three that are missing it is away."""
CLOCKS: Final[Mapping[str, str]] = {"S": "synchronised", "R": "synchronised", "I": "informative", "U": "unknown"}
"""The state of a gateway's clock by the letter in its records (docs/formats.md)."""


_NO_ALARMS: Final[Mapping[Severity, int]] = dict.fromkeys(SEVERITIES, 0)
CRITICAL: Final = frozenset({"forked", "batch-forked", "batch-differs", "chain-broken", "database-older"})
"""Alarms of the control room that say that evidence cannot be trusted, or was lost."""
WARNINGS: Final = frozenset({"batch-late", "consumer-mended"})
"""Those that say that nothing is wrong now."""


@dataclass(frozen=True, slots=True)
class GatewayFacts:
    """One gateway. ``listed``: the trust file has it; ``alarms``: active ones by severity, ``unacknowledged`` those
    that nobody has acknowledged here; ``oldest_ms``: time of the oldest record that is known to have no receipt, by its
    statements or as it says itself (Unix ms; None: none is known)."""

    row: GatewayRow
    listed: bool
    alarms: Mapping[Severity, int]
    unacknowledged: int
    oldest_ms: int | None

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.row.name

    @property
    def online(self) -> bool | None:
        """Whether it is connected, as it or its last will says; None: it never said."""
        return self.row.online

    @property
    def version(self) -> str | None:
        """Its version, as it says."""
        return self.row.version

    @property
    def clock(self) -> str | None:
        """The state of its clock, by its newest record."""
        return None if self.row.clock is None else CLOCKS.get(self.row.clock, "unknown")

    @property
    def share(self) -> float | None:
        """Of the due polls of the day the recorded ones; None: none was due, or no coverage of today came in."""
        return self.row.recorded / self.row.due if self.row.due and self.row.recorded is not None else None

    def age_ms(self, now_ms: int) -> int | None:
        """How old its last record is."""
        return None if self.row.newest_ms is None else now_ms - self.row.newest_ms


@dataclass(frozen=True, slots=True)
class Fleet:
    """All gateways at ``now_ms``, first those whose evidence is in doubt, then those that lack something, then those
    that were heard of the longest ago; ``room_alarms``: active alarms of the control room as a whole."""

    now_ms: int
    gateways: tuple[GatewayFacts, ...]
    room_alarms: tuple[OpenAlarms, ...]


def fleet(db: Database, trusted: Collection[str], now_ms: int) -> Fleet:
    """The fleet. ``trusted``: the gateways of the trust file."""
    found = rows.gateways(db, day_of(now_ms))
    listed = frozenset(trusted)
    shown = [facts(row, name in listed) for name, row in found.items() if row.id is not None or name in listed]
    shown += [facts(GatewayRow(name), True) for name in listed - found.keys()]
    shown.sort(key=_worst_first)
    return Fleet(now_ms, tuple(shown), rows.open_of_the_room(db))


def some(db: Database, trusted: Collection[str], names: Sequence[str], now_ms: int) -> list[GatewayFacts]:
    """These gateways, in this order; those alone that the trust file has or something that holds came in of."""
    found = rows.gateways(db, day_of(now_ms), names)
    known = [name for name in names if name in trusted or (name in found and found[name].id is not None)]
    return [facts(found.get(name, GatewayRow(name)), name in trusted) for name in known]


def gateway(db: Database, trusted: Collection[str], name: str, now_ms: int) -> GatewayFacts | None:
    """One gateway; None: neither the trust file nor the database has it."""
    found = some(db, trusted, [name], now_ms)
    return found[0] if found else None


def day_of(now_ms: int) -> date:
    """The UTC day."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).date()


def facts(row: GatewayRow, listed: bool) -> GatewayFacts:
    """What the row of a gateway says."""
    by_severity: Mapping[Severity, int] = _NO_ALARMS
    unacknowledged = 0
    if row.alarms:
        by_severity = _by_severity(row.alarms)
        unacknowledged = sum(one.unacknowledged for one in row.alarms)
    times = row.unproven_ms, row.waiting_ms
    oldest = min((time for time in times if time is not None), default=None) if times != (None, None) else None
    return GatewayFacts(row, listed, by_severity, unacknowledged, oldest)


def _by_severity(alarms: Iterable[OpenAlarms]) -> Mapping[Severity, int]:
    found: dict[Severity, int] = dict.fromkeys(SEVERITIES, 0)
    for one in alarms:
        found[severity(one.code)] += one.count
    return found


def severity(code: str) -> Severity:
    """The severity of an alarm; of a code that this version does not know it is taken for an error."""
    if code in KINDS:
        return KINDS[code].severity
    return "critical" if code in CRITICAL else "warning" if code in WARNINGS else "error"


def _worst_first(one: GatewayFacts) -> tuple[int, int, int, str]:
    row = one.row
    return -one.alarms["critical"] - row.forked, -row.holes, row.newest_ms or 0, row.name
