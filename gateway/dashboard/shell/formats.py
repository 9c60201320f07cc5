"""Display formats of numbers, units, times and ages. Pure; the words come from the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from math import floor, log10
from typing import Final

from gateway.dashboard.shell.catalog import Words
from gateway.dashboard.shell.time.asked_range import shown
from gateway.local_calendar import ahead_ms, local
from ledger_client.verification.explain import clean
from ledger_client.verification.value_words import number_text

Content = int | float | Decimal | str | bool | None
"""What a value may be; None: not available."""
UNITS: Final = {
    "/100": "%", "/": "", "Cel": "°C", "degC": "°C", "m3": "m³", "m3/h": "m³/h", "m3/s": "m³/s", "l/s": "l/s",
    "ug/m3": "µg/m³", "mg/m3": "mg/m³", "W/m2": "W/m²", "%RH": "% RH", "count": "",
}  # fmt: skip
_KILO: Final = {"W": "kW", "Wh": "kWh", "VA": "kVA", "VAh": "kVAh", "var": "kvar", "varh": "kvarh"}
_MEGA: Final = {"kW": "MW", "kWh": "MWh", "kVA": "MVA", "kVAh": "MVAh", "kvar": "Mvar", "kvarh": "Mvarh"}
_COMPARED: Final = {"W": (1e3, "kW"), "kW": (1.0, "kW"), "Wh": (1e6, "MWh"), "kWh": (1e3, "MWh")}
_STEPS: Final = {"day": "%Y-%m-%d", "month": "%Y-%m"}
THIN: Final = "\u202f"  # between thousands, and between a number and its unit


@dataclass(frozen=True, slots=True)
class Shown:
    """A value for people: its digits and its unit."""

    digits: str
    unit: str

    def __str__(self) -> str:
        return f"{self.digits}{THIN}{self.unit}" if self.unit else self.digits


def unit(name: str | None) -> str:
    """A unit as it is written, from its SenML name."""
    return UNITS.get(name or "", name or "")


def exact(value: Content, unit_name: str | None) -> Shown:
    """A value with every decimal that was recorded; a float with the seven digits that a 32-bit register holds."""
    if value is None:
        return Shown("—", "")
    text = f"{value:.7g}" if isinstance(value, float) else number_text(value)
    return Shown(_grouped(text) if isinstance(value, int | float | Decimal) else text, unit(unit_name))


def short(value: Content, unit_name: str | None) -> Shown:
    """A value with four or five digits: active power in kW and energy in MWh, so that rows compare; others in a larger
    unit where that is easier to read."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return exact(value, unit_name)
    number = float(value)
    if unit_name in _COMPARED:
        divisor, name = _COMPARED[unit_name]
        return Shown(_grouped(_fine(number / divisor)), name)
    divisor, name = scale(number, unit_name)
    return Shown(_grouped(fixed(number / divisor)), unit(name))


def scale(peak: float, unit_name: str | None) -> tuple[float, str]:
    """Divisor for numbers up to ``peak``, and the unit that they have then: ``(1000.0, "kW")``."""
    divisor, name = 1.0, unit_name or ""
    for larger in (_KILO, _MEGA):
        if abs(peak) / divisor >= 1000 and name in larger:
            divisor, name = divisor * 1000, larger[name]
    return divisor, name


def rounded(number: float | None) -> str:
    """A number of a chart, with four or five digits."""
    return "—" if number is None else _grouped(fixed(number))


def compared(number: float | None) -> str:
    """A number of kW or MWh."""
    return "—" if number is None else _grouped(_fine(number))


def of_one(name: str, value: Content, unit_name: str | None) -> tuple[Content, str | None]:
    """A power factor that is recorded in percent as a part of 1, anything else as it is."""
    if unit_name != "/100" or not name.startswith("power_factor") or isinstance(value, bool | str) or value is None:
        return value, unit_name
    return value / 100 if isinstance(value, float) else Decimal(value) / 100, "/"


