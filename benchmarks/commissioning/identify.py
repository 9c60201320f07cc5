"""Confusion matrix of identification: every simulated device of the catalog in every situation, without a wire.

Each device is identified twice: among all profiles, and among those that are not its own family, as a device that the
catalog does not have. ``right_or_family_first``: share of the first; ``wrong_confident``: how often another device was
named with 0.8 or more, ``foreign_confident``: the same of the second. ``matrix``: device → what came first → how often.
``reads_most`` and ``seconds_most``: what one identification cost at most, at 2400 8E1.
"""

from __future__ import annotations

from collections import Counter

from benchmarks.commissioning.identified import SITUATIONS, Case, case
from gateway.commissioning.scan.identify import known
from gateway.devices.points import Profile

CONFIDENT = 0.8
ASKED = ("modbus", "sunspec", "dlt645")
SMALLEST = ({"seeds": 1, "devices": "eastron-sdm630,vaisala-gmp252"},)


def run(seeds: int = 3, devices: str = "") -> dict[str, object]:
    """Identify the devices.

    Args:
        seeds: so many plants.
        devices: profiles with commas between; all if empty.
    """
    every = [profile for profile in known() if profile.protocol in ASKED]
    chosen = [profile for profile in every if not devices or profile.name in devices.split(",")]
    families = {p.name: p.fingerprint.family if p.fingerprint else None for p in every}
    cases, foreign = list[Case](), list[Case]()
    for profile in chosen:
        others = [other for other in every if not _akin(other, profile)]
        for situation in SITUATIONS:
            for seed in range(1, seeds + 1):
                cases.append(case(profile, situation, seed, every))
                foreign.append(case(profile, situation, seed, others))
    matrix: dict[str, Counter[str]] = {}
    for one in cases:
        matrix.setdefault(one.profile.name, Counter())[one.first] += 1
    wrong = [(one, name) for one in cases for name in one.wrong_confident(CONFIDENT)]
    return {
        "devices": len(chosen),
        "cases": len(cases),
        "right_or_family_first": sum(one.is_right(families) for one in cases) / len(cases),
        "wrong_confident": sum(not _of_family(families, one.profile.name, name) for one, name in wrong),
        "foreign_confident": sum(bool(one.wrong_confident(CONFIDENT)) for one in foreign),
        "reads_most": max(one.asked.reads for one in cases),
        "seconds_most": round(max(one.asked.seconds for one in cases), 1),
        "not_right": sorted({f"{c.profile.name}, {c.situation}: {c.first}" for c in cases if not c.is_right(families)}),
        "matrix": {name: dict(counts) for name, counts in matrix.items()},
    }


def _akin(one: Profile, other: Profile) -> bool:
    families = [profile.fingerprint.family if profile.fingerprint else None for profile in (one, other)]
    return one.name == other.name or (families[0] is not None and families[0] == families[1])


def _of_family(families: dict[str, str | None], one: str, other: str) -> bool:
    return families[one] is not None and families[one] == families.get(other)
