"""Provenance of a register map: its sources, and how well each point is supported. Pure.

docs/profiles.md, "Provenance", says what each grade means and which rules hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Grade = Literal["seen", "single", "inferred", "open"]
"""``seen``: two independent sources agree. ``single``: one source. ``inferred``: no source says so, but it follows from
one. ``open``: sources contradict each other, or there is none."""
GRADES: tuple[Grade, ...] = ("seen", "single", "inferred", "open")
SUPPORTED: tuple[Grade, ...] = ("seen", "single")
"""Grades of points that may be recorded without a warning."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a profile's points come from. ``default``: grade of each point that no list names; ``sources``: document
    and page, or repository, commit and file, by a short name."""

    default: Grade
    sources: Mapping[str, str] = field(default_factory=dict)
    seen: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    open: tuple[str, ...] = ()

    def named(self, grade: Grade) -> tuple[str, ...]:
        """The points that the list of a grade names."""
        lists = {"seen": self.seen, "single": self.single, "inferred": self.inferred, "open": self.open}
        return lists[grade]

    def grade(self, point: str) -> Grade:
        """The grade of a point."""
        return next((grade for grade in GRADES if point in self.named(grade)), self.default)

    def counts(self, points: Iterable[str]) -> dict[Grade, int]:
        """How many of these points have each grade, without those of which there is none."""
        grades = [self.grade(point) for point in points]
        return {grade: grades.count(grade) for grade in GRADES if grade in grades}
