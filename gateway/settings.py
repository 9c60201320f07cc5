"""The words that every table of gateway.toml is written in: names, durations, sizes, models that know their keys."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ledger_client.shape import NAME

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|kB|MB|GB|TB)")
_UNIT_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def duration_ms(text: object) -> int:
    """``"10s"`` → 10000. Units ms, s, m or min, h, d; anything else is a ValueError that shows the form."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('must be a duration in quotes such as "500ms", "10s", "15m", "1h"')
    value = Decimal(match[1]) * _UNIT_MS[match[2]]
    if value != int(value) or value <= 0:
        raise ValueError("must be a whole number of milliseconds above 0")
    return int(value)


def duration_text(ms: int) -> str:
    """The same the other way round, in the largest unit that gives a whole number: 10000 → ``10s``."""
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if ms % _UNIT_MS[unit] == 0)
    return f"{ms // _UNIT_MS[unit]}{unit}"


def size_bytes(text: object) -> int:
    """``"8GB"`` → 8,000,000,000. Units B, kB, MB, GB, TB (powers of 1000); anything else is a ValueError."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('must be a size in quotes such as "500MB" or "8GB"')
    value = int(Decimal(match[1]) * _UNIT_BYTES[match[2]])
    if value <= 0:
        raise ValueError("must be above 0")
    return value


Name = Annotated[str, Field(pattern=f"^{NAME}$")]
DurationMs = Annotated[int, BeforeValidator(duration_ms)]
SizeBytes = Annotated[int, BeforeValidator(size_bytes)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
