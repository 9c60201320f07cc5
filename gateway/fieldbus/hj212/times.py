"""Times of HJ 212 messages: DataTime, local time of the station's place, as Unix ms. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

_DATA_TIME = re.compile(r"[0-9]{14}")


def label_ms(text: str, zone: tzinfo) -> int | None:
    """The moment that a DataTime names (YYYYMMDDhhmmss); None: it names none.

    Of an hour that a change of the clocks repeats, the first.
    """
    if _DATA_TIME.fullmatch(text) is None:
        return None
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=zone)
        seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return 1000 * seconds if seconds >= 0 else None
