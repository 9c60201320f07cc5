"""Amounts as the balance page writes them: exact, in kWh and kg; shares cut off, never rounded up. Pure."""

from __future__ import annotations

from typing import Final

from ledger_client.accounting.formats.civil_time import civil

_MICRO: Final = 6
"""Places of kWh in thousandths of a Wh."""
_MILLI: Final = 3
"""Places of kg in grams."""


def kwh(milli: int) -> str:
    """Thousandths of a Wh as kWh, exactly, with three places or more."""
    return _decimal(milli, _MICRO)


def kg(grams: int) -> str:
    """Grams as kg, exactly."""
    return _decimal(grams, _MILLI)


def percent(part: int, whole: int) -> str:
    """A share in percent, cut off behind two places; — of nothing."""
    if whole <= 0:
        return "—"
    hundredths = part * 10_000 // whole
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def day(time_ms: int, civil_min: int) -> str:
    """A civil date."""
    return f"{civil(time_ms, civil_min):%Y-%m-%d}"


def month(time_ms: int, civil_min: int) -> str:
    """A civil month."""
    return f"{civil(time_ms, civil_min):%Y-%m}"


def moment(time_ms: int, civil_min: int) -> str:
    """A civil date and time of the day."""
    return f"{civil(time_ms, civil_min):%Y-%m-%d %H:%M}"


def _decimal(amount: int, places: int) -> str:
    above, below = divmod(abs(amount), 10**places)
    behind = f"{below:0{places}d}".rstrip("0").ljust(3, "0")
    return f"{'−' if amount < 0 else ''}{above:,}.{behind}"
