"""Profiles and factors of a plan beside those that come with Meterseal: what bears their id has their figures (H7, F1).

Whoever publishes a plan chooses its figures. A reader who knows ``EU-MRR`` or ``CN-average-2023`` takes them for the
published ones, so everything else is called ``own-…``. What has come with Meterseal stays as it is: new figures are a
new version of a profile, and a new id of a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ledger_client.accounting import factors, profiles
from ledger_client.accounting.formats.factor import Factor, parse_factor
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.regimes import Regime, parse_regime
from ledger_client.accounting.formats.words import is_unpublished


def demand_shipped(plan: Plan) -> None:
    """Refuses a profile (H7) or a factor (F1) that is not as it comes with Meterseal, and is not called ``own-…``."""
    for name, regime in plan.regimes.items():
        _demand_profile(name, regime)
    for n, factor in enumerate(plan.factors):
        demand_factor(factor, f"plan.factors[{n}]")


def _demand_profile(name: str, regime: Regime) -> None:
    if is_unpublished(name):
        return
    where, known = f"plan.profiles.{name}", _profiles().get(name)
    if known is None:
        refuse("H7", where, "no such profile comes with Meterseal", f"call it own-{name}")
    if regime.version != known.version:
        comes = f"{name} comes in version {known.version}, this one is of version {regime.version}"
        refuse("H7", f"{where}.version", comes, f"copy it anew, or call it own-{name}")
    if regime != known:
        refuse("H7", where, f"it has other figures than {name} of this version", f"copy it anew, or call it own-{name}")


def demand_factor(factor: Factor, where: str) -> None:
    """Refuses one under F1 that is not as it comes with Meterseal, and is not called ``own-…``."""
    if is_unpublished(factor.id):
        return
    known = _factors().get(factor.id)
    if known is None:
        refuse("F1", f"{where}.id", f"no factor {factor.id} comes with Meterseal", f"call it own-{factor.id}")
    if factor != known:
        other = f"it differs from the factor {factor.id} that comes with Meterseal"
        refuse("F1", where, other, f"copy it anew, or call it own-{factor.id}")


@cache
def _profiles() -> Mapping[str, Regime]:
    return {name: parse_regime(name, profiles.load(name)) for name in profiles.names()}


@cache
def _factors() -> Mapping[str, Factor]:
    known = (parse_factor(n, value) for n, value in enumerate(factors.load()))
    return {factor.id: factor for factor in known}
