"""Grounds of a row's status and amount: the rule (docs/accounting.md), and the clause that it follows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ledger_client.accounting.cems import means_of
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.rows import Row


class Ground(NamedTuple):
    """A rule and its clause; whether the clause is confirmed (docs/accounting.md, Sources)."""

    rule: str
    clause: str
    confirmed: bool


FIXED: Final[Mapping[str, Ground]] = {
    words.BRIDGED: Ground("I4", "ours", True),
    words.IMPLAUSIBLE: Ground("I6", "EnergyTag GC Scheme Standard v2", False),
    words.UNALLOCATED: Ground("I5", "ours", True),
    words.UNKNOWN: Ground("I4", "ours", True),
    words.STOPPED: Ground("H4", "ours", True),
    words.MANUAL: Ground("S5", "ours", True),
}
"""Of statuses that no parameter of a profile decides: the sources of docs/accounting.md, in full."""
_NO_ANALYSIS: Final = Ground("M6", "ours", True)
"""Nothing says how much carbon a fuel has."""
_NO_GAS: Final = Ground("M1", "ours", True)
"""Every mean is known, and they are of no gas."""
_OF_PROFILE: Final[Mapping[str, tuple[str, str]]] = {
    words.MEASURED: ("I3", "edge"),
    words.SPLIT: ("I3", "edge"),
    words.VALID: ("H2", "validity"),
    words.MISSING: ("H2", "validity"),
}
"""Rule and parameter of the profile, whose clause counts."""
_SUBSTITUTION: Final = {"EU-45": "S2", "CN-HJ75": "S4"}
_AMOUNT: Final = {words.BY_ELECTRICITY: "M8", words.BY_FUEL: "M6", "entry": "S5", **_SUBSTITUTION}


def ground(plan: Plan, row: Row) -> Ground:
    """Why a row has its status. Nothing is confirmed under a profile of somebody's own (H7)."""
    found = _ground(plan, row)
    return found._replace(confirmed=False) if words.is_unpublished(plan.nodes[row.node].regime.id) else found


def _ground(plan: Plan, row: Row) -> Ground:
    node = plan.nodes[row.node]
    if row.status in FIXED:
        return FIXED[row.status]
    if row.status == words.SUBSTITUTED:
        rule, parameter = _SUBSTITUTION.get(row.facts.get("method", ""), "S1"), "substitution"
    elif row.status == words.MISSING and node.method == words.BY_FUEL:
        return _NO_ANALYSIS
    elif row.status == words.MISSING and len(means_of(row, list(node.inputs.values()))) == len(node.inputs):
        return _NO_GAS
    else:
        rule, parameter = _OF_PROFILE[row.status]
    regime = node.regime
    return Ground(rule, regime.clauses.get(parameter, ""), parameter not in regime.unconfirmed)


def amount_rule(plan: Plan, row: Row) -> str | None:
    """The rule that a row's amount follows; None: it has none."""
    if row.amount is None:
        return None
    if row.status == words.STOPPED:
        return "H4"
    method = row.facts.get("method")
    if method == words.CEMS:
        return "M4"
    if method in _AMOUNT:
        return _AMOUNT[method]
    return "P5" if row.facts.get("reason") == "below" or not plan.nodes[row.node].terms else "I3"
