"""Commissioning record as rows for people: what the command, the printed page and the dashboard show of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import NamedTuple

from gateway.commissioning.record.content import CommissioningRecord, Comparison, Setting, Shown
from gateway.commissioning.record.words import Words
from ledger_client.verification.value_words import number_text


class Row(NamedTuple):
    """One fact of a record: its key, what it is called, and what it is, line by line. ``exact``: letter by letter."""

    key: str
    label: str
    lines: tuple[str, ...]
    exact: bool = False


class ComparedRow(NamedTuple):
    """One comparison: point, value over the wire, what the display showed, the verdict and its word, when, and the
    frames in hexadecimal ("" where there are none)."""

    point: str
    read: str
    display: str
    verdict: str
    sentence: str
    time: str
    request: str
    answer: str


def moment(time_ms: int, zone: tzinfo) -> str:
    """A moment by the clocks of a zone, with its offset from UTC."""
    text = f"{datetime.fromtimestamp(time_ms / 1000, zone):%Y-%m-%d %H:%M:%S %z}"
    return f"{text[:-2]}:{text[-2:]}"


def rows(record: CommissioningRecord, words: Words, zone: tzinfo, device: str = "") -> list[Row]:
    """The facts of a record but its comparisons. ``device``: what the profile says of it, where that is known."""
    found = [
        Row("meter", words("row.meter"), (record.meter,)),
        *([Row("device", words("row.device"), (device,))] if device else []),
        Row("identity", words("row.identity"), (record.identity or words("row.identity-none"),)),
        Row("plate", words("row.plate"), (record.plate_serial or "—",)),
        Row("position", words("row.position"), (record.position or "—",)),
        Row("role", words("row.role"), (words.of("role", record.role),)),
        Row("ratios", words("row.ratios"), tuple(_pairs(record.ratios)) or (words("row.ratios-none"),)),
        Row("seals", words("row.seals"), (", ".join(record.seals) or words("row.none"),)),
        Row("by", words("row.by"), (record.by,)),
        Row("at", words("row.at"), (moment(record.at_ms, zone),)),
        Row("direction", words("row.direction"), tuple(_direction(record, words))),
        Row("settings", words("row.settings"), (", ".join(_pairs(record.settings)),)),
        Row("profile", words("row.profile"), (record.profile,)),
        Row("profile-hash", words("row.profile-hash"), (record.profile_hash.hex(),), exact=True),
        Row("photos", words("row.photos"), tuple(_photos(record, words)) or (words("row.none"),), exact=True),
        Row("remarks", words("row.remarks"), tuple(record.remarks.split("\n")) if record.remarks else ("—",)),
    ]
    return found


def compared(record: CommissioningRecord, words: Words, zone: tzinfo) -> list[ComparedRow]:
    """The comparisons of a record."""
    return [_compared(each, words, zone) for each in record.comparisons]


def _compared(each: Comparison, words: Words, zone: tzinfo) -> ComparedRow:
    return ComparedRow(
        each.point,
        f"{plain(each.value)} {each.unit}".strip(),
        each.display,
        each.verdict,
        words(f"compared.{each.verdict}"),
        moment(each.at_ms, zone),
        each.request.hex(" "),
        each.answer.hex(" "),
    )


def plain(value: Shown, digits: int = 7) -> str:
    """A value without an exponent; of a float so many significant digits, seven being what a 32-bit register holds."""
    return number_text(Decimal(f"{value:.{digits}g}") if isinstance(value, float) else value)


def _direction(record: CommissioningRecord, words: Words) -> Iterator[str]:
    yield words("row.direction-reversed") if record.reversed else words("row.direction-normal")
    if record.reversed_phase:
        yield words("row.direction-phase", why=record.reversed_phase)


def _pairs(facts: Mapping[str, Setting]) -> Iterator[str]:
    for key, value in facts.items():
        yield f"{key} {number_text(value)}"


def _photos(record: CommissioningRecord, words: Words) -> Iterator[str]:
    for photo in record.photos:
        yield words("row.photo", name=photo.name, size=photo.size, sha256=photo.sha256.hex())
