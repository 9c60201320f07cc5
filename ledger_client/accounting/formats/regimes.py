"""Profiles of accounting: what a regime asks of registers and gauges (rules I1–I3, H2, H3, H7, S2–S4). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ledger_client.accounting.formats.fields import Fields
from ledger_client.formats.senml import Quality

_KEYS: Final = (
    "version", "edge", "accept", "validity", "share", "minutes", "reference", "most_sample", "substitution", "carbon",
    "density", "clauses", "unconfirmed",
)  # fmt: skip
OWN_RULES: Final = int(
    Quality.ROLLOVER | Quality.COUNTER_RESET | Quality.METER_EXCHANGED | Quality.CLOCK_UNSYNC | Quality.CLOCK_STEP
)
"""Bits that say something of the line of registers or of the clock, which I1 and I4 have their own rules for. A plain
integer: ``~`` of an IntFlag has the named bits only, and one without a name would pass."""
NEVER: Final = int(Quality.IMPLAUSIBLE | Quality.LATE)
"""Bits with which no value is accepted, whatever a profile says."""


@dataclass(frozen=True, slots=True)
class Regime:
    """One profile.

    ``edge``: the share of an interval that the gaps at its two edges may have together; ``accept``: uncertain bits of
    values that count. Of gauges: ``validity`` by ``share`` of the possible values or by ``minutes``, what is needed of
    each, the reference in ms, the longest sample in ms and the rule of substitution (None: none). ``density``: kg/m³ of
    the gas at 0 °C and 101.325 kPa, M/V_m; ``carbon``: kg of CO₂ for one of carbon.
    """

    id: str
    version: str
    edge: Fraction
    accept: int
    validity: str | None
    share: Fraction
    minutes: int
    reference_ms: int | None
    most_sample_ms: int | None
    substitution: str | None
    density: Fraction | None
    carbon: Fraction
    clauses: Mapping[str, str]
    unconfirmed: tuple[str, ...]

    def accepts(self, quality: int) -> bool:
        """Whether a value with these bits is a look."""
        return quality == 0 or not quality & ~(self.accept | OWN_RULES)


def parse_regime(name: str, value: object) -> Regime:
    """One of a plan's ``profiles``. Refuses under H7 and I1."""
    where = f"plan.profiles.{name}"
    fields = Fields(value, where, "H7", _KEYS)
    edge = fields.fraction("edge")
    if not 0 < edge <= Fraction(1, 2):
        fields.refuse("edge", f"it is {edge}, not a share above 0 and up to 0.5", rule="I2")
    validity = fields.choice("validity", ("share", "minutes")) if "validity" in fields else None
    return Regime(
        name,
        fields.text("version"),
        edge,
        _bits(fields),
        validity,
        _share(fields) if validity == "share" else Fraction(0),
        fields.uint("minutes", 1, 60) if validity == "minutes" else 0,
        fields.uint("reference", 1) if "reference" in fields else None,
        fields.uint("most_sample", 1) if "most_sample" in fields else None,
        fields.choice("substitution", ("EU-45", "CN-HJ75")) if "substitution" in fields else None,
        fields.fraction("density") if "density" in fields else None,
        _carbon(fields),
        {key: str(clause) for key, clause in fields.table("clauses", {}).items()},
        tuple(map(str, fields.items("unconfirmed"))) if "unconfirmed" in fields else (),
    )


def _share(fields: Fields) -> Fraction:
    share = fields.fraction("share")
    if not 0 < share <= 1:
        fields.refuse("share", f"it is {share}, not a share above 0 and up to 1", rule="H2")
    return share


def _carbon(fields: Fields) -> Fraction:
    """44/12 as text, or a number (M6)."""
    value = fields.of.get("carbon", "44/12")
    try:
        return Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError):
        fields.refuse("carbon", f'{value!r} is not a ratio such as "44/12"', rule="M6")


def _bits(fields: Fields) -> int:
    bits = 0
    for name in fields.items("accept"):
        if not isinstance(name, str) or name not in Quality.__members__:
            fields.refuse("accept", f"{name!r} is not the name of a quality bit", rule="I1")
        bit = Quality[name]
        if bit & (NEVER | OWN_RULES):
            fields.refuse("accept", f"{name} is not a bit that a profile may accept", rule="I1")
        bits |= bit
    return int(bits)
