"""Messages of the plain JSON feed: topics and bytes, with every recorded decimal. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

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

    def alarm(self, source: str, code: str) -> str:
        """An alarm of a meter or of ``gateway``, retained while it stands."""
        if not (is_name(source) and is_name(code)):
            raise ValueError(f"alarm {source!r} {code!r} is no topic")
        return f"{self.base}/alarms/{source}/{code}"


def readings(items: Sequence[FeedReading]) -> bytes:
    """Some readings of one meter, oldest first, as one message."""
    return f'{{"v":1,"readings":[{",".join(map(_reading, items))}]}}'.encode()


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


def _reading(item: FeedReading) -> str:
    why = "" if item.not_recorded is None else f',"not_recorded":{_text(item.not_recorded)}'
    record = "null" if item.record is None else _text(item.record)
    values = ",".join(map(_value, item.reading.values))
    head = f'"time":{item.reading.time_ms},"clock":"{item.clock}","record":{record}{why}'
    return f'{{{head},"values":[{values}]}}'


def _value(value: Value) -> str:
    content = "" if value.value is None else f',"value":{_content(value.value)}'
    return f'{{"name":{_text(value.name)}{content},"unit":{_text(value.unit)},"quality":{_quality(value.quality)}}}'


def _content(value: Number | str | bool) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _text(text: str | None) -> str:
    return json.dumps(text, ensure_ascii=False)


@lru_cache(maxsize=4096)
def _quality(bits: int) -> str:
    facts = {"verdict": verdict(bits), "bits": int(bits), "words": list(quality_phrases(bits))}
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
