"""Decoding of recorded registers by a profile, as a right reader would: with the ratios and exponents of the meter.

The simulator's own decoder (``meters.packing``), never the gateway's. Unlike in a modelled meter, what scales a number
stands in registers of the recording and can change there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import prod

from firmware_sim.meters.packing import Cell, Value, ordered, readings
from firmware_sim.meters.register_image import with_sums
from firmware_sim.meters.register_map import MeterSpec, Mismatch, cell_of
from gateway.devices.profile import Point

Scales = tuple[Value, ...]
"""The values of the points that scale others, in their order."""


class Decoder:
    """The points of one meter.

    Args:
        spec: the meter.
        points: of its profile, at their addresses in the device.

    Raises ``Mismatch``: it needs a ratio that its table does not give.
    """

    def __init__(self, spec: MeterSpec, points: Sequence[Point]) -> None:
        self._spec = spec
        self._points = [point for point in points if not point.sum]
        self._signs = {point.name: point.sign_from for point in points if point.sign_from}
        self._sums = [(point.name, point.sum) for point in points if point.sum]
        needed = {name for point in points for name in point.ratio_points}
        self._scaling = [point.name for point in self._points if point.name in needed]
        self._cells: dict[Scales, tuple[Cell, ...]] = {}
        for name in sorted(needed - set(self._scaling)):
            if name not in spec.factors and any(name in point.factor_from for point in points):
                raise Mismatch("factors", f"the profile needs {name}", f"set factors = {{ {name} = … }} at the meter")
        plain = self.cells((None,) * len(self._scaling))
        self.scaling = tuple(cell for name in self._scaling for cell in plain if cell.name == name)
        """The cells of the points that scale others."""

    def cells(self, scales: Scales) -> tuple[Cell, ...]:
        """Where and how each point stands, in the order of addresses; a number that lacks its scale shows nothing."""
        if (found := self._cells.get(scales)) is None:
            held = dict(zip(self._scaling, scales, strict=True))
            cells = (self._cell(point, held) for point in self._points)
            found = tuple(sorted(cells, key=lambda cell: (cell.fc, cell.address)))
            self._cells = {scales: found}  # they hardly ever change
        return found

    def _cell(self, point: Point, held: Mapping[str, Value]) -> Cell:
        times, power = Fraction(1), Fraction(0)
        for name in point.factor_from:
            times *= Fraction((held[name] or 0) if name in held else self._spec.factors[name])
        if point.scale_from is not None:
            exponent = held.get(point.scale_from)
            power = Fraction(exponent or 0)
            if exponent is None or power.denominator != 1 or abs(power) > 18:
                times, power = Fraction(0), Fraction(0)
        cell = cell_of(point, times * Fraction(10) ** int(power))
        if cell.line is None and point.factor_from:
            ratios = (Decimal(self._spec.factors[name]) for name in point.factor_from)
            cell = replace(cell, factor=prod(ratios, start=cell.factor))
        return cell if self._spec.word_order is None else ordered(cell, self._spec.word_order)

    def values(self, placed: Sequence[tuple[Cell, int]], words: Sequence[int | None]) -> dict[str, Value]:
        """The readings of cells, each at its place in the words; None among them: nobody knows that register."""
        return with_sums(readings(placed, words, self._signs), self._sums)
