"""Alarm tables: active, acknowledged and shelved alarms. Not evidence; the signed events are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.messages.alarm_kinds import KINDS, SEVERITIES, Severity, kind_of
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.storage.rows import Connection, message_column, message_in
from ledger_client.messages import Sentence

KEPT = 10_000
"""Alarms that are over and kept at most; older ones are forgotten."""
_COLUMNS = (
    "id, source, code, line, text, since_ms, raised_ms, cleared_ms, acked_ms, acked_by, shelved_until_ms, shelved_by, "
    "shelved_why, times, acked_note, message"
)
_FIELDS = 16


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm that was raised. Times are record times in ms, None where that has not happened.

    ``source``: the meter, or "gateway". ``since_ms``: since when its condition is true. ``cleared_ms`` None: active.
    ``acked_by`` None beside ``acked_ms``: acknowledged by the gateway itself, as a group alarm has taken its place;
    ``acked_note``: what the user wrote to it.
    ``times``: how often it was raised since it was last acknowledged. ``text`` is English; ``message``: the same where
    it is one.
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
    acked_note: str | None = None
    message: Message | None = None

    @property
    def sentence(self) -> Sentence:
        """The message, or the text."""
        return self.message or self.text

    @property
    def with_advice(self) -> Sentence:
        """The message with what to do about it: its own fix, else that of its kind. A text alone has its fix in it."""
        if self.message is None or self.message.way_out or self.code not in KINDS:
            return self.sentence
        return Message("alarm-advised", what=self.message, kind=kind_of(self.code).message)

    @property
    def stored(self) -> Stored:
        """The text in every language."""
        return Stored(self.text, self.message)

    @property
    def message_fields(self) -> dict[str, Any]:
        """The message as it stands beside the text: ``message``, ``facts``; ``{}`` for a text alone."""
        return self.message.to_fields() if self.message else {}

    def saying(self, sentence: Sentence) -> AlarmRow:
        """The same with another text."""
        return replace(self, text=str(sentence), message=sentence if isinstance(sentence, Message) else None)

    @property
    def severity(self) -> Severity:
        """critical, error, warning or notice."""
        return kind_of(self.code).severity

    @property
    def active(self) -> bool:
        """Raised and not cleared."""
        return self.cleared_ms is None

    @property
    def shelved(self) -> bool:
        """Kept out of the list by a user, for a time."""
        return self.shelved_until_ms is not None

    @property
    def acknowledged(self) -> bool:
        """Acknowledged since it was last raised, by a user or the gateway itself."""
        return self.acked_ms is not None

    @property
    def active_unacknowledged(self) -> bool:
        """Active, neither acknowledged nor shelved."""
        return self.active and self.acked_ms is None and not self.shelved

    @property
    def open(self) -> bool:
        """Active, unacknowledged or shelved: not back to normal."""
        return self.active or self.acked_ms is None or self.shelved

    @property
    def rank(self) -> tuple[int, int, int, int]:
        """Sort key of a list: unacknowledged alarms first, then active ones, the most serious, the newest."""
        return self.acknowledged, not self.active, SEVERITIES.index(self.severity), -self.raised_ms

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
            "acknowledged_note": self.acked_note,
            "shelved_until": self.shelved_until_ms,
            "shelved_by": self.shelved_by,
            "shelved_why": self.shelved_why,
            "times": self.times,
            **self.message_fields,
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
            acked_note=facts["acknowledged_note"],
            shelved_until_ms=facts["shelved_until"],
            shelved_by=facts["shelved_by"],
            shelved_why=facts["shelved_why"],
            times=facts["times"],
            message=Message.from_fields(facts),
        )


class Alarms:
    """Alarms that are open or past."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def open(self) -> list[AlarmRow]:
        """Every alarm that is true, unacknowledged or shelved, in the order of ``rank``."""
        found = self._sql.all(f"SELECT {_COLUMNS} FROM alarms WHERE open = 1")
        return sorted((_row(values) for values in found), key=lambda one: one.rank)

    def past(self, most: int) -> list[AlarmRow]:
        """The newest alarms, those that are over included, newest first."""
        found = self._sql.all(f"SELECT {_COLUMNS} FROM alarms ORDER BY id DESC LIMIT ?", most)
        return [_row(values) for values in found]

    def before(self, number: int | None, most: int, source: str | None = None) -> list[AlarmRow]:
        """The newest alarms (of those in front of a number, of one source), those that are over included, newest
        first."""
        where, values = ("AND source = ?", (source,)) if source else ("", ())
        sql = f"SELECT {_COLUMNS} FROM alarms WHERE id < ? {where} ORDER BY id DESC LIMIT ?"
        found = self._sql.all(sql, 1 << 62 if number is None else number, *values, most)
        return [_row(row) for row in found]

    def by_id(self, numbers: Collection[int]) -> list[AlarmRow]:
        """The alarms of these numbers that are kept."""
        sql = f"SELECT {_COLUMNS} FROM alarms WHERE id = ?"
        return [_row(values) for number in sorted(numbers) for values in self._sql.all(sql, number)]

    def last_id(self) -> int:
        """The highest number that was given to an alarm; 0 if there was none."""
        return self._sql.count("SELECT max(id) FROM alarms")

    def keep(self, alarms: Iterable[AlarmRow]) -> None:
        """Keep the states of some alarms. Call within ``transaction()``."""
        sql = f"INSERT OR REPLACE INTO alarms ({_COLUMNS}, open) VALUES ({', '.join('?' * _FIELDS)}, ?)"
        self._sql.run_each(sql, ((*_values(one), one.open) for one in alarms))
        self._sql.run("DELETE FROM alarms WHERE id <= (SELECT max(id) FROM alarms) - ? AND open = 0", KEPT)


def _row(values: tuple[Any, ...]) -> AlarmRow:
    return AlarmRow(*(*values[:-1], message_in(values[-1])))


def _values(one: AlarmRow) -> tuple[object, ...]:
    return *(getattr(one, name) for name in _COLUMNS.split(", ")[:-1]), message_column(one.message)
