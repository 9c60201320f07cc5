"""The part of the second implementation about gauges, stacks and products (docs/accounting.md: H, S, M, F)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import mean, variance
from typing import Any

from ledger_client.formats.record import Quality
from tests.oracle import basics, entered
from tests.oracle.basics import HOUR_MS, MINUTE_MS, Given, Period, Piece, Plan, Row, Signed, exactly, tag4

FLOWS = {"m3/s": Fraction(3600), "l/s": Fraction(36, 10)}
PRESSURES = {"Pa": Fraction(1, 1000), "hPa": Fraction(1, 10)}
CONTENTS = {
    "g/l": Fraction(1000), "mg/l": Fraction(1), "ug/l": Fraction(1, 1000), "ug/m3": Fraction(1, 10**6),
    "kg/m3": Fraction(1000),
}  # fmt: skip
SHARES = {"/": Fraction(1), "%": Fraction(1), "/100": Fraction(1, 100), "ppm": Fraction(1, 10**6)}
OF_ENERGY = {
    "kg/kWh": Fraction(1, 1000), "kg/MWh": Fraction(1, 10**6), "t/MWh": Fraction(1, 1000), "g/kWh": Fraction(1, 10**6),
}  # fmt: skip

Values = list[tuple[int, Fraction]]


def micro(x: Fraction) -> Fraction:
    """A mean or a standard deviation, as it is written."""
    return Fraction(round(x * 10**6), 10**6)


def civil(plan: Plan, at: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at, minutes=plan["civil"])


def utc_ms(plan: Plan, year: int, month: int) -> int:
    begins = datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)
    return (int(begins.timestamp()) - int(plan["civil"]) * 60) * 1000


# ---- H


def gauge_values(plan: Plan, profile: Mapping[str, Any], point: str, records: Sequence[Signed], given: Given) -> Values:
    """The values that count, calibrated (H1, H3, H5)."""
    facts = plan["points"][point]
    checks = sorted((f["from"], f["to"], f["values"]) for f, _ in own_entries(given, "calibration", point))
    out: Values = []
    for at, value, t in basics.accepted(plan, profile, point, records):
        if t.clock != "S" or value.quality & Quality.CLOCK_UNSYNC:
            continue
        x = Fraction(value.value)
        if "range" in facts and not exactly(facts["range"][0]) <= x <= exactly(facts["range"][1]):
            continue
        in_force = [values for a, b, values in checks if a <= at < b]
        out.append((at, exactly(in_force[-1]["a"]) + exactly(in_force[-1]["b"]) * x if in_force else x))
    return out


def own_entries(given: Given, kind: str, thing: str) -> list[tuple[Mapping[str, Any], bytes]]:
    return [(f, hashed) for f, hashed in given if f["kind"] == kind and f["of"] == thing]


def spaced(values: Values, sample: int) -> int:
    """How many count, each at least half a sample after the last one that did."""
    count, last = 0, -sample
    for at, _ in values:
        if not count or at - last >= -(-sample // 2):
            count, last = count + 1, at
    return count


class Measured:
    """One gauge under one profile."""

    def __init__(
        self, plan: Plan, profile: Mapping[str, Any], point: str, records: Sequence[Signed], given: Given
    ) -> None:
        self.profile, self.sample = profile, plan["points"][point]["sample"]
        self.values = gauge_values(plan, profile, point, records, given)
        self.bad: list[tuple[int, int]] = []
        if profile.get("substitution") == "CN-HJ75":
            checks = [f["from"] for f, _ in own_entries(given, "calibration", point) if f["from"] == f["begins"]]
            for at, value, _ in basics.values_of(records, point):
                if value.quality & Quality.OUT_OF_CONTROL:
                    self.bad.append((max((c for c in checks if c <= at), default=0), at))

    def reference(self, a: int, b: int) -> tuple[int, int, Fraction | None, list[Fraction]]:
        """Possible, valid, the mean as written where the reference is valid, and all values."""
        inside = [v for v in self.values if a <= v[0] < b]
        if any(good < b and a <= failed for good, failed in self.bad):
            inside = []
        if self.profile["validity"] == "share":
            possible, valid = (b - a) // self.sample, spaced(inside, self.sample)
            enough, numbers = valid >= exactly(self.profile["share"]) * possible, [x for _, x in inside]
        else:
            possible, numbers = (b - a) // MINUTE_MS, []
            for minute in range(a, b, MINUTE_MS):
                in_minute = [v for v in inside if minute <= v[0] < minute + MINUTE_MS]
                if in_minute and spaced(in_minute, self.sample) >= Fraction(3, 4) * (MINUTE_MS // self.sample):
                    numbers.append(mean(x for _, x in in_minute))
            valid = len(numbers)
            enough = valid >= self.profile["minutes"]
        return possible, valid, micro(mean(numbers)) if enough and numbers else None, [x for _, x in inside]


def measured_rows(
    plan: Plan, name: str, records: Sequence[Signed], given: Given, period: Period
) -> tuple[list[Row], int, tuple[int | None, Fraction] | None]:
    """The rows of a measured emission with their substitutes; the findings ``inform-authority``; U1."""
    node = plan["nodes"][name]
    profile = plan["profiles"][node["profile"]]
    length = profile.get("reference", plan["interval"] * 1000)
    gauges = {letter: Measured(plan, profile, point, records, given) for letter, point in node["inputs"].items()}
    signal = Measured(plan, profile, node["operating"], records, given) if "operating" in node else None
    rows: list[Row] = []
    found: list[tuple[Row, dict[str, Fraction | None]]] = []
    for a in range(period.from_ms, period.to_ms, length):
        seen = {letter: gauge.reference(a, a + length) for letter, gauge in gauges.items()}
        references = {node["inputs"][letter]: facts for letter, facts in seen.items()}
        idle = False
        if signal is not None:
            signal_of = references[node["operating"]] = signal.reference(a, a + length)
            idle = signal_of[2] is not None and max(signal_of[3]) < exactly(node["threshold"])
        inputs = [
            [point, possible, valid, None if middle is None else tag4(-6, int(middle * 10**6))]
            for point, (possible, valid, middle, _) in sorted(references.items())
        ]
        means = {letter: facts[2] for letter, facts in seen.items()}
        known = {letter: middle for letter, middle in means.items() if middle is not None}
        amount = mass(plan, node, known, length) if len(known) == len(means) else None
        status = "missing" if amount is None else "valid"
        reason = {"reason": "below-threshold"} if idle and status == "valid" else {}
        if idle and status == "missing":
            status, amount = "stopped", 0
        row = Row(name, a, a + length, status, amount, {"inputs": inputs, "method": "cems", **reason})
        rows.append(row)
        found.append((row, means))
    before = sorted((r for r in period.earlier if r.node == name), key=lambda r: r.from_ms)
    rules: dict[str, Callable[..., list[Row]]] = {"EU-45": eu45, "CN-HJ75": cn75}
    rule = rules.get(profile.get("substitution", ""))
    beside = rule(plan, node, found, before, period) if rule else []
    filled = {row.from_ms for row in beside}
    for f, _ in own_entries(given, "value", name):
        fits = [r for r in rows if r.status == "missing" and (r.from_ms, r.to_ms) == (f["from"], f["to"])]
        if fits and f["from"] not in filled:
            amount = basics.thousandths(f["values"]["value"], f["unit"])
            beside.append(Row(name, f["from"], f["to"], "manual", amount, {"method": "entry"}))
    silent = silences(rows, before, period.from_ms)
    us = [plan["points"][point].get("u") for point in node["inputs"].values()]
    if None in us:
        return [*rows, *beside], silent, None
    square, total = sum((exactly(u) ** 2 for u in us), Fraction(0)), sum(r.amount or 0 for r in (*rows, *beside))
    written = basics.up(basics.root_of(square * total**2) / abs(total)) if total else None
    return [*rows, *beside], silent, (written, square * total**2)


def silences(rows: Sequence[Row], before: Sequence[Row], from_ms: int) -> int:
    """H6."""
    silent, found = 0, 0
    for row in [*before, *rows]:
        if row.status in ("valid", "stopped"):
            silent = 0
        elif row.status == "missing":
            was, silent = silent, silent + row.to_ms - row.from_ms
            found += row.from_ms >= from_ms and was <= 120 * HOUR_MS < silent
    return found


# ---- M1 to M4


def mass(plan: Plan, node: Mapping[str, Any], means: Mapping[str, Fraction], length: int) -> int | None:
    """Grams; None where the means are of no gas."""
    units = {letter: plan["points"][point]["unit"] for letter, point in node["inputs"].items()}
    basis = {letter: plan["points"][node["inputs"][letter]]["basis"] for letter in "cQ"}
    kelvin = means["t"] if units["t"] == "K" else means["t"] + Fraction("273.15")
    share = means["w"] * SHARES[units["w"]] if "w" in means else Fraction(0)
    if kelvin <= 0 or share >= 1:
        return None
    flow = means["Q"] * FLOWS[units["Q"]] * Fraction("273.15") / kelvin
    flow *= means["p"] * PRESSURES[units["p"]] / Fraction("101.325")
    if basis == {"Q": "wet", "c": "dry"}:
        flow *= 1 - share
    if basis == {"Q": "dry", "c": "wet"}:
        flow /= 1 - share
    density = exactly(plan["profiles"][node["profile"]].get("density", 0))
    content = means["c"] * CONTENTS.get(units["c"], SHARES.get(units["c"], Fraction(0)) * 1000 * density)
    return max(0, round(content * flow * Fraction(length, HOUR_MS)))


def while_stopped(plan: Plan, rows: Sequence[Row], burnt: Mapping[str, Sequence[Piece]]) -> int:
    """H4: the findings ``stopped-but-emitting``. ``burnt``: of each node by fuel what its registers counted."""
    found = 0
    for name, made in burnt.items():
        stack = plan["nodes"][name]["compare"]
        profile = plan["profiles"][plan["nodes"][stack]["profile"]]
        length = profile.get("reference", plan["interval"] * 1000)
        stopped = {r.from_ms for r in rows if r.node == stack and r.status == "stopped"}
        signs = {point: sign for sign, point in plan["nodes"][name]["terms"]}
        for p in made:
            gaps = sum(
                sign * (counted_behind(p.ends[0][x]) + counted_before(p.ends[1][x])) for x, sign in signs.items()
            )
            found += p.amount > gaps and stopped.issuperset(range(p.from_ms, p.to_ms, length))
    return found


def counted_behind(edge: basics.Edge) -> int:
    """From an edge to the look behind it."""
    jumped = sum(amount for _, amount, _ in edge.looks[-1].jumps) if edge.gap else 0
    return edge.looks[-1].register + jumped - edge.register


def counted_before(edge: basics.Edge) -> int:
    """From the look before an edge to it."""
    return edge.register - edge.looks[0].register


# ---- S2, S4


def counts(row: Row) -> bool:
    """In a population, and in the capture (H4)."""
    return row.status == "valid" and row.facts.get("reason") != "below-threshold"


def mean_of(row: Row, point: str) -> Fraction | None:
    for name, _, _, middle in row.facts.get("inputs", ()):
        if name == point and middle is not None:
            return Fraction(middle.value[1], 10**6)
    return None


def substitute(row: Row, amount: int, method: str, population: list[Any], provisional: bool) -> Row:
    facts = {"method": method, "population": population} | ({"reason": "provisional"} if provisional else {})
    return row._replace(status="substituted", amount=amount, facts=facts)


def eu45(plan: Plan, node: Mapping[str, Any], found: Any, before: Sequence[Row], period: Period) -> list[Row]:
    year = civil(plan, period.from_ms).year
    begins, ends = utc_ms(plan, year, 1), utc_ms(plan, year + 1, 1)
    until = min(ends, period.to_ms)
    rows = [r for r in (*before, *(row for row, _ in found)) if counts(r) and begins <= r.from_ms < until]
    means = [x for r in rows if (x := mean_of(r, node["inputs"]["c"])) is not None]
    if len(means) < 2:
        return []
    middle, s = micro(mean(means)), micro(basics.root_of(variance(means)))
    population = [begins, until, len(means), tag4(-6, int(middle * 10**6)), tag4(-6, int(s * 10**6))]
    out = []
    for row, seen in found:
        lacking = [letter for letter, x in seen.items() if x is None]
        if row.status == "missing" and lacking == ["c"]:
            amount = mass(plan, node, {**seen, "c": middle + 2 * s}, row.to_ms - row.from_ms)
            if amount is not None:
                out.append(substitute(row, amount, "EU-45", population, period.to_ms < ends))
    return out


def cn75(plan: Plan, node: Mapping[str, Any], found: Any, before: Sequence[Row], period: Period) -> list[Row]:
    now = civil(plan, period.from_ms)
    month = (now.month - 1) // 3 * 3 + 1
    begins, ends = utc_ms(plan, now.year, month), utc_ms(plan, now.year, month + 3)
    rows = [*before, *(row for row, _ in found)]
    quarter = [r for r in rows if begins <= r.from_ms < min(ends, period.to_ms)]
    valid, missing = sum(map(counts, quarter)), sum(r.status == "missing" for r in quarter)
    out: list[Row] = []
    runs: list[list[Row]] = []
    for row in (r for r in rows if r.status == "missing"):
        if runs and runs[-1][-1].to_ms == row.from_ms:
            runs[-1].append(row)
        else:
            runs.append([row])
    for run in runs:
        capture = Fraction(valid, valid + missing) if valid + missing else Fraction(0)
        short = run[-1].to_ms - run[0].from_ms <= 24 * HOUR_MS
        needed = (180 if short else 720) if capture >= Fraction(9, 10) else 2160
        last = [r for r in rows if counts(r) and r.to_ms <= run[0].from_ms][-needed:]
        if capture < Fraction(3, 4) or len(last) < needed:
            continue
        most = max(r.amount or 0 for r in last)
        population = [last[0].from_ms, last[-1].to_ms, needed, tag4(-3, most), tag4(-3, 0)]
        of_period = [r for r in run if r.from_ms >= period.from_ms]
        out += [substitute(r, most, "CN-HJ75", population, period.to_ms < ends) for r in of_period]
    return out


# ---- M6, M8, F2


def product(plan: Plan, name: str, made: Sequence[Piece], given: Given, period: Period) -> list[Row]:
    """M8: one row of a node's whole total; M6: one for each stretch of the same letters of the same entries."""
    node, step = plan["nodes"][name], plan["interval"] * 1000
    if node["method"] == "electricity":
        return [by_factor(plan, name, made, period)] if made else []
    labs = own_entries(given, "lab", name)

    def letters(ends: int) -> dict[str, bytes]:
        return {letter: h for f, h in labs if f["from"] < ends <= f["to"] for letter in f["values"]}

    rows: list[Row] = []
    together: list[Piece] = []
    for n, p in enumerate(made):
        mine = letters(p.to_ms)
        alike = all(letters(ends) == mine for ends in range(p.from_ms + step, p.to_ms, step))
        together.append(p if alike else p._replace(besides=p.status))
        if n + 1 == len(made) or letters(made[n + 1].to_ms) != mine:
            rows.append(by_carbon(plan, name, together, mine, entered.analysed(labs), period))
            together = []
    return rows


