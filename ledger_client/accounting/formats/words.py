"""Words of accounting that formats bear: roles, statuses from best to worst, breaks, entries, methods. Pure."""

from __future__ import annotations

from typing import Final

RULES: Final = "accounting-1"
"""The version of the rules (docs/accounting.md). Another result needs another version."""

MEASURED, SPLIT, BRIDGED, IMPLAUSIBLE = "measured", "split", "bridged", "implausible"
UNALLOCATED, UNKNOWN = "unallocated", "unknown"
VALID, STOPPED, MISSING, SUBSTITUTED, MANUAL = "valid", "stopped", "missing", "substituted", "manual"
STATUSES: Final = (
    MEASURED, SPLIT, BRIDGED, IMPLAUSIBLE, UNALLOCATED, UNKNOWN,
    VALID, STOPPED, MISSING, SUBSTITUTED, MANUAL,
)  # fmt: skip
"""Of rows: those of counters from best to worst (I8), then those of gauges. Rows and totals are in this order."""
RANK: Final = {status: place for place, status in enumerate(STATUSES)}

WRAP = "wrap"
"""A jump where a register went over its largest number; the two others are called as their statuses."""

PRODUCTION, CONSUMPTION, IMPORT, EXPORT = "production", "consumption", "import", "export"
AUXILIARY, CHARGE, DISCHARGE, EMISSION, FUEL = "auxiliary", "charge", "discharge", "emission", "fuel"
ROLES: Final = (PRODUCTION, CONSUMPTION, IMPORT, EXPORT, AUXILIARY, CHARGE, DISCHARGE, EMISSION, FUEL)

COUNTER, GAUGE = "counter", "gauge"
CEMS, BY_FUEL, BY_ELECTRICITY = "cems", "fuel", "electricity"
METHODS: Final = (CEMS, BY_FUEL, BY_ELECTRICITY)
ENTRY_KINDS: Final = ("register", "lab", "calibration", "value", "settlement", "closure")
PLAN, ENTRY, PERIOD = "plan", "entry", "period"
"""Names of the gateway's events that bear the accounting."""
PROVISIONAL: Final = "provisional"
"""Reason of a row that a later statement may state otherwise: its factor or its population is not whole yet."""
BELOW_THRESHOLD: Final = "below-threshold"
"""Reason of a valid reference of a stack that was not in operation: it is in no population (H4)."""
UNPUBLISHED: Final = "own-"
"""What the id of a profile or factor begins with that is not one of those that come with Meterseal (H7, F1)."""


def is_unpublished(name: str) -> bool:
    """Whether a profile or a factor is not one of those that come with Meterseal, by its id."""
    return name.startswith(UNPUBLISHED)
