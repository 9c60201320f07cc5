"""Profiles as text and as JSON: the catalog, and one profile with the grade of each point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.devices.points import Profile
from gateway.devices.profile_text import decoding_hash


def counts(profile: Profile) -> dict[str, int]:
    """How many points have each grade; nothing where no provenance is stated."""
    known = profile.provenance
    return {str(grade): n for grade, n in known.counts(p.name for p in profile.points).items()} if known else {}


def counts_text(profile: Profile) -> str:
    """The same in words: "40 seen, 2 single"."""
    found = ", ".join(f"{n} {grade}" for grade, n in counts(profile).items())
    return found or "not stated"


def print_catalog(out: Console, profiles: Iterable[Profile]) -> None:
    """One line a profile."""
    table = Table("profile", "device", "protocol", "points", "provenance", box=None)
    for profile in profiles:
        device = f"{profile.vendor} {profile.device}"
        table.add_row(profile.name, device, profile.protocol, str(len(profile.points)), counts_text(profile))
    out.print(table)


def print_profile(out: Console, profile: Profile) -> None:
    """One profile with its points and sources."""
    usually = f", usually at address {profile.default_address}" if profile.protocol in ("modbus", "sunspec") else ""
    out.print(f"{profile.vendor} {profile.device} ({profile.protocol}){usually}")
    out.print(f"SHA-256 of its decoding: {decoding_hash(profile).hex()}", soft_wrap=True)
    known = profile.provenance
    table = Table("point", "place", "type", "unit", "kind", "recorded", "provenance", box=None)
    for p in profile.points:
        recorded, grade = "yes" if p.record else "", known.grade(p.name) if known else ""
        table.add_row(p.name, p.at.where, p.at.type, p.unit or "", p.kind, recorded, grade)
    out.print(table)
    for key in profile.ask:
        out.print(f"asks for: {key}, in the section of each meter")
    for factor, point in profile.ratios:
        out.print(f"{factor} set in the device: {point}")
    for name, source in known.sources.items() if known else ():
        out.print(f"source {name}: {source}", soft_wrap=True)


def summary_as_json(profile: Profile) -> dict[str, Any]:
    """What the catalog shows of a profile, as plain data."""
    return {
        "name": profile.name,
        "vendor": profile.vendor,
        "device": profile.device,
        "protocol": profile.protocol,
        "points": len(profile.points),
        "recorded": sum(point.record for point in profile.points),
        "provenance": counts(profile) or None,
        "ask": list(profile.ask),
    }


def profile_as_json(profile: Profile) -> dict[str, Any]:
    """A profile as plain data; the grade of a point is null where no provenance is stated."""
    known = profile.provenance
    points = [
        {
            "name": p.name,
            "place": p.at.where,
            "type": p.at.type,
            "unit": p.unit,
            "kind": p.kind,
            "recorded": p.record,
            "provenance": known.grade(p.name) if known else None,
        }
        for p in profile.points
    ]
    return {
        **summary_as_json(profile),
        "default_address": profile.default_address,
        "decoding_sha256": decoding_hash(profile).hex(),
        "ratios": dict(profile.ratios),
        "points": points,
        "sources": dict(known.sources) if known else {},
    }