def in_place_of(name: str, made: Sequence[Piece], facts: dict[str, Any], period: Period) -> Row:
    """M8: the row without its mass."""
    first, last = made[0], made[-1]
    edges = [basics.edge_fact(p, first.ends[0][p], last.ends[1][p]) for p in sorted(first.ends[0])]
    jumps = sorted((jump for p in made for jump in p.facts.get("jumps", ())), key=lambda jump: jump[0])
    status = basics.worst({p.besides if p.from_ms >= period.from_ms else p.status for p in made})
    facts |= {"edges": edges} | ({"jumps": jumps} if jumps else {})
    return Row(name, first.from_ms, last.to_ms, status, None, facts)


def by_factor(plan: Plan, name: str, made: Sequence[Piece], period: Period) -> Row:
    node = plan["nodes"][name]
    factor, provisional = factor_of(plan, node, civil(plan, period.from_ms).year)
    total = sum(p.amount for p in made) * Fraction(factor["value"]) * OF_ENERGY[factor["unit"]]
    facts = {"method": "electricity", "factor": factor["id"]} | ({"reason": "provisional"} if provisional else {})
    return in_place_of(name, made, facts, period)._replace(amount=round(total))


def by_carbon(
    plan: Plan, name: str, made: Sequence[Piece], letters: Mapping[str, bytes], values: Any, period: Period
) -> Row:
    node = plan["nodes"][name]
    facts = {"method": "fuel"} | ({"analyses": dict(letters)} if letters else {})
    analysed = {letter: exactly(values[h][letter]) for letter, h in letters.items()}
    known = {letter: exactly(x) for letter, x in node.get("defaults", {}).items()} | analysed
    way = letters_of(analysed) or letters_of(known)
    if not way:
        return in_place_of(name, made, facts, period)._replace(status="missing")
    if not {*way, *({"OF"} & set(known))} <= set(analysed):
        facts["reason"] = "defaults"
    carbon = Fraction(plan["profiles"][node["profile"]].get("carbon", "44/12"))
    total = sum(p.amount for p in made) * carbon_in(way, known) * known.get("OF", Fraction(1)) * carbon
    return in_place_of(name, made, facts, period)._replace(amount=round(total))


def letters_of(values: Mapping[str, Fraction]) -> tuple[str, ...]:
    ways = (("C_ar",), ("C_ad", "M_ar", "M_ad"), ("NCV", "CC"))
    return next((way for way in ways if all(letter in values for letter in way)), ())


def carbon_in(letters: tuple[str, ...], values: Mapping[str, Fraction]) -> Fraction:
    if "C_ar" in letters:
        return values["C_ar"]
    if "C_ad" in letters:
        return values["C_ad"] * (100 - values["M_ar"]) / (100 - values["M_ad"])
    return values["NCV"] * values["CC"] / 1000


def factor_of(plan: Plan, node: Mapping[str, Any], year: int) -> tuple[Mapping[str, Any], bool]:
    series = [f for f in plan["factors"] if f["series"] == node["factor"]]
    if node["factor_rule"] == "fixed":
        return next(f for f in series if f["id"] == node.get("factor_id", f["id"])), False
    newest = max((f for f in series if f["vintage"] <= year), key=lambda f: int(f["vintage"]))
    return newest, newest["vintage"] < year