def _fine(number: float) -> str:
    """Three digits of a small number, so that it is never a 0 that it is not."""
    if not 0 < abs(number) < 1:
        return fixed(number)
    return f"{number:.{min(8, 2 - floor(log10(abs(number))))}f}"


def fixed(number: float) -> str:
    """A number with four or five digits, ungrouped."""
    size = abs(number)
    decimals = 0 if size >= 10_000 else 1 if size >= 1000 else 2 if size >= 10 else 3
    return f"{number:.{decimals}f}"


def _grouped(text: str) -> str:
    """Thousands apart by a thin space, from five digits on."""
    if "e" in text or "n" in text:
        return text.replace("-", "−")
    whole, point, rest = text.partition(".")
    sign, digits = ("−", whole[1:]) if whole.startswith("-") else ("", whole)
    if len(digits) > 4:
        head = len(digits) % 3
        parts = ([digits[:head]] if head else []) + [digits[n : n + 3] for n in range(head, len(digits), 3)]
        digits = THIN.join(parts)
    return f"{sign}{digits}{point}{rest}"


def age(ms: int | float | None, words: Words) -> str:
    """How long something took or is ago, in one unit: ``4 min``. Under two units it stays in the smaller one."""
    if ms is None:
        return "—"
    seconds = max(0, int(ms // 1000))
    for key, length, most in (("s", 1, 120), ("min", 60, 120), ("h", 3600, 72)):
        if seconds < length * most:
            return words(f"unit.{key}", n=seconds // length)
    return words("unit.d", n=seconds // 86400)


class Times:
    """Moments in the site's time zone, as of ``now_ms``."""

    def __init__(self, now_ms: int, zone: tzinfo = UTC) -> None:
        self.now_ms, self.tz = now_ms, zone
        self._today = local(now_ms, zone).date()

    def text(self, ms: int) -> str:
        """The time of a moment of today, else its date and time."""
        shown = local(ms, self.tz)
        return f"{shown:%H:%M:%S}" if shown.date() == self._today else f"{shown:%Y-%m-%d %H:%M:%S}"

    def exactly(self, ms: int) -> str:
        """The same to the millisecond."""
        return f"{self.text(ms)}.{ms % 1000:03}"

    def field(self, ms: int) -> str:
        """A moment as a field of a form has it."""
        return shown(ms, self.tz)

    def step(self, ms: int, made_of: str) -> str:
        """The beginning of a step of a chart: a day or a month by its name."""
        return f"{local(ms, self.tz):{_STEPS[made_of]}}" if made_of in _STEPS else self.text(ms)

    def utc(self, ms: int) -> str:
        """The same moment as RFC 3339 in UTC, to the millisecond."""
        return local(ms, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def tick(self, ms: int, span_ms: int) -> str:
        """A moment on the axis of a chart that covers ``span_ms``."""
        return f"{local(ms, self.tz):{'%H:%M' if span_ms <= 36 * 3_600_000 else '%m-%d'}}"

    @property
    def zone(self) -> str:
        """The zone in words, ``Asia/Shanghai (UTC+08:00)``."""
        ahead = ahead_ms(self.now_ms, self.tz) // 60_000
        hours, minutes = divmod(abs(ahead), 60)
        offset = f"UTC{'+' if ahead > 0 else '−'}{hours:02}:{minutes:02}" if ahead else "UTC"
        name = getattr(self.tz, "key", offset)
        return offset if name == offset else f"{name} ({offset})"


def identity(text: str | None) -> str:
    """The identity of a meter by its numbers alone: ``serial_number=4711`` is ``4711``."""
    return clean(" · ".join(numbers(text or "—")))


def numbers(identity: str) -> list[str]:
    """The numbers that make up the identity of a meter."""
    return [part.partition("=")[2] or part for part in identity.split(", ")]


def name(text: str) -> str:
    """A label or text of a foreign hand with nothing in it that turns or hides what stands beside it."""
    return clean(text)
