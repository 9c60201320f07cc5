"""Notification: one message to one receiver, in its language: title, text, and as plain data. Pure.

It is made of facts that are kept, so that a message which is tried again says the same, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.messages.alarm_kinds import SEVERITIES, Severity
from gateway.messages.languages import fix_in_language, in_language
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.notice_table import Change

FORMAT = 1
MOST_LISTED: Final = 50
"""Alarms that one message states; of more it states how many."""

Item = tuple[Change, AlarmRow]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message. ``items``: the worst raised ones first, then those that have cleared; empty: a test. ``digest``: it
    collects, since 20 messages have left within an hour."""

    gateway: str
    receiver: str
    language: str
    zone: ZoneInfo
    made_ms: int
    items: Sequence[Item] = ()
    id: str = ""
    digest: bool = False

    @property
    def severity(self) -> Severity:
        """That of the worst alarm that was raised; "notice" where none was."""
        found = [row.severity for change, row in self.items if change == "raised"]
        return min(found, key=SEVERITIES.index, default="notice")

    @property
    def raised(self) -> int:
        """How many alarms were raised."""
        return sum(change == "raised" for change, _ in self.items)

    @property
    def title(self) -> str:
        """One line."""
        return _line(in_language(self._title(), self.language))

    @property
    def text(self) -> str:
        """Several lines: of each alarm what it is, of what, since when, why, and what to do."""
        return "\n\n".join(self.paragraphs())

    def paragraphs(self) -> list[str]:
        """The text: one paragraph an alarm, and one of what else is to be known."""
        if not self.items:
            return [self._words(Message("notify-test-text", receiver=self.receiver, gateway=self.gateway))]
        found = [self._paragraph(*item) for item in self.items[:MOST_LISTED]]
        if (n := len(self.items) - MOST_LISTED) > 0:
            found.append(self.more(n))
        if self.digest:
            found.append(self._words(Message("notify-digest-text")))
        return found

    def more(self, n: int) -> str:
        """That there are so many more."""
        return self._words(Message("notify-more", n=n))

    def as_json(self) -> dict[str, Any]:
        """The same as plain data: codes, facts, and the sentences of the language."""
        return {
            "v": FORMAT,
            "id": self.id,
            "gateway": self.gateway,
            "receiver": self.receiver,
            "type": "digest" if self.digest else "alarms" if self.items else "test",
            "time": self.made_ms,
            "language": self.language,
            "title": self.title,
            "text": self.text,
            "alarms": [self._item(*item) for item in self.items[:MOST_LISTED]],
            "left_out": max(0, len(self.items) - MOST_LISTED),
        }

    def encode(self) -> bytes:
        """The JSON of that."""
        return json.dumps(self.as_json(), ensure_ascii=False, separators=(",", ":")).encode()

    def _words(self, message: Message) -> str:
        return in_language(message, self.language)

    def _title(self) -> Message:
        if not self.items:
            return Message("notify-title-test", gateway=self.gateway)
        change, first = self.items[0]
        gateway, code, raised = self.gateway, first.code, self.raised
        of = first.line if first.source == GATEWAY else first.source
        if change == "cleared":
            if len(self.items) == 1:
                return Message("notify-title-cleared", gateway=gateway, kind=code, of=of)
            return Message("notify-title-cleared-more", gateway=gateway, kind=code, of=of, n=len(self.items) - 1)
        severity = first.severity
        if raised == 1:
            return Message("notify-title-raised", gateway=gateway, severity=severity, kind=code, of=of)
        n = raised - 1
        return Message("notify-title-raised-more", gateway=gateway, severity=severity, kind=code, of=of, n=n)

    def _paragraph(self, change: Change, row: AlarmRow) -> str:
        code, of, since = row.code, _of(row), self._at(row.since_ms)
        head = Message("notify-alarm-raised", severity=row.severity, kind=code, of=of, since=since)
        if row.cleared_ms is not None:
            cleared = self._at(row.cleared_ms)
            head = Message("notify-alarm-cleared", kind=code, of=of, since=since, cleared=cleared)
        lines = [in_language(head, self.language), in_language(row.sentence, self.language)]
        if (
            change == "raised"
            and row.cleared_ms is None
            and (advice := fix_in_language(row.with_advice, self.language))
        ):
            lines.append(self._words(Message("notify-advice", advice=advice)))
        return "\n".join(map(_line, lines))

    def _at(self, time_ms: int) -> str:
        """A time as the site's clocks show it, with the distance from UTC."""
        return datetime.fromtimestamp(time_ms // 1000, self.zone).isoformat(" ")

    def _item(self, change: Change, row: AlarmRow) -> dict[str, Any]:
        sentences = {
            "title": self._words(Message("notify-kind", kind=row.code)),
            "text": in_language(row.sentence, self.language),
            "advice": fix_in_language(row.with_advice, self.language),
        }
        return {"change": change, **row.as_json(), **sentences}


def notification_id(gateway: str, receiver: str, items: Sequence[Item]) -> str:
    """The id of a message: the same for the same changes of the same alarms, whichever process makes it."""
    changes = sorted([row.id, row.raised_ms, change] for change, row in items)
    return hashlib.sha256(json.dumps([gateway, receiver, changes]).encode()).hexdigest()[:32]


def in_order(items: Sequence[Item]) -> list[Item]:
    """Those that were raised first, the worst before others; an alarm that has cleared meanwhile once, as that."""
    over = {(row.id, row.raised_ms) for change, row in items if change == "cleared"}
    wanted = [(change, row) for change, row in items if change == "cleared" or (row.id, row.raised_ms) not in over]
    return sorted(
        wanted, key=lambda item: (item[0] == "cleared", SEVERITIES.index(item[1].severity), item[1].raised_ms)
    )


def _of(row: AlarmRow) -> str:
    return row.line if row.source == GATEWAY else f"{row.source}, {row.line}"


def _line(text: str) -> str:
    """Without anything that could begin another line or header: what a device or a network says may be in it."""
    return "".join(c if c.isprintable() else " " for c in text)
