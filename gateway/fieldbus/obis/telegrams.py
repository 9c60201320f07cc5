"""Telegrams of P1: the value at each OBIS code, by the channel of the meter that it is of. Pure.

    1-0:1.8.1(001581.123*kWh)
    0-1:24.2.1(161129200000W)(00981.443*m3)

Channel ``0-0`` is the meter itself; ``0-1`` to ``0-9`` are meters that it passes on, such as gas and water. Their codes
are given with ``n`` in place of the channel's number, so that one profile fits any. Source: DSMR P1 companion standard
5.0.2, 6.12; DSMR 2.2 for values that stand on the next line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MAIN_CHANNEL = "0-0"
"""The channel of the meter itself."""
VERSIONS = ("1-3:0.2.8", "0-0:96.1.4")
"""Only telegrams of DSMR 4 and later tell their version, those of Belgium at the latter; these bear a check value."""
_LINE = re.compile(r"(\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3})((?:\([^()]*\))*)")
_VALUES = re.compile(r"\(([^()]*)\)")
_PASSED_ON = re.compile(r"0-([1-9]):(.+)")
_OLD_METER = re.compile(r"0-[1-9]:24\.3\.0")
_TIME = re.compile(r"(\d{12})([SW])")
_AHEAD = {"S": timedelta(hours=2), "W": timedelta(hours=1)}
_TIME_CODE = "0-0:1.0.0"
_READ_AT = ("0-n:24.2.1/1", "0-n:24.2.3/1")
"""Of a meter that is passed on: the latter a gas meter of Belgium, whose volume is at the temperature of the gas."""


@dataclass(frozen=True, slots=True)
class Telegram:
    """What a telegram says. ``channels``: by channel, the texts at its places: ``1-0:1.8.1`` the last of a code's
    values, ``0-n:24.2.1/1`` the first of several. A code that stands twice has an empty text, which is no value.
    ``head``: the identification behind its ``/``."""

    head: str
    channels: Mapping[str, Mapping[str, str]]

    @property
    def names_version(self) -> bool:
        """It is of an edition whose telegrams bear a check value."""
        return any(code in self.channels.get(MAIN_CHANNEL, {}) for code in VERSIONS)

    def label_ms(self, channel: str) -> int | None:
        """The time that the values of a channel are of (Unix ms); None: it says none.

        Of a meter that is passed on: when it was read.
        """
        held = self.channels.get(channel, {})
        codes = (_TIME_CODE,) if channel == MAIN_CHANNEL else _READ_AT
        return time_ms(next((held[code] for code in codes if code in held), ""))


def parse(text: bytes) -> Telegram:
    """The telegram of a text from ``/`` to ``!``. Lines that are no values are passed over."""
    first, *lines = text.decode("ascii", "backslashreplace").rstrip("!").splitlines()
    channels: dict[str, dict[str, str]] = {}
    for code, values in _values(lines):
        passed_on = _PASSED_ON.fullmatch(code)
        channel = f"0-{passed_on[1]}" if passed_on else MAIN_CHANNEL
        place = f"0-n:{passed_on[2]}" if passed_on else code
        held = channels.setdefault(channel, {})
        texts = {place: values[-1]}
        if len(values) > 1:
            texts |= {f"{place}/{number}": value for number, value in enumerate(values, start=1)}
        for where, value in texts.items():
            held[where] = "" if where in held else value
    return Telegram(first.removeprefix("/"), channels)


def _values(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Codes with their values. A value alone on its line belongs to the code before it (DSMR 2.2)."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if (coded := _LINE.fullmatch(line)) is not None:
            if values := _VALUES.findall(coded[2]):
                found.append((coded[1], values))
        elif found and re.fullmatch(r"\([^()]*\)", line):
            found[-1][1].append(line[1:-1])
    return [_renewed(code, values) for code, values in found]


def _renewed(code: str, values: list[str]) -> tuple[str, list[str]]:
    """The reading of a meter in the form of DSMR 2.2, ``(time)(00)(60)(1)(0-1:24.2.1)(m3)(00001.001)``, in that of
    today, ``(time)(00001.001*m3)``."""
    if not _OLD_METER.fullmatch(code) or len(values) != 7 or values[3] != "1":
        return code, values
    time, _, _, _, read, unit, value = values
    same = read.partition(":")[0] == code.partition(":")[0]
    return (read, [time, f"{value}*{unit}"]) if same else (code, values)


def time_ms(text: str) -> int | None:
    """The moment of ``YYMMDDhhmmss`` with S (central European summer time) or W (winter time); None: it names none."""
    if (found := _TIME.fullmatch(text)) is None or not text.isascii():
        return None
    try:
        moment = datetime.strptime(found[1], "%y%m%d%H%M%S").replace(tzinfo=UTC) - _AHEAD[found[2]]
    except (ValueError, OverflowError):
        return None
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return 1000 * seconds if seconds >= 0 else None
