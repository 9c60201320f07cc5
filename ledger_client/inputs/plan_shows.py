"""What a plan alone shows that is unusual, beside the roles of the meters: role, negative-term, meter-unused. Pure.

Used by both sides: a recomputation takes the roles from ``configuration`` events, and the gateway's plan check those of
its own configuration, where the same is a problem unless the plan gives a reason (``Node.reason``, ``Plan.unused``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.inputs.unusual import Unusual

GENERATION, EMISSION = "generation", "emission"
"""Roles of meters that a node of production, and a measured emission, takes its points from."""
_NOT_SUBTRACTED: Final = frozenset(
    {words.IMPORT, words.CONSUMPTION, words.AUXILIARY, words.CHARGE, words.EMISSION, words.FUEL}
)
"""Roles of nodes that a subtracted register makes prettier: loads (B1), emissions, fuel."""


def shown_by_plan(
    plan: Plan, roles: Mapping[str, Collection[str]], used_elsewhere: Collection[str] = ()
) -> Iterator[Unusual]:
    """What is unusual in a plan, with or without a reason for it.

    Args:
        plan: the plan.
        roles: of each meter that is configured the roles that it had, as in ``configuration`` events or gateway.toml.
        used_elsewhere: meters that nodes of other plans in force have.
    """
    for node in plan.nodes.values():
        yield from _roles(plan, node, roles)
        yield from _subtracted(node)
    used = {plan.points[name].meter for node in plan.nodes.values() for name in points_of(node)}
    for meter in sorted(roles.keys() - used - set(used_elsewhere)):
        yield Unusual("meter-unused", meter, {"meter": meter} | _reason(plan.unused.get(meter)))


def points_of(node: Node) -> list[str]:
    """Every point that a node takes: its terms, its inputs, its operating signal."""
    return [*(name for _, name in node.terms), *node.gauges.values()]


def _roles(plan: Plan, node: Node, roles: Mapping[str, Collection[str]]) -> Iterator[Unusual]:
    """A node of production adds registers of generation; a measured emission reads meters of emission."""
    if node.role == words.PRODUCTION:
        needed, names = GENERATION, [name for sign, name in node.terms if sign > 0]
    elif node.method == words.CEMS:
        needed, names = EMISSION, list(node.inputs.values())
    else:
        return
    for meter in sorted({plan.points[name].meter for name in names}):
        if others := sorted(set(roles.get(meter, ())) - {needed}):
            facts = {"node": node.name, "meter": meter, "role": ", ".join(others), "needed": needed}
            yield Unusual("role", node.name, facts | _reason(node.reason))


def _subtracted(node: Node) -> Iterator[Unusual]:
    if node.role in _NOT_SUBTRACTED:
        for sign, name in node.terms:
            if sign < 0:
                facts = {"node": node.name, "role": node.role, "point": name}
                yield Unusual("negative-term", node.name, facts | _reason(node.reason))


def _reason(text: str | None) -> dict[str, str]:
    return {} if text is None else {"reason": text}
