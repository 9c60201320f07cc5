"""Nodes of a party's statements: which may be named, and which must be named or excluded (B1, B6). Pure.

Whoever names few loads has a small figure. So every load and every source of emissions that a cited statement has is
named, excluded with a reason, or counted already by those that are named. What counts already follows from the plan and
from amounts, not from what anybody says:

1. A node with the same terms, or with the same stack, as one that is named or excluded: another profile of it.
2. Behind an import lie consumption, auxiliary and charge; what a battery takes lies in what is consumed (B1). Together
   they can hardly have more than came in or was made there: a tenth more, as M7 allows between two meters.
3. An import of which the named loads have at least the energy.
4. Of one source the measured node or all of those by fuel (M7).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.units import CONCENTRATION, FLOW
from ledger_client.accounting.tables.stated import StatedRows, base_unit, written
from ledger_client.balance.given import Excluded, Source, Terms

LOADS: Final = (words.CONSUMPTION, words.IMPORT, words.AUXILIARY, words.CHARGE)
_BEHIND: Final = {
    words.IMPORT: (words.CONSUMPTION, words.AUXILIARY, words.CHARGE),
    words.CONSUMPTION: (words.CHARGE,),
}
"""By the role of a named load, what lies behind it (B1)."""
_MADE: Final = (words.PRODUCTION, words.DISCHARGE)
_TENTH: Final = 10


def check_named(terms: Terms, source: Source) -> None:
    """Loads are electricity that was taken in the zone, emissions are direct ones; nothing counts twice (B1, B4)."""
    plan, where = source.stated.plan, f"{source.gateway}: plan {source.stated.plan.name}"
    for name in (*source.loads, *source.emissions):
        if name not in plan.nodes:
            refuse("P4", where, f"it has no node {name}", f"its nodes are {', '.join(sorted(plan.nodes))}")
    for name in source.loads:
        node = plan.nodes[name]
        if not _is_load(plan, node):
            refuse("B1", where, f"{name} is no load: its role is {node.role}", f"name nodes of {', '.join(LOADS)}")
        if node.zone is not None and node.zone != terms.zone:
            problem = f"{name} is in zone {node.zone}, the balance is of {terms.zone}"
            refuse("B1", where, problem, "make a balance for each zone")
    for name in source.emissions:
        node = plan.nodes[name]
        if not _is_source(node):
            problem = f"{name} is no emission of scope 1"
            refuse("B4", where, problem, "name nodes of role emission by cems or fuel; electricity is a load")
        if node.compare in source.emissions:
            problem = f"{name} and {node.compare} are of the same source"
            refuse("M7", where, problem, "name the measured one or those by fuel")
    _demand_apart(where, [plan.nodes[name] for name in source.loads])
    _demand_apart(where, [plan.nodes[name] for name in source.emissions])
    roles = {plan.nodes[name].role for name in source.loads}
    if (words.IMPORT in roles and len(roles) > 1) or (words.CHARGE in roles and words.CONSUMPTION in roles):
        problem = f"loads of {' and '.join(sorted(roles))} count energy twice"
        refuse(
            "B1", where, problem, "name what is imported, or what is consumed; what a battery gives is consumed already"
        )


def _is_load(plan: Plan, node: Node) -> bool:
    return node.role in LOADS and base_unit(plan, node.name) == "Wh"


def _is_source(node: Node) -> bool:
    return node.role == words.EMISSION and node.method != words.BY_ELECTRICITY


def _demand_apart(where: str, nodes: Sequence[Node]) -> None:
    """No two count the same register, or the same stack (once for each profile)."""
    seen = dict[str, str]()
    for node in nodes:
        measured = [point for letter, point in node.inputs.items() if letter == CONCENTRATION]
        for point in (*(point for _, point in node.terms), *measured):
            if point in seen:
                problem = f"{seen[point]} and {node.name} both count {point}"
                refuse("B1", where, problem, "name nodes that share no point")
            seen[point] = node.name


def excluded(terms: Terms, sources: Sequence[Source]) -> tuple[str, ...]:
    """The exclusions as a claim bears them, those of nodes with their amount; refuses nodes that are left out (B6)."""
    nodes = [one for one in terms.exclusions or () if isinstance(one, Excluded)]
    for number, one in enumerate(nodes):
        if any((one.gateway, one.plan, one.node) == other[:3] for other in nodes[:number]):
            refuse("B6", "exclusions", f"{one.of} is excluded twice", "name it once")
    amounts = dict[Excluded, tuple[int, str]]()
    for source in sources:
        plan, sums = source.stated.plan, _sums(source.stated)
        for one in nodes:
            node = plan.nodes.get(one.node)
            if (one.gateway, one.plan) == (source.gateway, plan.name) and node is not None:
                _check_excluded(one, plan, node, source)
                amounts[one] = amounts.get(one, (0, ""))[0] + sums[one.node], base_unit(plan, one.node)
    for one in nodes:
        if one not in amounts:
            refuse("B6", "exclusions", f"no cited statement has a node {one.of}", _known(sources))
    for source in sources:
        of = source.gateway, source.stated.plan.name
        _demand_whole(terms.zone, source, {one.node for one in nodes if (one.gateway, one.plan) == of})
    return tuple(one.in_words(*amounts[one]) if isinstance(one, Excluded) else one for one in terms.exclusions or ())


def _check_excluded(one: Excluded, plan: Plan, node: Node, source: Source) -> None:
    if one.node in source.loads or one.node in source.emissions:
        refuse("B6", "exclusions", f"{one.of} is named among the loads or emissions, too", "name it in one of both")
    if not (_is_load(plan, node) or _is_source(node)):
        problem = f"{one.of} is no load and no source of emissions: its role is {node.role}"
        refuse("B6", "exclusions", problem, "leave it out")


def _known(sources: Sequence[Source]) -> str:
    named = {f"{source.gateway}/{source.stated.plan.name}/NODE" for source in sources}
    return f"write it as {' or '.join(sorted(named))}, NODE a load or source of emissions of that plan"


def _sums(stated: StatedRows) -> Mapping[str, int]:
    """The amounts of a statement by node."""
    sums = defaultdict[str, int](int)
    for row in stated.rows:
        sums[row.node] += row.amount or 0
    return sums


def _demand_whole(zone: str, source: Source, left_out: set[str]) -> None:
    """Every load and every source of a statement is named, excluded or counted already (B6)."""
    plan, sums = source.stated.plan, _sums(source.stated)
    loads = [node for node in plan.nodes.values() if _is_load(plan, node)]
    direct = [node for node in plan.nodes.values() if _is_source(node)]
    left = [*_open_loads(zone, plan, loads, source.loads, left_out, sums)]
    left += _open_sources(direct, source.emissions, left_out)
    if not left:
        return
    amounts = {node.name: f"{written(sums[node.name])} {base_unit(plan, node.name)}" for node in left}
    problem = "in none of loads, emissions and exclusions: "
    problem += ", ".join(f"{node.name} ({node.role}, {amounts[node.name]})" for node in left)
    of = f"{source.gateway}/{plan.name}/{left[0].name}"
    way_out = f'name each, or exclude it and say why: exclusions = [{{ of = "{of}", reason = "…" }}]'
    refuse("B6", f"{source.gateway}: plan {plan.name}", problem, way_out)


def _open_loads(
    zone: str, plan: Plan, loads: Sequence[Node], named: Sequence[str], left_out: set[str], sums: Mapping[str, int]
) -> Iterator[Node]:
    """Loads that are neither named nor excluded nor counted already; one of another zone never is."""
    counted = [node for node in loads if node.name in named]
    alike = {frozenset(node.terms) for node in loads if node.name in {*named, *left_out} and node.terms}
    others = [n for n in loads if n.name not in {*named, *left_out} and frozenset(n.terms) not in alike]
    yield from (node for node in others if node.zone not in (None, zone))
    others = [node for node in others if node.zone in (None, zone)]
    energy = sum(sums[node.name] for node in counted)
    made = sum(sums[node.name] for node in plan.nodes.values() if node.role in _MADE)
    behind = {role for node in counted for role in _BEHIND.get(node.role, ())}
    inner = [node for node in others if node.role in behind]
    imports = [node for node in others if node.role == words.IMPORT]
    if _TENTH * _of(inner, sums) > (_TENTH + 1) * (energy + made):
        yield from inner
    if _of(imports, sums) > energy or any(node.role == words.IMPORT for node in counted):
        yield from imports
    yield from (node for node in others if node not in inner and node not in imports)


def _of(nodes: Iterable[Node], sums: Mapping[str, int]) -> int:
    """Their energy; one that is below 0 makes no room for another."""
    return sum(max(0, sums[node.name]) for node in nodes)


def _open_sources(sources: Sequence[Node], named: Sequence[str], left_out: set[str]) -> Iterator[Node]:
    """Sources of emissions of which no node is named or excluded, and fuels of one that is named in part (M7)."""
    counted = _with_alike(sources, set(named))
    settled = counted | _with_alike(sources, left_out)
    by_fuel = defaultdict[str, set[str]](set)
    for node in sources:
        if node.compare is not None:
            by_fuel[node.compare].add(node.name)
    for node in sources:
        of_fuels, others = by_fuel.get(node.name, set()), by_fuel.get(node.compare or "", set())
        if node.name in settled or (of_fuels and of_fuels <= settled):
            continue
        if node.compare in counted or (node.compare in settled and counted.isdisjoint(others)):
            continue
        yield node


def _with_alike(sources: Sequence[Node], names: set[str]) -> set[str]:
    """Nodes, and other profiles of theirs."""
    stacks = {_stack(node) for node in sources if node.name in names}
    return {node.name for node in sources if _stack(node) in stacks}


def _stack(node: Node) -> tuple[frozenset[tuple[int, str]], str | None, str | None]:
    """What two profiles of one source have in common."""
    return frozenset(node.terms), node.inputs.get(CONCENTRATION), node.inputs.get(FLOW)
