"""The part of the second implementation about numbers, entries and counters (docs/accounting.md: N, P9, I, U1, P7)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil, isfinite, isqrt
from typing import Any, NamedTuple

import cbor2

from ledger_client.formats.record import Coverage, Event, Quality, Reading

Plan = Mapping[str, Any]
Given = Sequence[tuple[Mapping[str, Any], bytes]]
"""Entries where they count: fields, with the time of that and ``begins`` of the entry itself, and record hash."""

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
TO_BASE = {
    "J": Fraction(1, 3600), "Wh": Fraction(1), "kWh": Fraction(1000), "MWh": Fraction(10**6),
    "g": Fraction(1, 1000), "kg": Fraction(1), "t": Fraction(1000), "l": Fraction(1, 1000), "m3": Fraction(1),
}  # fmt: skip
WORST_LAST = ("measured", "split", "bridged", "implausible", "unallocated", "unknown")
STATUSES = (*WORST_LAST, "valid", "stopped", "missing", "substituted", "manual", "u")
BREAKS = {Quality.ROLLOVER: "ROLLOVER", Quality.COUNTER_RESET: "RESET", Quality.METER_EXCHANGED: "EXCHANGED"}
RULED_HERE = ("ROLLOVER", "COUNTER_RESET", "METER_EXCHANGED", "CLOCK_UNSYNC", "CLOCK_STEP")
NEVER = ("IMPLAUSIBLE", "LATE")


class Signed(NamedTuple):
    """One record, in the order of batches and leaves."""

    meter: str
    clock: str
    body: Reading | Coverage | Event
    hash: bytes


class Row(NamedTuple):
    node: str
    from_ms: int
    to_ms: int
    status: str
    amount: int | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class Period:
    """What is stated. ``uses``: earlier statements by hash with their rows; ``kept``: entries of the one before."""

    plan: bytes
    signed_ms: int
    from_ms: int
    to_ms: int
    batches: tuple[tuple[int, bytes], tuple[int, bytes]]
    version: int = 1
    before: bytes | None = None
    supersedes: bytes | None = None
    reason: str | None = None
    uses: tuple[bytes, ...] = ()
    earlier: tuple[Row, ...] = ()
    kept: tuple[tuple[Mapping[str, Any], bytes], ...] = ()


def tag4(exponent: int, mantissa: int) -> cbor2.CBORTag:
    return cbor2.CBORTag(4, [exponent, mantissa])


def thousandths(number: Any, unit: str) -> int:
    """N2: converted first, then rounded once, half to even (which is what ``round`` of a Fraction does)."""
    return round(Fraction(number) * TO_BASE[unit] * 1000)


def root_of(x: Fraction) -> Fraction:
    """N3."""
    return Fraction(isqrt(x.numerator * 10**24 // x.denominator), 10**12)


# ---- I1 to I4


@dataclass
class Look:
    at: int
    register: int
    hash: bytes
    firm: bool
    step: bool
    breaks: set[str] = field(default_factory=set)
    jumps: list[tuple[str, int, bytes]] = field(default_factory=list)

    @property
    def kind(self) -> str | None:
        return self.jumps[0][0] if self.jumps else None


def known_bits(accept: Sequence[str]) -> int:
    names = [name for name in accept if name not in NEVER] + list(RULED_HERE)
    return int(sum({int(Quality[name]) for name in names}))


def is_number(value: object) -> bool:
    return type(value) in (int, Decimal) or (type(value) is float and isfinite(value))


def exactly(number: Any) -> Fraction:
    """N1."""
    return Fraction(number)


def values_of(records: Sequence[Signed], point: str) -> Iterator[tuple[int, Any, Signed]]:
    meter, _, name = point.partition("/")
    for t in records:
        if t.meter == meter and isinstance(t.body, Reading):
            for value in t.body.values:
                if value.name == name:
                    yield t.body.time_ms + value.offset_ms, value, t


def accepted(
    plan: Plan, profile: Mapping[str, Any], point: str, records: Sequence[Signed]
) -> Iterator[tuple[int, Any, Signed]]:
    """I1: the looks of a point, or the values of a gauge, in order."""
    allowed, unit, last = known_bits(profile["accept"]), plan["points"][point]["unit"], -1
    for at, value, t in values_of(records, point):
        if at > last and is_number(value.value) and value.unit == unit and not value.quality & ~allowed:
            last = at
            yield at, value, t


def changes(records: Sequence[Signed], meter: str) -> Iterator[tuple[int, str]]:
    """Places in the order at which an event says that the meter is another."""
    before: Mapping[str, Any] | None = None
    identity = None
    for place, t in enumerate(records):
        if not isinstance(t.body, Event):
            continue
        if t.body.name == "meter-exchange" and t.meter == meter and "since" not in t.body.fields:
            yield place, "EXCHANGED"
        if t.body.name == "configuration" and meter in t.body.fields["meters"]:
            now = t.body.fields["meters"][meter]
            another = before is not None and (
                now["profile-hash"] != before["profile-hash"] or now.get("ratios") != before.get("ratios")
            )
            if another or (identity is not None and now.get("identity") not in (None, identity)):
                yield place, "CONFIGURATION"
            before, identity = now, now.get("identity") or identity


def line(plan: Plan, profile: Mapping[str, Any], point: str, records: Sequence[Signed], given: Given) -> list[Look]:
    """The looks of a counter in order, each with the jumps between the one before and it."""
    facts, meter = plan["points"][point], point.partition("/")[0]
    allowed = known_bits(profile["accept"])
    places = {id(t): place for place, t in enumerate(records)}
    changed = [*changes(records, meter)]
    looks: list[Look] = []
    pending: set[str] = set()
    for at, value, t in values_of(records, point):
        while changed and changed[0][0] < places[id(t)]:
            pending.add(changed.pop(0)[1])
        pending |= {name for bit, name in BREAKS.items() if value.quality & bit}
        accepted = is_number(value.value) and value.unit == facts["unit"] and not value.quality & ~allowed
        if not accepted or (looks and at <= looks[-1].at):
            continue
        firm = t.clock == "S" and not value.quality & Quality.CLOCK_UNSYNC
        look = Look(at, thousandths(value.value, facts["unit"]), t.hash, firm, bool(value.quality & Quality.CLOCK_STEP))
        if looks:
            look.breaks = pending | ({"fall"} if look.register < looks[-1].register else set())
            mend(looks[-1], look, facts, [g for g in given if g[0]["kind"] == "register" and g[0]["of"] == point])
        pending = set()
        looks.append(look)
    return looks


def mend(before: Look, look: Look, facts: Mapping[str, Any], registers: Sequence[Any]) -> None:
    """I4: the jumps of a break."""
    if not look.breaks:
        return
    unit, rise = facts["unit"], look.register - before.register
    bound = Fraction(11, 10) * thousandths(facts["max"], unit)
    bound *= Fraction(max(look.at - before.at, HOUR_MS), HOUR_MS)
    if look.breaks - {"fall"} == {"ROLLOVER"} and "wraps_at" in facts:
        wrap = thousandths(facts["wraps_at"], unit)
        if rise + wrap <= bound < wrap:
            look.jumps = [("wrap", wrap, look.hash)]
            return
    within = sorted((g for g in registers if before.at < g[0]["from"] <= look.at), key=lambda g: g[0]["from"])
    steps = []
    for f, hashed in within:
        final, initial = (thousandths(f["values"][name], f["unit"]) for name in ("final", "initial"))
        steps.append((final, initial, hashed))
    levels = [before.register, *(x for final, initial, _ in steps for x in (final, initial)), look.register]
    rises = all(a <= b for a, b in zip(levels[::2], levels[1::2], strict=True))
    if steps and rises and rise + sum(final - initial for final, initial, _ in steps) <= bound:
        look.jumps = [("bridged", final - initial, hashed) for final, initial, hashed in steps]
        return
    look.jumps = [("unknown", -rise, look.hash)]


class Edge(NamedTuple):
    register: int
    gap: int
    looks: tuple[Look, ...]


def edge_of(looks: Sequence[Look], at: int, sample: int, limit: Fraction) -> Edge | None:
    """I2."""
    place = bisect_left(looks, at, key=lambda look: look.at)
    if place < len(looks) and looks[place].at == at:
        return Edge(looks[place].register, 0, (looks[place],)) if looks[place].firm else None
    if place in (0, len(looks)):
        return None
    before, after = looks[place - 1], looks[place]
    gap = after.at - before.at
    if not (before.firm and after.firm) or after.step or after.kind not in (None, "wrap"):
        return None
    if gap > max(Fraction(3, 2) * sample, limit):
        return None
    rise = after.register + sum(amount for _, amount, _ in after.jumps) - before.register
    return Edge(round(before.register + Fraction(rise * (at - before.at), gap)), gap, (before, after))


# ---- I3, I5, I6, P5


class Piece(NamedTuple):
    """Between two neighbouring known edges of a node: the amounts of its points with their facts; ``besides``: its
    status but for open edges within it (M8)."""

    from_ms: int
    to_ms: int
    amount: int
    status: str
    besides: str
    amounts: dict[str, int]
    facts: dict[str, Any]
    ends: tuple[dict[str, Edge], dict[str, Edge]]


def pieces(plan: Plan, name: str, records: Sequence[Signed], given: Given, period: Period) -> tuple[list[Piece], bool]:
    """The node's pieces in the period, and whether the edge at its end is open."""
    node = plan["nodes"][name]
    profile = plan["profiles"][node["profile"]]
    interval = plan["interval"] * 1000
    limit = Fraction(profile["edge"]) * interval
    points = [point for _, point in node["terms"]]
    lines = {point: line(plan, profile, point, records, given) for point in points}
    closures = [f["from"] for f, _ in given if f["kind"] == "closure" and f["of"] == name]
    start = -(-max(plan["from"], min((looks[0].at for looks in lines.values() if looks), default=0)) // interval)
    known: dict[int, dict[str, Edge]] = {}
    for at in range(start * interval, period.to_ms + 1, interval):
        edges = {p: edge_of(lines[p], at, plan["points"][p]["sample"], limit) for p in points}
        if all(edge is not None for edge in edges.values()) and at <= min(closures, default=at):
            known[at] = {p: edge for p, edge in edges.items() if edge is not None}
    first = min((at for at in known if at >= period.from_ms), default=period.to_ms)
    if period.before is not None:
        first = max((at for at in known if at <= period.from_ms), default=first)
    counted = [at for at in sorted(known) if at >= first]
    made = [
        piece(plan, name, lines, (a, known[a]), (b, known[b]), limit)
        for a, b in pairwise(counted)
        if period.from_ms < b
    ]
    open_ = period.to_ms not in known and not any(at <= period.to_ms for at in closures)
    return made, open_


def piece(plan: Plan, name: str, lines: Any, start: Any, end: Any, limit: Fraction) -> Piece:
    node, interval = plan["nodes"][name], plan["interval"] * 1000
    (a, here), (b, there) = start, end
    hours = Fraction(b - a, HOUR_MS)
    gap = max(e.gap for e in here.values()) + max(e.gap for e in there.values())
    statuses = {"measured" if gap <= limit else "split"}
    amounts, edges, jumps = {}, [], []
    for point in sorted(p for _, p in node["terms"]):
        facts = plan["points"][point]
        inside = [(*jump, look) for look in lines[point] if a < look.at <= b for jump in look.jumps]
        amounts[point] = there[point].register - here[point].register + sum(amount for _, amount, _, _ in inside)
        if amounts[point] > Fraction(11, 10) * thousandths(facts["max"], facts["unit"]) * hours:
            statuses.add("implausible")
        statuses |= {kind for kind, *_ in inside if kind != "wrap"}
        edges.append(edge_fact(point, here[point], there[point]))
        jumps += [[point, kind, tag4(-3, amount), hashed] for kind, amount, hashed, _ in inside]
    amount = sum(sign * amounts[point] for sign, point in node["terms"])
    if "capacity" in node and amount > Fraction(11, 10) * node["capacity"] * 1000 * hours:
        statuses.add("implausible")
    if amount < 0 and "below" not in node:
        statuses.add("implausible")
    row_facts = {"edges": edges} | ({"jumps": jumps} if jumps else {})
    besides = worst(statuses)
    status = worst({besides, "unallocated"}) if b - a > interval else besides
    return Piece(a, b, amount, status, besides, amounts, row_facts, (here, there))


def edge_fact(point: str, start: Edge, end: Edge) -> list[Any]:
    """T1."""
    around = {look.at: look.hash for look in (*start.looks, *end.looks)}
    return [point, tag4(-3, start.register), tag4(-3, end.register), [around[at] for at in sorted(around)]]


def worst(statuses: Any) -> str:
    found: str = max(statuses, key=WORST_LAST.index)
    return found


def node_rows(node: str, below: str | None, made: Sequence[Piece]) -> list[Row]:
    """P5."""
    rows = []
    for p in made:
        fell = {"reason": "below"} if below and p.amount < 0 else {}
        rows.append(Row(node, p.from_ms, p.to_ms, p.status, 0 if fell else p.amount, p.facts | fell))
        if below:
            rows.append(Row(below, p.from_ms, p.to_ms, p.status, -p.amount if fell else 0, p.facts | fell))
    return rows


# ---- U1, P7


def up(x: Fraction) -> int:
    return ceil(x * 10**6)


def counted_u(plan: Plan, made: Sequence[Piece], total: int) -> tuple[int | None, Fraction] | None:
    """The relative uncertainty as written (None: of 0) and the square of the absolute one, of thousandths."""
    sums: Counter[str] = Counter()
    for p in made:
        sums.update(p.amounts)
    us = {point: plan["points"][point].get("u") for point in sums}
    if None in us.values():
        return None
    squares = sum(((Fraction(us[p]) * sums[p]) ** 2 for p in sums), Fraction(0))
    return (up(root_of(squares) / abs(total)) if total else None), squares


SIDES = {"production": 1, "import": 1, "discharge": 1, "consumption": -1, "export": -1, "charge": -1}


def unbalanced(plan: Plan, totals: Mapping[str, int], squares: Mapping[str, Fraction]) -> bool:
    sides = {name: SIDES.get(node["role"], 0) for name, node in plan["nodes"].items()}
    off = sum(sides[name] * total for name, total in totals.items())
    doubt = sum((square for name, square in squares.items() if sides[name]), Fraction(0))
    return bool(plan["site"].get("balanced")) and off**2 > doubt
