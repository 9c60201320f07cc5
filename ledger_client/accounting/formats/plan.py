"""Accounting plan: points, nodes, profiles and factors of a site, as in the event ``plan`` (rules P1–P8). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.factor import Factor, parse_factor
from ledger_client.accounting.formats.fields import Fields
from ledger_client.accounting.formats.letters import letter_fault
from ledger_client.accounting.formats.point import Point, parse_point
from ledger_client.accounting.formats.regimes import Regime, parse_regime
from ledger_client.accounting.formats.units import (
    CONCENTRATION,
    FLOW,
    INPUT_UNITS,
    PRESSURE,
    SHARES,
    TEMPERATURE,
    WATER,
)
from ledger_client.formats.checks import is_name

HOUR_MS, QUARTER_MS, MINUTE_MS = 3_600_000, 900_000, 60_000
_PLAN: Final = (
    "plan", "v", "rules", "from", "interval", "civil", "points", "nodes", "profiles", "factors", "site", "disclosure",
)  # fmt: skip
_NODE: Final = (
    "role", "terms", "profile", "zone", "below", "capacity", "method", "inputs", "operating", "threshold", "factor",
    "factor_rule", "factor_id", "defaults", "compare", "certificate", "registry", "fuel", "reason",
)  # fmt: skip
_CERTIFICATE: Final = (
    "id", "name", "source", "technology", "capacity", "commissioned", "location", "configuration", "class", "scheme",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A named sum of points with a role (P4). ``terms``: (+1 or −1, point). ``capacity_w`` None: not known.
    ``compare``: of an emission by fuel the measured one of the same source (M7). ``fuel``: what is burnt, by whose
    limits analyses are judged; ``reason``: why the node is otherwise than usual (docs/accounting.md, unusual inputs).
    """

    name: str
    role: str
    terms: tuple[tuple[int, str], ...]
    regime: Regime
    zone: str | None
    below: str | None
    capacity_w: int | None
    method: str | None
    inputs: Mapping[str, str]
    operating: str | None
    threshold: Fraction | None
    factor_series: str | None
    factor_rule: str | None
    factor_id: str | None
    defaults: Mapping[str, Fraction]
    compare: str | None
    certificate: Mapping[str, Any] | None
    registry: str | None
    fuel: str | None
    reason: str | None

    @property
    def of_counters(self) -> bool:
        """Whether its rows are differences of registers."""
        return bool(self.terms)

    @property
    def gauges(self) -> dict[str, str]:
        """Points of its inputs by letter, and that of its operating signal under ``operating``."""
        return dict(self.inputs) | ({"operating": self.operating} if self.operating else {})


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a result depends on besides the records (P1). ``unused``: meters of the gateway that no node has, each
    with the reason. ``fields``: the event's own, as it was signed."""

    name: str
    version: int
    from_ms: int
    interval_ms: int
    civil_min: int
    points: Mapping[str, Point]
    nodes: Mapping[str, Node]
    regimes: Mapping[str, Regime]
    factors: tuple[Factor, ...]
    balanced: bool
    unused: Mapping[str, str]
    disclosure: str
    fields: Mapping[str, Any]

    @property
    def meters(self) -> frozenset[str]:
        """Every meter of a point."""
        return frozenset(point.meter for point in self.points.values())

    def concerns(self, name: str) -> bool:
        """Whether an entry of this point or node is on the plan (P9)."""
        return name in self.points or name in self.nodes

    def base_of(self, name: str) -> str | None:
        """What a point or a node counts: Wh, kg or m3; None: nothing of these, or the plan does not have it."""
        if name in self.points:
            unit = self.points[name].unit
            return None if unit is None else unit.base
        node = self.nodes.get(name)
        if node is not None and node.role == words.EMISSION:
            return "kg"
        for _, point in node.terms if node is not None else ():
            return self.base_of(point)
        above = next((other for other in self.nodes.values() if node is not None and other.below == name), None)
        return None if above is None else self.base_of(above.name)

    def rules_from_ms(self, iat_ms: int) -> int:
        """The first interval that it rules, signed at that moment, unless it is the first of its name (P2)."""
        return -(-max(self.from_ms, iat_ms) // self.interval_ms) * self.interval_ms

    def coverage_waits(self, closed: Collection[str]) -> Iterator[tuple[str, int]]:
        """Of each point of nodes that are not ``closed`` its meter, and by how much the coverage of that has to pass
        the end of a period, in ms: of a counter as long as an edge may wait for its next look, of a gauge 0 (T2)."""
        for node in self.nodes.values():
            if node.name not in closed:
                waits = {name: int(self.edge_gap_ms(self.points[name], node.regime)) for _, name in node.terms}
                waits |= dict.fromkeys(node.gauges.values(), 0)
                for name, wait_ms in waits.items():
                    yield self.points[name].meter, wait_ms

    def reference_ms(self, regime: Regime) -> int:
        """The reference period of gauges under a profile."""
        return regime.reference_ms or self.interval_ms

    def edge_gap_ms(self, point: Point, regime: Regime) -> Fraction:
        """The longest gap between two looks around an edge that is known (I2)."""
        return max(Fraction(3 * point.sample_ms, 2), regime.edge * self.interval_ms)


def parse_plan(fields: Mapping[str, Any]) -> Plan:
    """A plan from its event's fields. Raises AccountingError: what is wrong, where, under which rule."""
    of = Fields(fields, "plan", "P1", _PLAN)
    rules = of.text("rules")
    if rules != words.RULES:
        of.refuse("rules", f"they are {rules!r}; this program knows {words.RULES}")
    interval_ms = of.uint("interval", 1) * 1000
    if interval_ms not in (HOUR_MS, QUARTER_MS):
        of.refuse("interval", f"it is {interval_ms // 1000} s", "give 3600 or 900", rule="N6")
    civil_min = _civil(of, interval_ms)
    from_ms = of.uint("from")
    if from_ms % interval_ms:
        of.refuse("from", "it is not on the grid of the interval", "begin a plan with an interval", rule="N6")
    regimes = {name: parse_regime(name, value) for name, value in of.table("profiles").items()}
    points = {name: parse_point(name, value, interval_ms) for name, value in of.table("points").items()}
    factors = tuple(parse_factor(n, value) for n, value in enumerate(of.items("factors")))
    nodes = {n: _node(n, value, interval_ms, points, regimes, factors) for n, value in of.table("nodes").items()}
    site = Fields(of.table("site"), "plan.site", "P7", ("balanced", "name", "boundary", "unused"))
    plan = Plan(
        of.name("plan"),
        of.uint("v", 1),
        from_ms,
        interval_ms,
        civil_min,
        points,
        nodes,
        regimes,
        factors,
        site.of.get("balanced") is True,
        _unused(site),
        of.choice("disclosure", ("full", "root"), "full"),
        dict(fields),
    )
    _check_together(of, plan)
    return plan


def _unused(site: Fields) -> dict[str, str]:
    reasons = site.table("unused", {})
    texts = Fields(reasons, "plan.site.unused", "P7", tuple(reasons))
    return {meter: texts.text(meter) for meter in reasons}


def _civil(of: Fields, interval_ms: int) -> int:
    value = of.get("civil")
    if type(value) is not int or not -840 <= value <= 840 or value % 30:
        of.refuse("civil", f"it is {value!r}, not minutes from UTC in half hours", rule="N6")
    if value % 60 and interval_ms == HOUR_MS:
        of.refuse("civil", f"{value} minutes from UTC cut an hour", "give an interval of 900 s", rule="N6")
    return value


def _node(
    name: str, value: object, interval_ms: int,
    points: Mapping[str, Point], regimes: Mapping[str, Regime], factors: tuple[Factor, ...],
) -> Node:  # fmt: skip
    of = Fields(value, f"plan.nodes.{name}", "P4", _NODE)
    if not is_name(name):
        of.refuse("", f"{name!r} is not a name")
    profile = of.text("profile")
    if profile not in regimes:
        of.refuse("profile", f"the plan has no profile {profile}", "copy it into plan.profiles")
    role = of.choice("role", words.ROLES)
    method = of.choice("method", words.METHODS) if "method" in of else None
    if (role == words.EMISSION) != (method is not None):
        of.refuse("method", "an emission has a method, and nothing else does")
    if method is not None and "below" in of:
        of.refuse("below", "an emission is not counted below 0", "leave it out", rule="P5")
    capacity = of.uint("capacity", 0) if "capacity" in of else None
    if capacity == 0:
        of.refuse("capacity", "it is 0", "give the nominal power in W")
    inputs = {letter: str(point) for letter, point in of.table("inputs", {}).items()}
    for letter, point in inputs.items():
        if point not in points:
            of.refuse(f"inputs.{letter}", f"the plan has no point {point}")
    series = of.text("factor") if "factor" in of else None
    if series is not None and not any(factor.series == series for factor in factors):
        of.refuse("factor", f"the plan has no factor of series {series}", "copy it into plan.factors", rule="F2")
    operating = of.text("operating") if "operating" in of else None
    if operating is not None and operating not in points:
        of.refuse("operating", f"the plan has no point {operating}")
    if method == words.CEMS:
        _check_measured(of, inputs, points, regimes[profile])
        gauges = {f"inputs.{letter}": points[point] for letter, point in inputs.items()}
        gauges |= {"operating": points[operating]} if operating is not None else {}
        _check_reference(of, gauges, regimes[profile], interval_ms)
    terms = _terms(of, points)
    if method is not None and method in _COUNTED:
        _check_product(of, terms, points, method, series)
    return Node(
        name, role, terms, regimes[profile],
        of.text("zone") if "zone" in of else None,
        of.name("below") if "below" in of else None,
        capacity, method, inputs, operating,
        of.fraction("threshold") if operating is not None else None,
        series, of.choice("factor_rule", ("fixed", "year-of-use")) if series is not None else None,
        of.text("factor_id") if "factor_id" in of else None,
        _defaults(of),
        _compare(of, method),
        _certificate(of) if "certificate" in of else None,
        of.text("registry") if "registry" in of else None,
        of.text("fuel") if "fuel" in of else None,
        of.text("reason") if "reason" in of else None,
    )  # fmt: skip


def _defaults(of: Fields) -> dict[str, Fraction]:
    values = of.table("defaults", {})
    numbers = Fields(values, f"{of.where}.defaults", "M6", tuple(values))
    for letter in values:
        if (fault := letter_fault(letter, numbers.number(letter))) is not None:
            numbers.refuse(letter, *fault)
    return {letter: numbers.fraction(letter) for letter in values}


def _compare(of: Fields, method: str | None) -> str | None:
    if "compare" not in of:
        return None
    if method != words.BY_FUEL:
        of.refuse("compare", "it is no emission by fuel", "give it to the node by fuel", rule="M7")
    return of.name("compare")


def _check_measured(of: Fields, inputs: Mapping[str, str], points: Mapping[str, Point], regime: Regime) -> None:
    """Inputs of a measured emission: each letter, its unit, what basis it is on."""
    for letter in (CONCENTRATION, FLOW, TEMPERATURE, PRESSURE):
        if letter not in inputs:
            of.refuse("inputs", f"{letter} is missing", "name c, Q, t and p, and w where wet meets dry")
    for letter, name in inputs.items():
        point, known = points[name], INPUT_UNITS.get(letter)
        if known is None:
            of.refuse(f"inputs.{letter}", "there is no such input", f"they are {', '.join(INPUT_UNITS)}")
        if point.unit_name not in known:
            units = ", ".join(sorted(known))
            of.refuse(f"inputs.{letter}", f"{name} is in {point.unit_name}", f"its unit is one of {units}", rule="M1")
        if letter in (CONCENTRATION, FLOW) and point.basis is None:
            of.refuse(f"inputs.{letter}", f"{name} does not say wet or dry", "give basis", rule="M2")
    content, flow = points[inputs[CONCENTRATION]], points[inputs[FLOW]]
    if content.basis != flow.basis and WATER not in inputs:
        of.refuse("inputs", "wet meets dry, and w is missing", "name the point of H₂O", rule="M2")
    if content.unit_name in SHARES and regime.density is None:
        of.refuse("inputs.c", f"{content.unit_name} needs the density of the gas", "give density", rule="M3")


def _check_reference(of: Fields, gauges: Mapping[str, Point], regime: Regime, interval_ms: int) -> None:
    """References of a measured emission: what makes one valid, and that each of its gauges is sampled on its grid."""
    if regime.validity is None:
        of.refuse("profile", f"{regime.id} does not say when a reference is valid", "give it validity", rule="H2")
    reference_ms = regime.reference_ms or interval_ms
    if interval_ms % reference_ms:
        of.refuse("profile", f"the reference of {regime.id} does not divide the interval", rule="H1")
    if regime.minutes * MINUTE_MS > reference_ms:
        of.refuse("profile", f"{regime.id} asks for more minutes than a reference has", rule="H2")
    grid_ms = MINUTE_MS if regime.validity == "minutes" else reference_ms
    for where, point in gauges.items():
        if point.kind != words.GAUGE:
            of.refuse(where, f"{point.name} is no gauge")
        if grid_ms % point.sample_ms:
            grid = "minute" if grid_ms == MINUTE_MS else "reference"
            of.refuse(where, f"the sample of {point.name} divides no {grid}", "poll on its grid", rule="P3")
        if regime.most_sample_ms is not None and point.sample_ms > regime.most_sample_ms:
            seldom = f"{point.name} is sampled every {point.sample_ms} ms, {regime.id} asks for {regime.most_sample_ms}"
            of.refuse(where, seldom, "poll more often", rule="P3")


_COUNTED: Final[Mapping[str, frozenset[str]]] = {
    words.BY_ELECTRICITY: frozenset({"Wh"}),
    words.BY_FUEL: frozenset({"kg", "m3"}),
}
"""What the registers of an emission by energy or by fuel count (M6, M8)."""


def _check_product(
    of: Fields, terms: Sequence[tuple[int, str]], points: Mapping[str, Point], method: str, series: str | None
) -> None:
    """An emission by energy or by fuel has registers of it; by energy it has a factor."""
    bases = {unit.base for _, name in terms if (unit := points[name].unit) is not None}
    if not bases or not bases <= _COUNTED[method]:
        known = " or ".join(sorted(_COUNTED[method]))
        of.refuse("terms", f"they count no {method}", f"name registers of {known}")
    if method == words.BY_ELECTRICITY and series is None:
        of.refuse("factor", "it is missing", "name the series of the load's region", rule="F2")


def _terms(of: Fields, points: Mapping[str, Point]) -> tuple[tuple[int, str], ...]:
    terms: list[tuple[int, str]] = []
    for term in of.items("terms") if "terms" in of else ():
        if not isinstance(term, list | tuple) or [*map(type, term)] != [int, str] or term[0] not in (1, -1):
            of.refuse("terms", f'{term!r} is not [1 or -1, "METER/POINT"]')
        sign, point = term
        if any(point == other for _, other in terms):
            of.refuse("terms", f"{point} stands in them twice")
        if point not in points:
            of.refuse("terms", f"the plan has no point {point}")
        if points[point].kind != words.COUNTER:
            of.refuse("terms", f"{point} is no counter: only registers are summed")
        terms.append((sign, str(point)))
    bases = {points[point].unit.base for _, point in terms}  # type: ignore[union-attr]
    if len(bases) > 1:
        of.refuse("terms", f"they are in {' and '.join(sorted(bases))}", "sum registers of one kind")
    return tuple(terms)


def _certificate(of: Fields) -> Mapping[str, Any]:
    certificate = Fields(of.get("certificate"), f"{of.where}.certificate", "P4", _CERTIFICATE)
    for key in ("id", "name", "source", "technology", "commissioned", "location", "class"):
        certificate.text(key)
    certificate.uint("capacity", 1)
    certificate.uint("configuration", 1, 3)
    certificate.choice("scheme", ("gc", "offset"))
    return certificate.of


def _check_together(of: Fields, plan: Plan) -> None:
    """What only the nodes together can break (P5, P6)."""
    producing = Counter(p for node in plan.nodes.values() if node.role == words.PRODUCTION for _, p in node.terms)
    for point, count in producing.items():
        if count > 1:
            of.refuse("nodes", f"{point} is in {count} production nodes", "a point is produced once", rule="P6")
    devices = Counter(node.certificate["id"] for node in plan.nodes.values() if node.certificate)
    for device, count in devices.items():
        if count > 1:
            of.refuse("nodes", f"the device {device} is on {count} nodes", "certify it once", rule="P6")
    below = Counter(node.below for node in plan.nodes.values() if node.below)
    for name, count in below.items():
        node = plan.nodes.get(name)
        if node is None or node.terms or node.inputs:
            of.refuse("nodes", f"{name} is to take what falls below 0", "name a node without terms", rule="P5")
        if count > 1:
            of.refuse("nodes", f"{name} takes from {count} nodes", "it is one node's", rule="P5")
    for node in plan.nodes.values():
        if node.compare is not None and (node.compare not in plan.nodes or not plan.nodes[node.compare].inputs):
            where = f"nodes.{node.name}.compare"
            of.refuse(where, f"{node.compare} is no measured emission", "name the node by cems", rule="M7")
        if not node.terms and not node.inputs and node.name not in below:
            of.refuse(f"nodes.{node.name}", "it has neither terms nor inputs", "name its points", rule="P4")
