"""Site location in gateway.toml: time zone, latitude and longitude, hours of the day."""

from __future__ import annotations

import difflib
import re
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, Field

from gateway.field_types import Unfit
from gateway.messages.message import Message

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def time_zone(name: str) -> str:
    """An IANA name that this machine, or the tzdata package, knows; anything else is a ValueError with the closest."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as "Europe"
        close = _closest_zone(name)
        if close:
            raise Unfit(Message("time-zone-unknown-meant", name=name, other=close)) from None
        raise Unfit(Message("time-zone-unknown", name=name)) from None
    return name


def _closest_zone(name: str) -> str | None:
    """By the whole name, or by its last part: people write "berlin" or "Berlin"."""
    wanted, known = name.lower().replace(" ", "_"), sorted(available_timezones())
    by_city = {zone.rpartition("/")[2].lower(): zone for zone in reversed(known)}
    whole = {zone.lower(): zone for zone in known}
    for names in (whole, by_city):
        if close := difflib.get_close_matches(wanted, names, n=1, cutoff=0.8):
            return names[close[0]]
    return None


def daily_hours(text: object) -> tuple[int, int]:
    """``"20:00-06:00"`` → (1200, 360): the minutes of the local day at which they begin and end; the end is not in them
    and may lie on the next day. Anything else is a ValueError that shows the form."""
    match = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Unfit(Message("hours-form"))
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if begin == end:
        raise Unfit(Message("hours-equal", time=str(text)[:5]))
    return begin, end


def _as_written(text: str) -> str:
    daily_hours(text)
    return text


TimeZone = Annotated[str, AfterValidator(time_zone)]
DailyHours = Annotated[str, AfterValidator(_as_written)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False, strict=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False, strict=False)]
