"""Warnings of `meterseal check` about the profiles of a line: sleep, and kinds, provenance and names of its points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.devices.knowledge.provenance import SUPPORTED
from gateway.devices.knowledge.quantities import PROFILE_PREFIX, QUANTITIES
from gateway.devices.points import UNRECORDED, Point, Profile
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message


def profile_warnings(spec: LineSpec) -> tuple[Message, ...]:
    """The warnings about devices that never sleep, and about all profiles of a line, each once, of the points that its
    meters record."""
    profiles = {meter.profile.name: meter.profile for meter in spec.meters}
    used: dict[str, set[str]] = {name: set() for name in profiles}
    for meter in spec.meters:
        used[meter.profile.name].update(point.name for point in meter.points)
    awake = (warning for meter in spec.meters if (warning := _never_asleep(meter)))
    of_profiles = (
        warning
        for name, profile in profiles.items()
        for warning in of_profile(profile, [point for point in profile.points if point.name in used[name]])
    )
    return (*awake, *of_profiles)


def of_profile(profile: Profile, points: Sequence[Point]) -> Iterator[Message]:
    """The warnings about these points of a profile."""
    name, recorded = profile.name, [point for point in points if point.kind not in UNRECORDED]
    if profile.kind_unsaid:
        yield Message("budget-kind-missing", profile=name, points=tuple(profile.kind_unsaid))
    known = profile.provenance
    if known is not None and (weak := [p.name for p in recorded if known.grade(p.name) not in SUPPORTED]):
        yield Message("budget-points-unsupported", profile=name, points=tuple(weak))
    named = [point for point in recorded if not point.name.startswith(PROFILE_PREFIX)]
    if unknown := [point.name for point in named if point.name not in QUANTITIES]:
        yield Message("budget-names-unknown", profile=name, points=tuple(unknown))
    if other := [p.name for p in named if p.name in QUANTITIES and not QUANTITIES[p.name].fits(p.unit, p.kind)]:
        yield Message("budget-names-other", profile=name, points=tuple(other))


def _never_asleep(meter: MeterSpec) -> Message | None:
    """What a device that may sleep lacks for its silence at night to be no fault."""
    profile, below = meter.profile, meter.profile.sleeps_below
    if not profile.may_sleep or meter.night is not None or below in {point.name for point in meter.points}:
        return None
    if below:
        return Message("budget-never-asleep-point", meter=meter.name, point=below)
    return Message("budget-never-asleep", meter=meter.name)
