"""Field types of gateway.toml: names, durations, sizes, ratios, hosts, and the base model of its tables."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, PlainValidator

from gateway.messages.message import Message
from ledger_client import message_formats, text_file
from ledger_client.formats.checks import NAME
from ledger_client.messages import Sentence, sentence_of

_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|kB|MB|GB|TB)")
_UNIT_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
MAX_SIZE_TB = 1_000_000
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


_LIKE_DURATION = re.compile(r"(\d+) *([a-z]+)")
_MEANT = {
    "y": (365, "d"), "w": (7, "d"), "mo": (30, "d"), "ms": (1, "ms"), "mil": (1, "ms"), "d": (1, "d"), "h": (1, "h"),
    "m": (1, "m"), "s": (1, "s"),
}  # fmt: skip
"""Beginnings of words for units that people write, and what they are here."""


class Unfit(ValueError):
    """A value that cannot be. ``key``: which it is about, within the table."""

    def __init__(self, sentence: Sentence, *, key: str = "") -> None:
        super().__init__(sentence)
        self.sentence, self.key = sentence, key

    def __str__(self) -> str:
        return str(self.sentence)


def duration_ms(text: object) -> int:
    """``"10s"`` → 10000. Units ms, s, m or min, h, d; anything else is a ValueError that shows the form."""
    try:
        return text_file.duration_ms(text)
    except text_file.NoDuration as error:
        raise _no_duration(text, sentence_of(error)) from None


def _no_duration(text: object, rule: Sentence) -> ValueError:
    """In words, with the duration that was meant where that is plain: "1y" is "365d"."""
    match = _LIKE_DURATION.fullmatch(text.lower()) if isinstance(text, str) else None
    meant = next((unit for start, unit in _MEANT.items() if match and match[2].startswith(start)), None)
    if match is None or meant is None:
        return Unfit(rule)
    count, unit = meant
    duration = f"{int(match[1]) * count}{unit}"
    return Unfit(Message("duration-meant", rule=rule, duration=duration))


def duration_text(ms: int) -> str:
    """The same the other way round, in the largest unit that gives a whole number: 10000 → ``10s``."""
    return message_formats.setting(ms)


def size_bytes(text: object) -> int:
    """``"8GB"`` → 8,000,000,000. Units B, kB, MB, GB, TB (powers of 1000); anything else is a ValueError."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Unfit(Message("value-size"))
    value = int(Decimal(match[1]) * _UNIT_BYTES[match[2]])
    if value <= 0:
        raise Unfit(Message("value-above-0"))
    if value > MAX_SIZE_TB * _UNIT_BYTES["TB"]:
        raise Unfit(Message("value-size-most", limit=MAX_SIZE_TB))
    return value


def transformer_ratio(value: object) -> Decimal | Fraction:
    """``40``, ``2.5`` or ``"200/5"``, above 0; anything else is a ValueError that shows the form."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,18})/(\d{1,18})", value)) and int(found[2]):
        ratio: Decimal | Fraction = Fraction(int(found[1]), int(found[2]))
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool) and Decimal(str(value)).is_finite():
        ratio = Decimal(str(value))
    else:
        raise Unfit(Message("value-ratio"))
    if ratio <= 0:
        raise Unfit(Message("value-ratio"))
    return ratio


TransformerRatio = Annotated[Decimal | Fraction, PlainValidator(transformer_ratio), PlainSerializer(str)]

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?[.]?")


def host_name(text: str) -> str:
    """A host's name or IP address, nothing else; a ValueError says what it holds besides."""
    with suppress(ValueError):
        return str(ipaddress.ip_address(text.strip("[]")))
    if "://" in text:
        raise Unfit(Message("host-is-url", text=text))
    name, colon, port = text.rpartition(":")
    if colon and port.isdecimal():
        raise Unfit(Message("host-has-port", text=text, name=name, port=port))
    if not _HOST.fullmatch(text):
        raise Unfit(Message("host-invalid", text=text))
    return text


Host = Annotated[str, AfterValidator(host_name)]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
DurationMs = Annotated[int, BeforeValidator(duration_ms)]
SizeBytes = Annotated[int, BeforeValidator(size_bytes)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
