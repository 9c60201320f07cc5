"""Unusual input: a code of docs/accounting.md, what it is about, and the facts of its sentence. Pure.

Unusual is not wrong. Each of them is something that an honest plant may have and that also makes a figure prettier, so
that a person has to look at it. A bound stands once, in the module that judges by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

CODES: Final = (
    "late", "no-document", "calibration-shift", "lab-range", "substitute-low", "own-factor", "own-profile", "role",
    "negative-term", "meter-unused", "out-of-reach", "closed-but-counting", "settlement-below-0", "m7", "retrospective",
    "finding",
)  # fmt: skip
"""All of them, in the order in which they are listed."""


class Unusual(NamedTuple):
    """One unusual input. ``of``: the node, point, meter, profile or factor; ``facts``: by the names in its sentence."""

    code: str
    of: str
    facts: Mapping[str, str]
