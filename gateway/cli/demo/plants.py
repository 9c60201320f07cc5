"""Plants of a simulated month: what the registers of their meters hold in each minute, and what goes wrong. Pure.

A hydro station whose register goes round, a coal unit that is stopped for a while and whose CO₂ analyser is checked and
fails, a factory whose meter is silent for hours and later exchanged, and a battery. Minutes are counted from where the
month begins.

The gas of the coal unit is what the simulator's boiler makes of this coal (configs/month/plant.toml): 125 t/h with 1.3
times the air that burns it, at 130 °C.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

SHOWN = 1_000_000
"""What the energy meters do not show any more."""
_DAY = 1440
_LOAD_KW, _COAL_KG_PER_HOUR = 300_000, 125_000
CARBON_AS_ANALYSED, MOISTURE_AS_ANALYSED, MOISTURE_AS_BURNT = Decimal("0.70"), Decimal("4.0"), Decimal("12.0")
"""What the laboratory finds in the coal: a share of its mass as analysed, and water in percent. 0.641667 as burnt."""
_CHARGES, _DISCHARGES = (60, 300, 500), (360, 540, 600)
"""Minutes of a day from and to, and kW: what the battery takes in, and the nine tenths of it that it gives back."""
_ANALYSER_RUNS_ON = 5
"""Minutes in which air is drawn through the analyser of the stopped unit."""
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
    """What happens when: the hydro station's register goes round (``wraps``), the CO₂ analyser is being ``checked``
    within one hour, the factory's meter is ``silent``, the analyser has ``failed``, the unit is ``stopped``, the
    factory's meter is being ``exchanged``."""

    wraps: int
    checked: Stretch
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

        change, check = minutes * 6 // 8, minutes // 8 // 60 * 60
        return Story(
            wraps=minutes * 3 // 10,
            checked=Stretch(check + 10, check + 24),
            silent=stretch(15, 180, 7),
            failed=stretch(32, 330, 6),
            stopped=stretch(50, 1310, 4),
            exchanged=Stretch(change + 20, change + 40),
        )


@dataclass(frozen=True, slots=True)
class Plants:
    """The four of them."""

    story: Story

    def shown(self, minute: int) -> dict[str, Shown | None]:
        """What each meter holds in a minute; None: it does not answer."""
        silent = minute in self.story.silent or minute in self.story.exchanged
        return {
            "hydro": {"energy": self.hydro_kwh(minute)},
            "unit": self.unit(minute),
            "factory": None if silent else {"energy": self.factory_kwh(minute)},
            "battery": {
                "charge": 40_000 + _by_day(_CHARGES, minute),
                "discharge": 35_000 + _by_day(_DISCHARGES, minute),
            },
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
        """What the instruments of the coal unit show: air when it is stopped, until its analyser is off."""
        coal, wave = self.coal_kg(minute), math.sin(2 * math.pi * minute / 397)
        if minute in self.story.stopped:
            off = minute >= self.story.stopped.begin + _ANALYSER_RUNS_ON
            air = {"co2": None if off else 4, "flow": 132, "temperature": 350, "pressure": 10_132, "h2o": 119}
            return {**air, "load": 0, "coal": coal}
        return {
            "coal": coal,
            "co2": None if minute in self.story.failed or minute in self.story.checked else round(1364 + 20 * wave),
            "flow": round(4850 + 40 * wave),
            "temperature": round(1300 + 15 * wave),
            "pressure": round(10_132 + 10 * wave),
            "h2o": round(695 + 10 * wave),
            "load": round(_LOAD_KW * (1 + 0.01 * wave)),
        }


def _by_day(every: tuple[int, int, int], minute: int) -> int:
    """kWh of a power that stands at the same time each day, since a day before the beginning."""
    begin, end, kw = every
    days, now = divmod(minute + _DAY, _DAY)
    return (days * (end - begin) + Stretch(begin, end).before(now)) * kw // 60


def _turned(mean_kw: int, swing_kw: int, minute: int) -> int:
    """kWh of a power that swings once a day around its mean, since a day before the beginning."""
    hours, turn = (minute + _DAY) / 60, 24 / (2 * math.pi)
    return round(mean_kw * hours + swing_kw * turn * (1 - math.cos(hours / turn)))
