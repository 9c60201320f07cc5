"""Plans for tests of the accounting, as events bear them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

T0 = 1_790_812_800_000
"""2026-10-01T00:00:00Z, in ms."""
HOUR, QUARTER, MINUTE = 3_600_000, 900_000, 60_000

STRICT = {"version": "1", "edge": Decimal("0.01"), "accept": [], "clauses": {"edge": "ours"}}
LOOSE = {"version": "1", "edge": Decimal("0.04"), "accept": ["STALE"], "clauses": {"edge": "ours"}}


def counter(unit: str = "kWh", **also: Any) -> dict[str, Any]:
    """A point of kind counter: 10 s apart, at most 1000 of its unit in an hour."""
    return {"kind": "counter", "unit": unit, "sample": 10_000, "max": 1000, **also}


def node(role: str, *points: str, **also: Any) -> dict[str, Any]:
    """A node that is the sum of some points; ``-METER/POINT`` is taken off."""
    terms = [[-1 if point.startswith("-") else 1, point.removeprefix("-")] for point in points]
    return {"role": role, "terms": terms, "profile": "strict", **also}


def plan_fields(**also: Any) -> dict[str, Any]:
    """The fields of a plan with one station of one meter."""
    return {
        "plan": "main",
        "v": 1,
        "rules": "accounting-1",
        "from": T0,
        "interval": 3600,
        "civil": 480,
        "points": {"export/energy": counter()},
        "nodes": {"station": node("production", "export/energy")},
        "profiles": {"strict": STRICT, "loose": LOOSE},
        "factors": [],
        "site": {},
        "disclosure": "full",
        **also,
    }
