"""What is unusual of entries, of plans and of statements: each by its bound (docs/accounting.md, unusual inputs). Pure.

Only what counts is judged: entries that count in the last version of a statement, and the plans of those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

from ledger_client.accounting import factors, profiles
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.numbers import MILLI, half_even, scaled
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.standings import COUNTS
from ledger_client.inputs.fuel_limits import FUEL_LIMITS, Limits
from ledger_client.inputs.listing import Input, changed
from ledger_client.inputs.plan_shows import shown_by_plan
from ledger_client.inputs.review import Review
from ledger_client.inputs.unusual import Unusual
from ledger_client.times import rfc3339, rfc3339_ms

LATE_DAYS: Final = 40
_DAY_S: Final = 86_400
WITH_DOCUMENT: Final = frozenset({"lab", "calibration", "value", "settlement"})
SHIFT_PERCENT: Final = 5
LEAST_OXIDATION: Final = Fraction(95, 100)
MOST_CAPACITY: Final = Fraction(120, 100)
ABOVE_RANGE: Final = Fraction(1, 100)
CORROBORATED_PERCENT: Final = 10


def of_entry(one: Input, plan: Plan | None) -> Iterator[Unusual]:
    """An entry that counts; ``plan``: the one that it is on."""
    if one.standing != COUNTS or one.kind not in words.ENTRY_KINDS:
        return
    facts = {"kind": one.kind, "of": one.of, "since": rfc3339_ms(one.from_ms)}
    record = one.signed.record
    until_ms = one.from_ms if one.kind == "calibration" or one.to_ms is None else one.to_ms
    ledgers_s = one.signed.ledgers_s
    if ledgers_s is not None and ledgers_s * 1000 > until_ms + LATE_DAYS * _DAY_S * 1000:
        times = {"until": rfc3339_ms(until_ms), "at": rfc3339(ledgers_s), "days": str(LATE_DAYS)}
        yield Unusual("late", one.of, facts | times, record)
    if one.kind in WITH_DOCUMENT and one.file is None:
        what = "it names no document"
        if one.document is not None:
            what = f"no file here has the SHA-256 of its document, {one.document.hex()}"
        yield Unusual("no-document", one.of, facts | {"what": what}, record)
    if one.kind == "settlement" and Decimal(one.values["value"]) < 0:
        amount = f"{one.values['value']} {one.values.get('unit', '')}".rstrip()
        yield Unusual("settlement-below-0", one.of, facts | {"amount": amount}, record)
    node = plan.nodes.get(one.of) if plan is not None else None
    if one.kind == "lab" and node is not None and plan is not None:
        for what in _analysis(
            plan, node, {name: Fraction(text) for name, text in one.values.items() if name not in ("unit", "refused")}
        ):
            yield Unusual(
                "lab-range", one.of, {"of": f"the analysis of {one.of} from {facts['since']}", "what": what}, record
            )


def of_plan(
    plan: Plan, record: bytes, roles: Mapping[str, Collection[str]], used_elsewhere: Collection[str], year: int
) -> Iterator[Unusual]:
    """A plan that a statement names; ``year``: the civil year of that statement; others as of ``shown_by_plan``."""
    for one in shown_by_plan(plan, roles, used_elsewhere):
        yield one._replace(record=record)
    for name in sorted({node.regime.id for node in plan.nodes.values()}):
        if (what := _own_profile(plan, name)) is not None:
            yield Unusual("own-profile", name, {"id": name, "what": what}, record)
    for node in plan.nodes.values():
        for id_, what in _factors(plan, node, year):
            yield Unusual("own-factor", node.name, {"id": id_, "node": node.name, "what": what}, record)
        if node.method == words.BY_FUEL:
            if node.fuel is None:
                what = "the plan names no fuel by whose limits an analysis could be judged"
                yield Unusual("lab-range", node.name, {"of": node.name, "what": what}, record)
            for what in _analysis(plan, node, node.defaults):
                yield Unusual("lab-range", node.name, {"of": f"the defaults of {node.name}", "what": what}, record)
        certified = node.certificate["capacity"] if node.certificate is not None else None
        if certified is not None and node.capacity_w is not None and node.capacity_w > MOST_CAPACITY * certified:
            what = f"its capacity of {node.capacity_w} W is more than 1.2 × the certificate's {certified} W"
            yield Unusual("out-of-reach", node.name, {"of": node.name, "what": what}, record)


def of_statement(one: Review, record: bytes) -> Iterator[Unusual]:
    """The last version of a statement; ``record``: its hash."""
    for node, (with_them, without) in one.shifts.items():
        if with_them != without and (
            with_them is None or without is None or abs(with_them - without) * 100 > SHIFT_PERCENT * abs(without)
        ):
            facts = {"node": node, "total": _kg(with_them), "without": _kg(without), "percent": str(SHIFT_PERCENT)}
            yield Unusual("calibration-shift", node, facts, record)
    for manual in one.manual:
        if manual.mean is None or manual.amount < manual.mean:
            mean = None if manual.mean is None else half_even(manual.mean.numerator, manual.mean.denominator)
            facts = {"node": manual.node, "since": rfc3339_ms(manual.from_ms), "amount": _kg(manual.amount)}
            yield Unusual("substitute-low", manual.node, facts | {"mean": _kg(mean)}, record)
    for node, amount in one.unreached.items():
        if amount > 0:
            what = f"its operating signal never reached the threshold, yet it and its fuels count {_kg(amount)}"
            yield Unusual("out-of-reach", node, {"of": node, "what": what}, record)
    for beyond in one.beyond:
        if beyond.above > ABOVE_RANGE * (beyond.taken + beyond.above):
            what = f"{beyond.above} of {beyond.taken + beyond.above} values are above its range"
            yield Unusual("out-of-reach", beyond.point, {"of": beyond.point, "what": what}, record)
    for node, amount in one.after_closure.items():
        if amount > 0:
            unit = _base(one.plan, one.plan.nodes[node])
            facts = {"node": node, "amount": f"{format(scaled(amount, MILLI), 'f')} {unit}"}
            yield Unusual("closed-but-counting", node, facts, record)
    for node, share in one.shares.items():
        if abs(share) * 100 > CORROBORATED_PERCENT:
            facts = {"node": node, "share": f"{share * 100:f} %", "percent": str(CORROBORATED_PERCENT)}
            yield Unusual("m7", node, facts, record)
    if one.retrospective:
        nodes = ", ".join(sorted(one.retrospective))
        rows = str(sum(one.retrospective.values()))
        yield Unusual("retrospective", nodes, {"nodes": nodes, "rows": rows}, record)
    for name, count in sorted(one.findings.items()):
        yield Unusual("finding", name, {"name": name, "count": str(count)}, record)


def _analysis(plan: Plan, node: Node, values: Mapping[str, Fraction]) -> Iterator[str]:
    """What an analysis, or the defaults of a node, say beyond the limits of its fuel."""
    if "OF" in values and values["OF"] < LEAST_OXIDATION:
        yield f"OF {_number(values['OF'])} is below {_number(LEAST_OXIDATION)}"
    if node.fuel is None:
        return
    limits = FUEL_LIMITS.get(node.fuel)
    if limits is None:
        if set(values) - {"OF"}:
            yield f"no limits of fuel {node.fuel} are known; they are of {', '.join(FUEL_LIMITS)}"
        return
    by_mass = _base(plan, node) == "kg"
    for letter, value, (low, high) in _bounded(values, limits, by_mass=by_mass):
        if not low <= value <= high:
            span = f"{_number(low)} to {_number(high)}"
            yield f"{letter} {_number(value)} is outside of {span}, the limits of {node.fuel} (IPCC 2006 vol. 2 ch. 1)"
    if not by_mass and values.keys() & {"C_ar", "C_ad"}:
        yield f"carbon for a m3 of {node.fuel} has no published limits"


def _bounded(
    values: Mapping[str, Fraction], limits: Limits, *, by_mass: bool
) -> Iterator[tuple[str, Fraction, tuple[Fraction, Fraction]]]:
    """Each value with a limit; of volumes table 1.2 knows no NCV, and of carbon nothing."""
    if "CC" in values:
        yield "CC", values["CC"], limits.cc
    if by_mass and "NCV" in values:
        yield "NCV", values["NCV"], limits.ncv
    if by_mass and "C_ar" in values:
        yield "C_ar", values["C_ar"], limits.carbon
    elif by_mass and values.keys() >= {"C_ad", "M_ar", "M_ad"} and values["M_ad"] < 100:
        as_received = values["C_ad"] * (100 - values["M_ar"]) / (100 - values["M_ad"])
        yield "C_ar", as_received, limits.carbon
    elif by_mass and "C_ad" in values:
        yield "C_ad", values["C_ad"], limits.carbon


def _own_profile(plan: Plan, name: str) -> str | None:
    """Why a profile is none that comes with the program; None: it is one."""
    if words.is_unpublished(name) or name not in profiles.names():
        return "no published profile has its id"
    if others := list(changed(profiles.load(name), plan.fields["profiles"][name])):
        return f"it says otherwise than the published one: {'; '.join(others)}"
    return None


def _factors(plan: Plan, node: Node, year: int) -> Iterator[tuple[str, str]]:
    """Factors of a node that are not published, and one that is fixed although a newer one is."""
    if node.factor_series is None:
        return
    series = [factor for factor in plan.factors if factor.series == node.factor_series]
    if node.factor_rule == "fixed":
        series = [factor for factor in series if node.factor_id in (None, factor.id)]
    published = {str(one["id"]): one for one in factors.load()}
    for factor in series:
        known = published.get(factor.id)
        if words.is_unpublished(factor.id) or known is None:
            yield factor.id, f"no published factor has its id; it is {factor.value} {factor.unit} of {factor.document}"
        elif (Fraction(known["value"]), known["unit"], known["vintage"]) != (
            factor.amount,
            factor.unit,
            factor.vintage,
        ):
            yield factor.id, f"it is {factor.value} {factor.unit}, published is {known['value']} {known['unit']}"
    vintages = [one["vintage"] for one in factors.series(node.factor_series)]
    vintages += [factor.vintage for factor in plan.factors if factor.series == node.factor_series]
    newest = max((vintage for vintage in vintages if vintage <= year), default=0)
    if node.factor_rule == "fixed" and series and series[0].vintage < newest:
        yield series[0].id, f"it is fixed on {series[0].vintage}, and the series has one for {newest}"


def year_of(plan: Plan, time_ms: int) -> int:
    """The civil year of a moment."""
    return civil(time_ms, plan.civil_min).year


def meters_elsewhere(plans: Sequence[Plan], plan: Plan) -> set[str]:
    """The meters of nodes in plans of another name."""
    return {
        other.points[name].meter
        for other in plans
        if other.name != plan.name
        for node in other.nodes.values()
        for name in [*(point for _, point in node.terms), *node.gauges.values()]
    }


def _base(plan: Plan, node: Node) -> str:
    """What the registers of a node count."""
    return next((unit.base for _, name in node.terms if (unit := plan.points[name].unit) is not None), "")


def _kg(amount: int | None) -> str:
    return "nothing" if amount is None else f"{format(scaled(amount, MILLI), 'f')} kg"


def _number(value: Fraction) -> str:
    """A number, exactly where it has few places."""
    return f"{float(value):.6g}"
