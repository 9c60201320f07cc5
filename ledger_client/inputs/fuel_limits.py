"""Limits of fuels: net calorific value and carbon content of IPCC 2006 vol. 2 chapter 1, tables 1.2 and 1.3. Pure.

The limits are those of a 95 % confidence interval. Table 1.4 (kg of CO₂ for a TJ) has the carbon limits × 44/12,
rounded, and is what the tests compare them with. The fuels are those of ``accounting/factors/IPCC-2006-fuels.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple


class Limits(NamedTuple):
    """Lowest and highest NCV (MJ/kg) and CC (kg of carbon for a GJ) of a fuel."""

    ncv: tuple[Fraction, Fraction]
    cc: tuple[Fraction, Fraction]

    @property
    def carbon(self) -> tuple[Fraction, Fraction]:
        """kg of carbon in a kg of fuel: the products of both."""
        return self.ncv[0] * self.cc[0] / 1000, self.ncv[1] * self.cc[1] / 1000


def _of(ncv_low: str, ncv_high: str, cc_low: str, cc_high: str) -> Limits:
    return Limits((Fraction(ncv_low), Fraction(ncv_high)), (Fraction(cc_low), Fraction(cc_high)))


FUEL_LIMITS: Final[Mapping[str, Limits]] = {
    "anthracite": _of("21.6", "32.2", "25.8", "27.5"),
    "coking-coal": _of("24.0", "31.0", "23.8", "27.6"),
    "other-bituminous-coal": _of("19.9", "30.5", "24.4", "27.2"),
    "sub-bituminous-coal": _of("11.5", "26.0", "25.3", "27.3"),
    "lignite": _of("5.50", "21.6", "24.8", "31.3"),
    "coke-oven-coke": _of("25.1", "30.2", "26.1", "32.4"),
    "coke-oven-gas": _of("19.6", "77.0", "10.3", "15.0"),
    "blast-furnace-gas": _of("1.20", "5.00", "59.7", "84.0"),
    "crude-oil": _of("40.1", "44.8", "19.4", "20.6"),
    "motor-gasoline": _of("42.5", "44.8", "18.4", "19.9"),
    "other-kerosene": _of("42.4", "45.2", "19.3", "20.1"),
    "gas-diesel-oil": _of("41.4", "43.3", "19.8", "20.4"),
    "residual-fuel-oil": _of("39.8", "41.7", "20.6", "21.5"),
    "liquefied-petroleum-gases": _of("44.8", "52.2", "16.8", "17.9"),
    "petroleum-coke": _of("29.7", "41.9", "22.6", "31.3"),
    "natural-gas": _of("46.5", "50.4", "14.8", "15.9"),
}
"""By the key ``fuel`` of a node."""
