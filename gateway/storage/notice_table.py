"""Notice table: which change of which alarm is to be notified to whom, in which message, and what became of it.

Not evidence. A row is there from the moment at which the change is due, so that no restart forgets it, and stays while
its alarm is open, so that none notifies of it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.storage.alarm_tables import AlarmRow, Alarms
from gateway.storage.rows import Connection

Change = Literal["raised", "cleared"]
Outcome = Literal["sent", "given-up"]
Key = tuple[int, int, Change]
"""Of one receiver: the alarm, when it was raised, and what happened."""

KEPT_MS: Final = 30 * 86_400_000
"""How long a row is kept whose alarm is no longer open."""
_COLUMNS: Final = "receiver, alarm, raised_ms, change, data, message, made_ms, digest, done_ms, outcome"

_FIELDS: Final = 10


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of one alarm for one receiver. ``row``: the alarm as the message states it. ``message``: the id of the
    message that it is in, made at ``made_ms``; None: in none yet. ``digest``, ``done_ms``, ``outcome``: of that."""

    receiver: str
    change: Change
    row: AlarmRow
    message: str | None = None
    made_ms: int | None = None
    digest: bool = False
    done_ms: int | None = None
    outcome: Outcome | None = None

    @property
    def key(self) -> Key:
        """What identifies it among those of its receiver."""
        return self.row.id, self.row.raised_ms, self.change


class Notices:
    """What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection, alarms: Alarms) -> None:
        self._sql, self._alarms = sql, alarms

    def of(self, receiver: str, since_ms: int) -> list[Notice]:
        """The notices of a receiver that are not done, that were put into a message since then, that are of an open
        alarm, or of one whose clearing has no notice yet."""
        sql = (
            f"SELECT {_COLUMNS} FROM notices AS one WHERE receiver = ? AND (done_ms IS NULL OR made_ms >= ? "
            "OR alarm IN (SELECT id FROM alarms WHERE open = 1) OR NOT EXISTS (SELECT 1 FROM notices AS other WHERE "
            "other.receiver = one.receiver AND other.alarm = one.alarm AND other.raised_ms = one.raised_ms "
            "AND other.change = 'cleared')) ORDER BY made_ms, alarm, raised_ms, change DESC"
        )
        return [
            Notice(name, change, AlarmRow.from_json(json.loads(data)), message, made_ms, bool(digest), *done)
            for name, _, _, change, data, message, made_ms, digest, *done in self._sql.all(sql, receiver, since_ms)
        ]

    def alarms_of(self, notices: Iterable[Notice]) -> Sequence[AlarmRow]:
        """The alarms of these notices as they are now, as far as they are kept."""
        return self._alarms.by_id({one.row.id for one in notices})

    def keep(self, notices: Iterable[Notice], now_ms: int) -> None:
        """Keep the states of some notices, and forget those of long ago."""
        sql = f"INSERT OR REPLACE INTO notices ({_COLUMNS}) VALUES ({', '.join('?' * _FIELDS)})"
        self._sql.run_each(sql, map(_values, notices))
        sql = "DELETE FROM notices WHERE done_ms < ? AND alarm NOT IN (SELECT id FROM alarms WHERE open = 1)"
        self._sql.run(sql, now_ms - KEPT_MS)


def _values(one: Notice) -> tuple[object, ...]:
    data = json.dumps(one.row.as_json(), ensure_ascii=False, separators=(",", ":"))
    return (
        one.receiver, one.row.id, one.row.raised_ms, one.change, data, one.message, one.made_ms, one.digest,
        one.done_ms, one.outcome,
    )  # fmt: skip
