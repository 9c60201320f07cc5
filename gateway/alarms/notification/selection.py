"""Selection: which alarms one receiver is to be notified of, and when each is due. Pure.

An alarm is due when it has been raised for ``after``: if it still is, is not shelved, and, for an escalation, nobody
has acknowledged it. With the first one that is due go those raised up to 30 s behind it. An alarm that is raised again
is due again. What only happens and does not last (``EVENT_CODES``) is due although it has cleared. Times are record
times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from gateway.config.notify import NOTIFY, NotifyEntry
from gateway.messages.alarm_kinds import EVENT_CODES, SEVERITIES, AlarmCode
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.notice_table import Change, Key, Notice

TOGETHER_MS: Final = 30_000
RECENT_MS: Final = 86_400_000
"""Of before a start, what happened and is over is due only when it is so young."""


class Selection:
    """For one receiver. ``noted``: whether it has a notice of this already."""

    def __init__(self, entry: NotifyEntry, noted: Callable[[Key], bool]) -> None:
        self._entry, self._noted = entry, noted
        self._worst = SEVERITIES[: SEVERITIES.index(entry.min_severity) + 1]
        self._watched: dict[int, AlarmRow] = {}
        """By number: alarms that may become due."""

    def begin(self, rows: Iterable[AlarmRow], now_ms: int) -> list[Notice]:
        """Take over the alarms that are open at a start; gives what is due at once. Of those that are over, only what
        the receiver knows as raised has cleared for it."""
        found = list[Notice]()
        for row in rows:
            recent = row.raised_ms > now_ms - self._entry.after - RECENT_MS
            if row.code in EVENT_CODES and recent and self._wanted(row) and not self._noted(_key(row, "raised")):
                self._watched[row.id] = row
            found += self.hear(row)
        return found

    def hear(self, row: AlarmRow) -> list[Notice]:
        """Take a change of an alarm; gives what is due at once: a clearing."""
        if not self._wanted(row):
            return []
        watched = self._watched.get(row.id)
        if self._noted(_key(row, "raised")):
            return self._cleared(row)
        if row.active or (watched is not None and row.code in EVENT_CODES):
            self._watched[row.id] = row
        elif watched is not None:
            del self._watched[row.id]
            if self._eligible(watched) and (row.cleared_ms or 0) >= watched.raised_ms + self._entry.after:
                return [Notice(self._entry.name, "raised", row), *self._cleared(row)]  # it was due before it cleared
        return []

    def due(self, now_ms: int) -> list[Notice]:
        """What is due now, each once; to be asked again until it is nothing."""
        first_ms = self._first_ms()
        if first_ms is None or first_ms + self._entry.after > now_ms:
            return []
        due = [r for r in self._watched.values() if self._eligible(r) and r.raised_ms <= first_ms + TOGETHER_MS]
        for row in due:
            del self._watched[row.id]
        return [Notice(self._entry.name, "raised", row) for row in due]

    @property
    def next_ms(self) -> int | None:
        """When the next alarm is due; None while none can be."""
        first_ms = self._first_ms()
        return None if first_ms is None else first_ms + self._entry.after

    def _first_ms(self) -> int | None:
        return min((row.raised_ms for row in self._watched.values() if self._eligible(row)), default=None)

    def _wanted(self, row: AlarmRow) -> bool:
        """Whether the receiver is to be notified of alarms of this kind: never of its own failing."""
        of_itself = row.code == AlarmCode.NOTIFY_FAILING and row.line == NOTIFY + self._entry.name
        return row.severity in self._worst and not of_itself

    def _eligible(self, row: AlarmRow) -> bool:
        return not row.shelved and not (self._entry.unacknowledged and row.acknowledged)

    def _cleared(self, row: AlarmRow) -> list[Notice]:
        if row.active or row.shelved or not self._entry.cleared or row.code in EVENT_CODES:
            return []
        return [] if self._noted(_key(row, "cleared")) else [Notice(self._entry.name, "cleared", row)]


def _key(row: AlarmRow, change: Change) -> Key:
    return row.id, row.raised_ms, change
