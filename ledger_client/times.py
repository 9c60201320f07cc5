"""Times and spans as text: RFC 3339 in UTC, and durations in words. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def rfc3339(seconds: int) -> str:
    """A time in Unix seconds as RFC 3339 text in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_ms(ms: int) -> str:
    """A time in Unix milliseconds as RFC 3339 text in UTC."""
    return f"{rfc3339(ms // 1000)[:-1]}.{ms % 1000:03d}Z"


def span_in_words(ms: int) -> str:
    """A time between two moments, to a tenth of a second, or in the two units that tell most: ``300 d 2 h``."""
    sign, rest = "-" if ms < 0 else "", abs(ms)
    if rest < 60_000:
        return f"{sign}{rest / 1000:.1f} s"
    for unit_ms, unit, less_ms, less in ((86_400_000, "d", 3_600_000, "h"), (3_600_000, "h", 60_000, "min")):
        if rest >= unit_ms:
            return f"{sign}{rest // unit_ms} {unit} {rest % unit_ms // less_ms} {less}"
    return f"{sign}{rest // 60_000} min {rest % 60_000 // 1000} s"
