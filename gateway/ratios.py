"""Scale points from poll to poll: a ratio that a meter keeps in its own registers, and what a change of it is about."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from gateway.devices.points import Point
from gateway.devices.scaling import Scales

RATIO_CHANGED = "ratio-changed"
"""Event of a meter: ``ratios``, by name of the scale point its value ``before`` and ``now``."""


class Ratios:
    """What one meter's scale points said last. A sign is not remembered, it changes with the direction of the flow; nor
    is a ``sunssf``, which some devices move with the size of the value."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = tuple(points)
        self._scaled: dict[str, list[str]] = {}
        named = {(p.model, p.name) for p in self._points if p.kind == "scale" and p.type != "sunssf"}
        for point in self._points:
            for name in point.ratio_points:
                if (point.model, name) in named:
                    self._scaled.setdefault(name, []).append(point.name)
        self.scales: dict[tuple[int | None, str], int | Fraction] = {}
        """The values of the poll before, of all scale points."""
        self.changes: dict[str, dict[str, str]] = {}

    def see(self, scales: Scales) -> None:
        """Take the scale points of one poll; one without a value tells nothing."""
        self.changes = {}
        if not scales:
            return
        for key, now in scales.items():
            before = self.scales.get(key)
            if key[1] in self._scaled and before is not None and before != now:
                self.changes[key[1]] = {"before": str(before), "now": str(now)}
        self.scales.update(scales)

    @property
    def affected(self) -> list[str]:
        """The values that a change in the last poll is about."""
        return [name for ratio in self.changes for name in self._scaled[ratio]]

    def forgotten(self) -> Ratios:
        """For another meter under the same name."""
        return Ratios(self._points)
