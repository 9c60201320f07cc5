"""Messages of the plain JSON feed: topics and bytes, with every recorded decimal. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from decimal import Decimal
from functools import lru_cache

from gateway.feeds.publisher import TOGETHER
from gateway.feeds.reading_message import FeedReading
from gateway.storage.alarm_tables import AlarmRow
from gateway.verdicts import verdict
from ledger_client.formats.checks import is_name
from ledger_client.formats.senml import Number, Value
from ledger_client.verification.value_words import quality_phrases

ROOT = "meterseal-feed/v1"


class Topics:
    """Where a gateway's feed publishes. Names hold no character that means something in a topic (shape.NAME)."""

    def __init__(self, gateway: str) -> None:
        self.base = f"{ROOT}/{gateway}"
        self.status = f"{self.base}/status"

    def meter(self, name: str) -> str:
        """The live readings of a meter; its newest message is retained."""
        return f"{self.base}/meters/{name}"

    def history(self, name: str) -> str:
        """Readings of a meter that could not be published live."""
        return f"{self.base}/history/{name}"

    def up(self, name: str) -> str:
        """Whether a meter answers; retained."""
        return f"{self.base}/up/{name}"

    def alarm(self, source: str, code: str) -> str:
        """An alarm of a meter or of ``gateway``, retained while it stands."""
        if not (is_name(source) and is_name(code)):
            raise ValueError(f"alarm {source!r} {code!r} is no topic")
        return f"{self.base}/alarms/{source}/{code}"


class FullMessages:
    """Messages with all that is known of each value, of several readings of one meter."""

    together = TOGETHER

    def __init__(self, points: Collection[str] = frozenset()) -> None:
        """``points``: those that are published, by their recorded names; none: all."""
        self._points = points

    def reloaded(self) -> None:
        """Take note that the site has other meters."""

    def message(self, items: Sequence[FeedReading]) -> bytes:
        """Some readings of one meter, oldest first, as one message."""
        return readings(items, self._points)


def readings(items: Sequence[FeedReading], points: Collection[str] = ()) -> bytes:
    """Some readings of one meter, oldest first, as one message. ``points``: of which there are values; none: of all."""
    return f'{{"v":1,"readings":[{",".join(_reading(item, points) for item in items)}]}}'.encode()


def status(*, online: bool, since_ms: int | None = None) -> bytes:
    """Whether the feed is connected; ``since_ms`` is missing in the last will, which is written beforehand."""
    fields = {"v": 1, "online": online}
    return json.dumps(fields if since_ms is None else fields | {"since": since_ms}, separators=(",", ":")).encode()


def alarm(active: Sequence[AlarmRow]) -> bytes:
    """The alarms of one source and code that stand: one, or one a line. Times in ms."""
    first = active[0]
    lines = [
        {"line": a.line, "since": a.since_ms, "text": a.text, "acknowledged": a.acked_ms, **a.message_fields}
        for a in active
    ]
    fields = {"v": 1, "source": first.source, "code": first.code, "standing": lines}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _reading(item: FeedReading, points: Collection[str]) -> str:
    found = item.reading.values if not points else [value for value in item.reading.values if value.name in points]
    head = f'"time":{item.reading.time_ms},"clock":"{item.clock}",{record_fields(item)}'
    return f'{{{head},"values":[{",".join(map(_value, found))}]}}'


def record_fields(item: FeedReading) -> str:
    """The record of a reading as fields of JSON, or why it has none."""
    why = "" if item.not_recorded is None else f',"not_recorded":{as_text(item.not_recorded)}'
    return f'"record":{as_text(item.record)}{why}'


def _value(value: Value) -> str:
    content = "" if value.value is None else f',"value":{content_of(value.value)}'
    return f'{{"name":{as_text(value.name)}{content},"unit":{as_text(value.unit)},"quality":{_quality(value.quality)}}}'


def content_of(value: Number | str | bool) -> str:
    """A value as JSON, with all of its decimals."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def as_text(text: str | None) -> str:
    """A text as JSON."""
    return json.dumps(text, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _quality(bits: int) -> str:
    facts = {"verdict": verdict(bits), "bits": int(bits), "words": list(quality_phrases(bits))}
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
