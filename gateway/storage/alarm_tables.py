"""Alarm tables: active, acknowledged and shelved alarms. Not evidence; the signed events are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.messages.alarm_kinds import SEVERITIES, Severity, kind_of
from gateway.storage.rows import Connection

KEPT = 10_000
"""So many alarms that are over are remembered."""
_COLUMNS = (
    "id, source, code, line, text, since_ms, raised_ms, cleared_ms, acked_ms, acked_by, shelved_until_ms, shelved_by, "
    "shelved_why, times"
)


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm that was raised. Times are record times in ms, None where that has not happened.

    ``source``: the meter, or "gateway". ``since_ms``: since when it is true. ``cleared_ms`` None: it is still true.
    ``acked_by`` None beside ``acked_ms``: the gateway itself has put it away, for another alarm stands for it.
    ``times``: so often it was raised since somebody acknowledged it last.
    """

    id: int
    source: str
    code: str
    line: str
    text: str
    since_ms: int
    raised_ms: int
    cleared_ms: int | None = None
    acked_ms: int | None = None
    acked_by: str | None = None
    shelved_until_ms: int | None = None
    shelved_by: str | None = None
    shelved_why: str | None = None
    times: int = 1

    @property
    def severity(self) -> Severity:
        """critical, error, warning or notice."""
        return kind_of(self.code).severity

    @property
    def active(self) -> bool:
        """It is still true."""
        return self.cleared_ms is None

    @property
    def shelved(self) -> bool:
        """Somebody wants to hear nothing of it for a time."""
        return self.shelved_until_ms is not None

    @property
    def acknowledged(self) -> bool:
        """Somebody has acknowledged it since it was raised, or nobody needs to."""
        return self.acked_ms is not None

    @property
    def untouched(self) -> bool:
        """It is true, and nobody has acknowledged or shelved it."""
        return self.active and self.acked_ms is None and not self.shelved

    @property
    def open(self) -> bool:
        """It is true, or nobody has acknowledged it, or it is shelved."""
        return self.active or self.acked_ms is None or self.shelved

    @property
    def rank(self) -> tuple[int, int, int]:
        """In a list: true ones first, then the most serious, then the newest."""
        return not self.active, SEVERITIES.index(self.severity), -self.raised_ms

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; ``meter`` None where the gateway or a whole line is meant."""
        return {
            "id": self.id,
            "meter": None if self.source == "gateway" else self.source,
            "code": self.code,
            "line": self.line,
            "severity": self.severity,
            "text": self.text,
            "since": self.since_ms,
            "raised": self.raised_ms,
            "cleared": self.cleared_ms,
            "acknowledged": self.acked_ms,
            "acknowledged_by": self.acked_by,
            "shelved_until": self.shelved_until_ms,
            "shelved_by": self.shelved_by,
            "shelved_why": self.shelved_why,
            "times": self.times,
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> AlarmRow:
        """The alarm whose ``as_json`` this is, as the running gateway answers. Raises KeyError."""
        return cls(
            id=facts["id"],
            source=facts["meter"] or "gateway",
            code=facts["code"],
            line=facts["line"],
            text=facts["text"],
            since_ms=facts["since"],
            raised_ms=facts["raised"],
            cleared_ms=facts["cleared"],
            acked_ms=facts["acknowledged"],
            acked_by=facts["acknowledged_by"],
            shelved_until_ms=facts["shelved_until"],
            shelved_by=facts["shelved_by"],
            shelved_why=facts["shelved_why"],
            times=facts["times"],
        )


class Alarms:
    """Alarms that are open or past."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def open(self) -> list[AlarmRow]:
        """Every alarm that is true, unacknowledged or shelved, in the order of ``rank``."""
        found = self._sql.all(f"SELECT {_COLUMNS} FROM alarms WHERE open = 1")
        return sorted((AlarmRow(*row) for row in found), key=lambda one: one.rank)

    def past(self, most: int) -> list[AlarmRow]:
        """The newest alarms, those that are over included, newest first."""
        return [
            AlarmRow(*row) for row in self._sql.all(f"SELECT {_COLUMNS} FROM alarms ORDER BY id DESC LIMIT ?", most)
        ]

    def last_id(self) -> int:
        """The highest number that was given to an alarm; 0 if there was none."""
        return self._sql.count("SELECT max(id) FROM alarms")

    def keep(self, alarms: Iterable[AlarmRow]) -> None:
        """Keep the states of some alarms. Call within ``transaction()``."""
        sql = f"INSERT OR REPLACE INTO alarms ({_COLUMNS}, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._sql.run_each(sql, ((*_values(one), one.open) for one in alarms))
        self._sql.run("DELETE FROM alarms WHERE id <= (SELECT max(id) FROM alarms) - ? AND open = 0", KEPT)


def _values(one: AlarmRow) -> tuple[object, ...]:
    return tuple(getattr(one, name) for name in _COLUMNS.split(", "))
