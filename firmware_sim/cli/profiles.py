"""Profiles of meters, and how much of each the plant can fill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.register_map import Layout, MeterSpec, Mismatch
from firmware_sim.plant.model import Plant, PlantSpec
from gateway.devices.profile import Profile, catalog, load_profile


def coverage() -> Iterator[str]:
    """A line for each profile that a meter can have."""
    names = [name for name in catalog() if load_profile(name).protocol not in ("hj212", "obis")]
    width = max(map(len, names), default=0)
    for name in names:
        profile = load_profile(name)
        yield f"{name:<{width}}  {profile.vendor} {profile.device}: {_coverage(profile)}"


def _coverage(profile: Profile) -> str:
    """How much of a profile the plant can fill."""
    if profile.protocol == "dlt645":
        return _covered(profile, Dlt645Meter(MeterSpec("x", profile, "0" * 12), Plant(PlantSpec()), int).unfilled)
    spec = MeterSpec(
        "x", profile, profile.default_address, serial="1", factors=dict.fromkeys(profile.factors, Decimal(1))
    )
    try:
        missing = Layout(spec).unfilled
    except Mismatch as error:
        return f"not simulated ({error.problem})"
    return _covered(profile, missing)


def _covered(profile: Profile, missing: Sequence[str]) -> str:
    total = len(profile.points)
    return f"{total - len(missing)} of {total} points" + (f", without {', '.join(missing)}" if missing else "")
