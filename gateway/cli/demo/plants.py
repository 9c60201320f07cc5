"""Plants of a simulated month: what the registers of their meters hold in each minute, and what goes wrong. Pure.

A hydro station whose register goes round, a coal unit that is stopped for a while and whose CO₂ analyser fails, and a
factory whose meter is silent for hours and later exchanged. Minutes are counted from where the month begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SHOWN = 1_000_000
"""What the energy meters do not show any more."""
_DAY = 1440
_LOAD_KW, _COAL_KG_PER_HOUR = 300_000, 125_000
NEW_DEVICE_BEGINS_AT = 12
"""kWh that the factory's new meter shows when it is built in."""

Shown = Mapping[str, int | None]
"""Raw numbers by point; None: the device says that it has none."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Minutes [begin, end)."""

    begin: int
    end: int

    def __contains__(self, minute: int) -> bool:
        return self.begin <= minute < self.end

    def before(self, minute: int) -> int:
        """How many of its minutes are over."""
        return max(0, min(minute, self.end) - self.begin)


@dataclass(frozen=True, slots=True)
class Story:
    """What happens when: the hydro station's register goes round (``wraps``), the factory's meter is ``silent``, the
    CO₂ analyser has ``failed``, the unit is ``stopped``, the factory's meter is being ``exchanged``."""

    wraps: int
    silent: Stretch
    failed: Stretch
    stopped: Stretch
    exchanged: Stretch

    @staticmethod
    def of(minutes: int) -> Story:
        """A story for so long a time; all of it happens in eight hours, too."""

        def stretch(eightieths: int, most: int, share: int) -> Stretch:
            begin = minutes * eightieths // 80
            return Stretch(begin, begin + min(most, minutes // share))

        change = minutes * 6 // 8
        return Story(
            wraps=minutes * 3 // 10,
            silent=stretch(15, 180, 7),
            failed=stretch(32, 330, 6),
            stopped=stretch(50, 1310, 4),
            exchanged=Stretch(change + 20, change + 40),
        )


@dataclass(frozen=True, slots=True)
class Plants:
    """The three of them."""

    story: Story

    def shown(self, minute: int) -> dict[str, Shown | None]:
        """What each meter holds in a minute; None: it does not answer."""
        silent = minute in self.story.silent or minute in self.story.exchanged
        return {
            "hydro": {"energy": self.hydro_kwh(minute)},
            "unit": self.unit(minute),
            "factory": None if silent else {"energy": self.factory_kwh(minute)},
        }

    def hydro_kwh(self, minute: int) -> int:
        """The register of the hydro station, which goes round once."""
        return (SHOWN + _turned(1500, 300, minute) - _turned(1500, 300, self.story.wraps)) % SHOWN

    def factory_kwh(self, minute: int) -> int:
        """The register of whichever meter the factory has."""
        if minute < self.story.exchanged.end:
            return self._factory_kwh(minute)
        return NEW_DEVICE_BEGINS_AT + self._factory_kwh(minute) - self.last_kwh

    @property
    def last_kwh(self) -> int:
        """What the factory's old meter shows when it is taken out."""
        return self._factory_kwh(self.story.exchanged.begin + 5)

    def _factory_kwh(self, minute: int) -> int:
        return 20_000 + _turned(900, 500, minute)

    def coal_kg(self, minute: int) -> int:
        """The belt scale's register: nothing while the unit is stopped."""
        return 1_000_000 + (minute + _DAY - self.story.stopped.before(minute)) * _COAL_KG_PER_HOUR // 60

    def unit(self, minute: int) -> Shown:
        """What the instruments of the coal unit show: with the unit stopped, air."""
        coal, wave = self.coal_kg(minute), math.sin(2 * math.pi * minute / 397)
        if minute in self.story.stopped:
            air = {"co2": 4, "flow": 300, "temperature": 350, "pressure": 10_132, "h2o": 100}
            return {**air, "load": 0, "coal": coal}
        return {
            "coal": coal,
            "co2": None if minute in self.story.failed else round(1304 + 20 * wave),
            "flow": round(5310 + 40 * wave),
            "temperature": round(1300 + 15 * wave),
            "pressure": round(10_132 + 10 * wave),
            "h2o": round(800 + 10 * wave),
            "load": round(_LOAD_KW * (1 + 0.01 * wave)),
        }


def _turned(mean_kw: int, swing_kw: int, minute: int) -> int:
    """kWh of a power that swings once a day around its mean, since a day before the beginning."""
    hours, turn = (minute + _DAY) / 60, 24 / (2 * math.pi)
    return round(mean_kw * hours + swing_kw * turn * (1 - math.cos(hours / turn)))
