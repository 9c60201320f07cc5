"""Moments and periods as people write them: RFC 3339 times, and months of a plan's civil time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.accounting.formats.civil_time import named_month, named_period


def moment_ms(text: str, zone: tzinfo) -> int:
    """A time such as ``2026-10-03T14:05:00+08:00`` in ms; without an offset it is one of ``zone``. Raises
    GatewayError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise GatewayError(Message("time-unreadable", text=text)) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=zone)
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def period_ms(text: str, civil_min: int) -> tuple[int, int]:
    """``2026-10``, or two times with a slash between, as from and to in ms. Raises GatewayError."""
    if (month := named_month(text, civil_min)) is not None:
        return month
    begin, slash, end = text.partition("/")
    if not slash:
        raise GatewayError(Message("period-unreadable", text=text))
    zone = timezone(timedelta(minutes=civil_min))
    return moment_ms(begin, zone), moment_ms(end, zone)


def span_ms(text: str, civil_min: int) -> tuple[int, int]:
    """``2026``, ``2026-10``, or two times with a slash between, as from and to in ms. Raises GatewayError."""
    return named_period(text, civil_min) or period_ms(text, civil_min)
