"""Scale points: transformer ratios in a meter's own registers, and the values that a change of one concerns."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from gateway.devices.points import Point
from gateway.devices.scaling import Scales

RATIO_CHANGED = "ratio-changed"
"""Event of a meter: ``ratios``, by name of the scale point the value told ``before`` and the one ``now``."""
TOLD_EVERY_MS = 60_000
"""A scale point has at most one event in this time: a register that flaps must not fill the journal."""


class Ratios:
    """What one meter's scale points said last. A sign is not remembered, it changes with the direction of the flow; nor
    is a ``sunssf``, which some devices move with the size of the value."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = tuple(points)
        self._scaled: dict[str, list[str]] = {}
        named = {(p.model, p.name) for p in self._points if p.kind == "scale" and p.at.form != "exponent"}
        for point in self._points:
            for name in point.ratio_points:
                if (point.model, name) in named:
                    self._scaled.setdefault(name, []).append(point.name)
        self.scales: dict[tuple[int | None, str], int | Fraction] = {}
        """The values of the poll before, of all scale points."""
        self._told: dict[str, tuple[int | Fraction, int | None]] = {}
        """What events have said of each: its value, and when; None: never by an event."""
        self.changes: dict[str, dict[str, str]] = {}
        """What an event has to say after the last poll."""
        self.affected: list[str] = []
        """The values that a change in the last poll is about."""

    def see(self, scales: Scales, time_ms: int) -> None:
        """Take the scale points of one poll; one without a value tells nothing. A change within a minute of the last
        event waits: what differs then from what that event said is told."""
        if not self._scaled:
            self.scales.update(scales)
            return
        self.changes, self.affected = {}, []
        for key, now in scales.items():
            name = key[1]
            if name not in self._scaled:
                continue
            if self.scales.get(key, now) != now:
                self.affected += self._scaled[name]
            told, at_ms = self._told.setdefault(name, (now, None))
            if told != now and (at_ms is None or abs(time_ms - at_ms) >= TOLD_EVERY_MS):
                self.changes[name] = {"before": str(told), "now": str(now)}
                self._told[name] = now, time_ms
        self.scales.update(scales)

    def forgotten(self) -> Ratios:
        """For another meter under the same name."""
        return Ratios(self._points)
