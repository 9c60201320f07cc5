"""Scale points: transformer ratios in a meter's own registers, the values that a change of one concerns, and whether
they are the ratios of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType

from gateway.devices.points import Point, Ratio
from gateway.devices.scaling import Scales

RATIO_CHANGED = "ratio-changed"
"""Event of a meter: ``ratios``, by name of the scale point its last reported value (``before``) and the one ``now``."""
_POWERS = ("W", "kW", "VA", "kVA", "var", "kvar", "Wh", "kWh", "varh", "kvarh", "VAh", "kVAh")
_CONCERNED = {"ct": ("A", "mA", *_POWERS), "pt": ("V", "mV", *_POWERS)}
"""Units of what transformers pass on."""
REPORTED_EVERY_MS = 60_000
"""A scale point has at most one event in this time: a register that flaps must not fill the journal."""


class Ratios:
    """The last values of one meter's scale points. A sign is not remembered, it changes with the direction of the flow;
    nor is a ``sunssf``, which some devices move with the size of the value.

    A ratio that the configuration states too (``ct``, ``pt``) is compared with it in every poll: as long as it is
    another one, the values that it concerns are ``doubted``.
    """

    def __init__(
        self,
        points: Iterable[Point],
        ratios: Iterable[tuple[str, str]] = (),
        configured: Mapping[str, Ratio] = MappingProxyType({}),
    ) -> None:
        """``ratios``: scale points of the profile by ``ct`` and ``pt``; ``configured``: those of the configuration."""
        self._points, self._ratios, self._configured = tuple(points), tuple(ratios), configured
        self._expected = {name: Fraction(configured[key]) for key, name in self._ratios if key in configured}
        self._scaled: dict[str, list[str]] = {}
        named = {(p.model, p.name) for p in self._points if p.kind == "scale" and p.at.form != "exponent"}
        for point in self._points:
            for name in point.ratio_points:
                if (point.model, name) in named:
                    self._scaled.setdefault(name, []).append(point.name)
        for factor, name in self._ratios:  # one that no point is multiplied by: the meter itself has done it
            self._scaled.setdefault(name, [p.name for p in self._points if p.unit in _CONCERNED[factor]])
        self.scales: dict[tuple[int | None, str], int | Fraction] = {}
        """The values of the poll before, of all scale points."""
        self._reported: dict[str, tuple[int | Fraction, int | None]] = {}
        """The last reported value of each, and when in ms; None: it is the first value, no event reported it."""
        self.changes: dict[str, dict[str, str]] = {}
        """What an event has to say after the last poll."""
        self.affected: list[str] = []
        """The values that a change in the last poll is about."""
        self.doubted: list[str] = []
        """The values that a ratio concerns which is not the one of the configuration."""
        self.differences: dict[str, dict[str, str]] | None = None
        """What an event has to say after the last poll of ratios that are not those of the configuration."""
        self._differing_reported: tuple[dict[str, dict[str, str]], int | None] = {}, None

    def see(self, scales: Scales, time_ms: int) -> None:
        """Take the scale points of one poll; one without a value changes nothing. A change within a minute of the
        last event waits; an event then reports what differs from that last one."""
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
            reported, at_ms = self._reported.setdefault(name, (now, None))
            if reported != now and (at_ms is None or abs(time_ms - at_ms) >= REPORTED_EVERY_MS):
                self.changes[name] = {"before": str(reported), "now": str(now)}
                self._reported[name] = now, time_ms
        self.scales.update(scales)
        if self._expected:
            self._compare(time_ms)

    def _compare(self, time_ms: int) -> None:
        read = {name: now for (_, name), now in self.scales.items() if name in self._expected}
        differing = {
            name: {"configured": str(self._expected[name]), "read": str(now)}
            for name, now in read.items()
            if now != self._expected[name]
        }
        self.doubted = [point for name in differing for point in self._scaled[name]]
        reported, at_ms = self._differing_reported
        self.differences = None
        if differing != reported and (at_ms is None or abs(time_ms - at_ms) >= REPORTED_EVERY_MS):
            self.differences = differing
            self._differing_reported = differing, time_ms

    def forgotten(self) -> Ratios:
        """For another meter under the same name."""
        return Ratios(self._points, self._ratios, self._configured)
