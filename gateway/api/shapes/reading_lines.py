"""Recorded readings as lines, one a value, and how their values and times are written. Pure."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.verdicts import Verdict, verdict
from ledger_client.times import rfc3339_ms
from ledger_client.verification.value_words import quality_phrases


class Line(NamedTuple):
    """One value of one reading. ``value`` with the decimals that were recorded, None where there is none; ``bits`` are
    the quality bits, ``words`` what they say, ``clock`` is the letter of the gateway's clock (U, I, S or R), ``""``
    where it is not known."""

    time_ms: int
    meter: str
    point: str
    value: Any
    unit: str | None
    quality: str
    bits: int
    words: str
    record: str
    clock: str


COLUMNS = ("time", *Line._fields[1:])


class ReadingLines(NamedTuple):
    """One reading: its time, meter, record and clock ("": there is none), and the values that are wanted of it. A value
    read at another time has that in its line."""

    time_ms: int
    meter: str
    record: str
    clock: str
    values: list[Line]
    state: str = ""
    """What became of its record, where that is known."""


@lru_cache(4096)
def quality_of(bits: int) -> tuple[Verdict, int, str]:
    """The verdict on a value with these quality bits, the bits, and what they say."""
    return verdict(bits), bits, "; ".join(quality_phrases(bits))


def text(value: Any) -> str:
    """A value with exactly the decimals that were recorded; of yes and no ``true`` and ``false``."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value if isinstance(value, str) else repr(value)


time_text = lru_cache(64)(rfc3339_ms)
"""A time as it is written in a line."""
