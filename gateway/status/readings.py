"""Recorded readings as values: content, quality in words, and the record that proves them. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.devices.points import Point, Profile
from gateway.errors import Damaged
from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.verdicts import verdict
from ledger_client.errors import LedgerClientError
from ledger_client.formats.record import Body, parse_record
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.messages import sentence_of
from ledger_client.verification.value_words import number_text, quality_phrases


@dataclass(frozen=True, slots=True)
class ReadingValue:
    """One value of one reading, with the record that proves it. ``time_ms``: of the reading."""

    time_ms: int
    meter: str
    value: Value
    record: str

    @property
    def verdict(self) -> str:
        """good, uncertain, substituted, bad or missing."""
        return verdict(Quality(self.value.quality))

    @property
    def quality(self) -> str:
        """The verdict, and why it is not good."""
        reasons = ", ".join(quality_phrases(self.value.quality))
        return f"{self.verdict}: {reasons}" if reasons else self.verdict

    def beside(self, common: int) -> str:
        """The quality without the bits that all values of the reading have, which are printed below them."""
        if not common:
            return self.quality
        bits = self.value.quality & ~common
        return f"{verdict(bits)}: {', '.join(quality_phrases(bits))}" if bits else ""

    def symbol(self, points: Mapping[str, Point]) -> str:
        """What the profile's points call a status; "" where it has no name."""
        point = points.get(self.value.name)
        return point.symbol(self.value.value) if point else ""

    def named(self, points: Mapping[str, Point]) -> str:
        """The value for people, a status with what it is called."""
        symbol = self.symbol(points)
        return f"{self.text} ({symbol})" if symbol else self.text

    @property
    def text(self) -> str:
        """The value for people: of a float seven significant digits, as much as a 32-bit register holds."""
        value = self.value.value
        return "—" if value is None else f"{value:.7g}" if isinstance(value, float) else number_text(value)

    def as_json(self) -> dict[str, Any]:
        """Plain data; numbers with all their decimals, as text where JSON's own would round."""
        value = self.value.value
        return {
            "time": self.time_ms + self.value.offset_ms,
            "meter": self.meter,
            "name": self.value.name,
            "value": value if isinstance(value, int | float | str) or value is None else number_text(value),
            "unit": self.value.unit,
            "quality": {
                "verdict": self.verdict,
                "bits": int(self.value.quality),
                "words": list(quality_phrases(self.value.quality)),
            },
            "record": self.record,
        }


def parsed_body(row: StoredRecord) -> Body:
    """The body of a stored record, parsed strictly. Raises Damaged."""
    try:
        return parse_record(row.data).body
    except LedgerClientError as error:
        raise Damaged(Message("record-invalid", record=row.id, why=sentence_of(error))) from None


def reading_values(reading: Reading, meter: str, record: str) -> list[ReadingValue]:
    """The values of one reading."""
    return [ReadingValue(reading.time_ms, meter, value, record) for value in reading.values]


def recorded_values(rows: Sequence[StoredRecord]) -> list[ReadingValue]:
    """Every value of some recorded readings, in order. Raises Damaged."""
    values = []
    for row in rows:
        body = parsed_body(row)
        if isinstance(body, Reading):
            values += reading_values(body, row.meter, row.id)
    return values


def points_of(profile: Profile | None) -> dict[str, Point]:
    """The points of a profile by name."""
    return {point.name: point for point in profile.points} if profile else {}
