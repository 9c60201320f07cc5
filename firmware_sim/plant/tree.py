"""Tree of the plant: nodes below the grid connection, the units at them, and what each node loses. Pure.

Everything is in whole milliwatts (and mvar) at whole seconds, phase by phase. What flows into a node is what flows to
all that hangs at it, and its losses: its meter stands on the side of the grid and sees them. Losses of a second are a
whole number as well and move in a straight line to those of the next, as every flow does. So nothing is left over at
a node, neither of power nor of energy, at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GRID = "grid"
Six = tuple[int, int, int, int, int, int]
"""mW of three phases, then mvar of three phases."""
NO_FLOW: Six = (0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A transformer, a feeder or a busbar at the node ``at``. ``loss`` is a share of ``rated_kw`` at that power; it
    goes by the square of the active power of each phase. Without ``loss`` nothing is lost."""

    name: str
    at: str = GRID
    rated_kw: float = 0.0
    loss: float = 0.0

    def lost_mw(self, below_mw: int) -> int:
        """What one phase loses while so much of its power flows to (or from) what hangs at the node."""
        if not self.loss:
            return 0
        return round(self.loss * below_mw * below_mw / (self.rated_kw * 1e6 / 3))


class Tree:
    """The places of a plant, in the order of their flows: the grid connection, the nodes, the units.

    Args:
        nodes: in any order.
        units: what each hangs at, by name.

    Raises:
        ValueError: a node or unit hangs at what is no node, or nodes hang at each other in a ring.
    """

    def __init__(self, nodes: Sequence[NodeSpec], units: Mapping[str, str]) -> None:
        self.places = (GRID, *(node.name for node in nodes), *units)
        self.nodes = {GRID: NodeSpec(GRID), **{node.name: node for node in nodes}}
        hangs = {**{node.name: node.at for node in nodes}, **units}
        self.below = {name: tuple(place for place, at in hangs.items() if at == name) for name in self.nodes}
        number = {place: n for n, place in enumerate(self.places)}
        order = _leaves_first(self.below)
        if len(order) != len(self.nodes) or any(at not in self.nodes for at in hangs.values()):
            raise ValueError("not a tree below the grid connection")
        self._sums: list[tuple[int, tuple[int, ...], NodeSpec | None]] = []
        for name in order:
            lossy = self.nodes[name] if self.nodes[name].loss else None
            self._sums.append((number[name], tuple(number[place] for place in self.below[name]), lossy))

    def flows(self, units: Sequence[Six]) -> list[Six]:
        """What flows at each place, while so much flows at the units."""
        found = [NO_FLOW] * (len(self.places) - len(units)) + list(units)
        for place, below, node in self._sums:
            p1, p2, p3, q1, q2, q3 = map(sum, zip(*[found[n] for n in below], strict=True)) if below else NO_FLOW
            if node is not None:
                p1, p2, p3 = p1 + node.lost_mw(p1), p2 + node.lost_mw(p2), p3 + node.lost_mw(p3)
            found[place] = (p1, p2, p3, q1, q2, q3)
        return found


def _leaves_first(below: Mapping[str, Sequence[str]]) -> list[str]:
    """The nodes that the grid connection reaches, each behind those that hang at it."""
    order, waiting = list[str](), [GRID]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += [name for name in below[node] if name in below]
    return order[::-1]
