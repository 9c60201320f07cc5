"""Random histories of a site for two implementations of the accounting: a plan, its meters' records, and a period.

One ``Random`` decides everything, so that a history is named by its seed. Registers go round, are exchanged and reset;
polls fail; the clock is set and runs free; records are made twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

from ledger_client.formats.record import Coverage, Event, Quality, Reading, Value
from tests.oracle.basics import Given, Period, Row, Signed, tag4

T0 = 1_790_812_800_000
"""2026-10-01T00:00:00Z, in ms; with ``civil`` 0 a month begins."""
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
ENERGY, FUEL = ("J", "Wh", "kWh", "MWh"), ("g", "kg", "t")
SAMPLES = (10_000, 60_000, 300_000, 450_000, 900_000)
CANNOT_BE = (0, -1, 101, Decimal("1.5"), -0.25)
"""Values of entries that are out of bounds, of one name or of another."""
UNNAMED = tuple(1 << n for n in (30, 31, 32, 47, 63))
"""Quality bits without a name: of a later version, or of nobody."""


@dataclass
class History:
    """``records``: records in order; ``earlier``: entries of the statement before."""

    plan: dict[str, Any]
    records: list[Signed]
    period: Period
    kept: Given = ()
    rows: list[Row] = field(default_factory=list)


class Maker:
    """Makes one history, by one source of chance."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.count = 0
        self.units = chance.choice((ENERGY, ENERGY, FUEL))
        self.records: list[tuple[int, Signed]] = []
        self.interval_ms = chance.choice((900_000, 3_600_000))
        self.from_ms = T0 + 2 * DAY_MS
        self.to_ms = self.from_ms + self.interval_ms * chance.randint(1, 6)
        self.begin_ms = self.from_ms - chance.randint(0, 2 * self.interval_ms)
        self.end_ms = self.to_ms + 4 * self.interval_ms

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def hash(self) -> bytes:
        self.count += 1
        return hashlib.sha256(self.count.to_bytes(8, "big")).digest()

    def tell(self, at: int, meter: str, body: Any, clock: str = "S") -> bytes:
        hashed = self.hash()
        self.records.append((at, Signed(meter, clock, body, hashed)))
        return hashed

    # ---- counters

    def counter(self, meter: str) -> dict[str, Any]:
        """A point of a counter, and its records."""
        chance = self.chance
        unit, sample = chance.choice(self.units), chance.choice(SAMPLES[1:] if self.interval_ms > 900_000 else SAMPLES)
        step = chance.choice((1, 7, 1000))
        per_hour = step * (HOUR_MS // sample + 1) * 3
        point: dict[str, Any] = {"kind": "counter", "unit": unit, "sample": sample, "max": per_hour}
        if self.often(0.7):
            point["wraps_at"] = chance.choice((per_hour * 2, per_hour * 3 + 1, per_hour * 100))
        if self.often(0.6):
            point |= {"u": chance.choice((Decimal("0.005"), Decimal("0.01"), 0.002)), "u_source": "certificate"}
        self.life(meter, point, step)
        return point

    def life(self, meter: str, point: Mapping[str, Any], step: int) -> None:
        chance, sample = self.chance, point["sample"]
        thin = chance.choice((1, 1, 1, 2, 5, 10))
        trouble = chance.choice((0.0, 0.01, 0.05, 0.15))
        on_grid = self.often(0.5)
        register, wraps_at = chance.randint(0, point.get("wraps_at", 10**6) - 1), point.get("wraps_at", 10**9)
        floats = self.often(0.3)
        scale = chance.choice((0, 0, -2))
        at, free_until, flags, lost_until, n = self.begin_ms, 0, 0, 0, 0
        while at < self.end_ms:
            n += 1
            time = at if on_grid else at + chance.randint(0, sample // 3)
            register += chance.randint(0, 2 * step)
            if register >= wraps_at:
                register -= wraps_at
                flags |= Quality.ROLLOVER if self.often(0.9) else 0
            if self.often(trouble / 3):
                register, flags = self.exchange(meter, point, time, register, flags, (scale, floats))
            if self.often(trouble):
                lost_until = time + chance.choice((sample, 3 * sample, self.interval_ms, 2 * self.interval_ms))
            if self.often(trouble):
                free_until = time + chance.choice((sample, 4 * sample, self.interval_ms))
            if self.often(trouble / 2):
                flags |= Quality.CLOCK_STEP
                at += chance.randint(-3 * sample, 3 * sample)
            flags |= Quality.CLOCK_UNSYNC if time < free_until and self.often(0.5) else 0
            clock = "S" if time >= free_until or flags & Quality.CLOCK_UNSYNC else chance.choice("UIR")
            if time >= lost_until and n % thin == 0:
                value = self.value(register, scale, floats, trouble)
                named = (0, 0, 0, Quality.STALE, Quality.IMPLAUSIBLE, Quality.LATE, Quality.FROZEN)
                other = chance.choice((*named, chance.choice(UNNAMED), Quality.STALE | chance.choice(UNNAMED)))
                bits = int(flags | (other if self.often(trouble) else 0))
                unit = "W" if self.often(trouble / 5) else point["unit"]
                if value is None:
                    bits |= Quality.COMM_FAIL
                offset = chance.choice((0, 0, 30)) if trouble else 0
                self.tell(at, meter, Reading(time, (Value("energy", value, unit, bits, offset),)), clock)
                flags = 0
            at += sample
        if self.often(0.3):
            self.again(meter)

    def value(self, register: int, scale: int, floats: bool, trouble: float = 0.0) -> Any:
        if self.often(trouble / 4):
            return self.chance.choice((None, "error", True))
        if floats:
            return register * 1.1 + 0.3
        return Decimal(register).scaleb(scale) if scale else register

    def exchange(
        self, meter: str, point: Mapping[str, Any], at: int, register: int, flags: int, shown: tuple[int, bool]
    ) -> tuple[int, int]:
        """The meter is exchanged or reset, once or twice, with or without its entry."""
        chance = self.chance
        for n in range(chance.choice((1, 1, 1, 2))):
            initial = chance.choice((0, 5, register + 3))
            when = at - point["sample"] // chance.choice((4 * (n + 1), 3))
            if self.often(0.7):
                final = register + chance.choice((0, 0, 1, -1))
                values = {"final": self.value(final, *shown), "initial": self.value(initial, *shown)}
                self.entry(at, "register", f"{meter}/energy", when, when, values, point)
            register = initial
        kind = chance.choice(("flag", "reset", "event", "by-hand", "since", "configuration", "silent"))
        if kind == "event":
            self.tell(at - 1, meter, Event("meter-exchange", {}))
        elif kind == "by-hand":
            same = {"identity": "manufacturer=A", "old": "manufacturer=A"}
            self.tell(at - 1, meter, Event("meter-exchange", {**same, "by-hand": True}))
        elif kind == "since":
            self.tell(at + 1, meter, Event("meter-exchange", {"identity": "", "old": "", "by-hand": True, "since": at}))
            flags |= Quality.COUNTER_RESET
        elif kind == "configuration":
            self.configuration(at - 1, meter, chance.choice(("another", "profile", "none")))
        else:
            flags |= {"flag": Quality.METER_EXCHANGED, "reset": Quality.COUNTER_RESET}.get(kind, 0)
        return register, int(flags)

    def configuration(self, at: int, meter: str, kind: str) -> None:
        facts: dict[str, Any] = {"profile-hash": b"p" * 32, "period": 10_000}
        facts |= {"profile-hash": b"q" * 32} if kind == "profile" else {}
        facts |= {"identity": kind} if kind in ("another", "first") else {}
        facts |= {"ratios": {"ct": "200/5"}} if self.often(0.2) else {}
        self.tell(at, "gateway", Event("configuration", {"meters": {meter: facts}, "part": [1, 1], "at": "change"}))

    def again(self, meter: str) -> None:
        """A stretch is recorded again, as a ``resume`` does: the same times, in other records."""
        readings = [(at, t) for at, t in self.records if t.meter == meter and isinstance(t.body, Reading)]
        if len(readings) > 4:
            a = self.chance.randrange(len(readings) - 3)
            stretch = readings[a : a + self.chance.randint(1, 20)]
            for _, t in stretch:
                self.tell(stretch[-1][0] + 1, meter, t.body, t.clock)

    def entry(self, at: int, kind: str, of: str, from_ms: int, to_ms: int, values: Any, point: Any) -> None:
        unit = {"unit": point["unit"]} if point else {}
        fields = {"kind": kind, "of": of, "from": from_ms, "to": to_ms, "values": values, "reason": "r", "user": "u"}
        made = [self.tell(at + 1, "gateway", Event("entry", fields | unit))]
        while self.often(0.25):
            self.another(at + 1 + len(made), fields | unit, made)

    def another(self, at: int, fields: Mapping[str, Any], made: list[bytes]) -> None:
        """A later entry on the same: of this time, of a part of it or beyond; it names some of those before, one of
        them by itself or in a list; at times its values cannot be."""
        chance, other = self.chance, dict(fields)
        named = chance.choice(([], made[-1:], made, made[:1], chance.sample(made, chance.randint(0, len(made)))))
        if named:
            other["replaces"] = named[0] if len(named) == 1 and self.often(0.7) else list(named)
        third = (fields["to"] - fields["from"]) // 3
        if self.often(0.5) and (third or self.often(0.3)):
            shift = third or self.interval_ms // 7
            other["from"] += chance.choice((0, 0, shift, -shift))
            other["to"] = (
                max(other["from"], other["to"] + chance.choice((0, 0, shift, -shift))) if third else other["from"]
            )
        if self.often(0.2):
            other["values"] = {name: chance.choice(CANNOT_BE) for name in other["values"]}
        elif other["kind"] == "lab" and self.often(0.6):
            kept = chance.sample(sorted(other["values"]), chance.randint(1, len(other["values"])))
            other["values"] = {name: other["values"][name] for name in kept} | chance.choice(({}, {"OF": 1}, {"OF": 2}))
        if "unit" in other and self.often(0.1):
            other["unit"] = chance.choice(("kg", "t", "kWh", "m3"))
        made.append(self.tell(at, "gateway", Event("entry", {**other, "reason": "corrected"})))

    def coverage(self, meter: str, sample: int) -> None:
        at = self.begin_ms
        while at < self.end_ms:
            end = at + self.chance.randint(1, 40) * sample
            due = (end - at) // sample + (self.chance.randint(0, 5) if self.often(0.1) else 0)
            missed = min(due, self.chance.choice((0, 0, 2)))
            body = Coverage(at, end, due, due - missed, {"timeout": missed} if missed else {})
            self.tell(end, meter, body)
            if self.often(0.1):
                self.tell(end + 1, meter, body)
            at = end
        for at in range(self.begin_ms, self.end_ms, DAY_MS // 4):
            if self.often(0.5):
                self.configuration(at, meter, self.chance.choice(("none", "first")))


def history(chance: Random) -> History:
    """One history of counters."""
    make = Maker(chance)
    points = {f"m{n}/energy": make.counter(f"m{n}") for n in range(chance.randint(1, 3))}
    nodes: dict[str, Any] = {}
    for n, role in enumerate(chance.sample(("production", "import", "consumption", "charge"), chance.randint(1, 3))):
        names = chance.sample(sorted(points), chance.randint(1, len(points)))
        if role == "production":
            names = names[:1]
        node: dict[str, Any] = {
            "role": role, "profile": chance.choice(("strict", "loose")),
            "terms": [[chance.choice((1, 1, -1)), name] for name in names],
        }  # fmt: skip
        if make.often(0.4):
            nodes[f"under{n}"] = {"role": "export", "profile": "strict"}
            node["below"] = f"under{n}"
        if make.often(0.3):
            node["capacity"] = chance.choice((1, 50_000, 10**9))
        nodes[f"n{n}"] = node
    products(make, nodes, points)
    for name, node in list(nodes.items()):
        if make.often(0.15):
            begins = make.from_ms + chance.choice((0, make.interval_ms))
            value, unit = {"value": chance.choice((12, -3))}, {"unit": chance.choice(make.units)}
            make.entry(make.to_ms, "settlement", name, begins, make.to_ms, value, unit)
        if make.often(0.1) and "terms" in node:
            at = chance.randint(make.from_ms, make.to_ms)
            make.entry(at, "closure", name, at, at, {}, None)
    for name, point in points.items():
        make.coverage(name.partition("/")[0], point["sample"])
    plan = {
        "plan": "main", "v": 1, "rules": "accounting-1", "interval": make.interval_ms // 1000, "civil": 0,
        "from": make.from_ms - chance.choice((0, 0, 1, 40)) * make.interval_ms,
        "points": points, "nodes": nodes,
        "profiles": {
            "strict": {"version": "1", "edge": Decimal("0.01"), "accept": []},
            "loose": {"version": "1", "edge": chance.choice((Decimal("0.04"), Decimal("0.5"))), "accept": ["STALE"]},
        },
        "factors": [factor("2025", 2025), factor("2026", 2026)][: chance.randint(1, 2)],
        "site": {"balanced": True} if make.often(0.5) else {},
        "disclosure": chance.choice(("full", "full", "root")),
    }  # fmt: skip
    return finished(make, plan)


def factor(name: str, vintage: int) -> dict[str, Any]:
    return {
        "series": "grid", "id": name, "kind": "average", "value": f"0.5{vintage}", "unit": "kg/kWh", "region": "CN",
        "vintage": vintage, "published": "2026-01-01", "document": "test", "confirmed": False,
    }  # fmt: skip


def products(make: Maker, nodes: dict[str, Any], points: Mapping[str, Any]) -> None:
    """At times an emission of a point by a factor, or by its carbon."""
    name = min(points)
    node: dict[str, Any] = {"role": "emission", "profile": "loose", "terms": [[1, name]]}
    if make.units == ENERGY and make.often(0.4):
        rule = {"factor_rule": "fixed", "factor_id": "2025"} if make.often(0.5) else {"factor_rule": "year-of-use"}
        nodes["grid"] = {**node, "method": "electricity", "factor": "grid", **rule}
    if make.units == FUEL and make.often(0.8):
        defaults = {"NCV": Decimal("20.908"), "CC": Decimal("26.1"), "OF": Decimal("0.99")}
        kept = [letter for letter in defaults if make.often(0.8)]
        nodes["boiler"] = {**node, "method": "fuel", "defaults": {letter: defaults[letter] for letter in kept}}
        analyses(make, "boiler")


LABORATORY: Mapping[str, tuple[Any, ...]] = {
    "C_ad": (Decimal("0.61"), 0.6), "M_ad": (2, Decimal("2.25")), "M_ar": (Decimal("10.3"), 9), "C_ar": (0.55,),
    "NCV": (Decimal("21.2"), 20), "CC": (Decimal("26.02"),), "OF": (1, Decimal("0.98"), Decimal("1.01")), "FC": (1,),
}  # fmt: skip


def analyses(make: Maker, node: str) -> None:
    """Analyses of parts of the time: the moisture more often than the carbon, at times with a gap or one of neither."""
    chance = make.chance
    for letters in (("C_ad", "M_ad"), ("M_ar",), ("C_ar", "OF"), ("NCV", "CC")):
        if not make.often(0.5):
            continue
        length = make.interval_ms * chance.choice((1, 2, 20))
        at = make.from_ms - make.interval_ms * chance.choice((0, 1, 20)) + chance.choice((0, 0, -1, 1000))
        while at < make.to_ms:
            end = at + length
            if make.often(0.85):
                values = {letter: chance.choice(LABORATORY[letter]) for letter in letters}
                values |= {chance.choice(("FC", "OF", "M_ar")): 1} if make.often(0.1) else {}
                make.entry(make.to_ms, "lab", node, at, end, values, None)
            at = end


def finished(make: Maker, plan: dict[str, Any], rows: tuple[Row, ...] = ()) -> History:
    chance = make.chance
    records = [t for _, t in sorted(make.records, key=lambda item: item[0])]
    cut = chance.choice((0, 0, 0, len(records) // 3))
    old = [t for t in records[:cut] if isinstance(t.body, Event) and t.body.name == "entry"]
    kept = tuple((dict(t.body.fields), t.hash) for t in old if isinstance(t.body, Event))
    before = make.hash() if make.often(0.5) else None
    period = Period(
        b"P" * 32, make.from_ms + chance.choice((-DAY_MS, make.interval_ms)), make.from_ms, make.to_ms,
        ((3, b"a" * 32), (7, b"b" * 32)), before=before, uses=(before,) if before and rows else (),
        earlier=rows, kept=kept if before else (),
    )  # fmt: skip
    return History(plan, records, period)


def earlier_rows(make: Maker, node: str, points: list[str], length: int) -> tuple[Row, ...]:
    """Rows of a measured emission in statements before."""
    chance, rows = make.chance, []
    bad = chance.choice((0.01, 0.05, 0.2, 0.4))
    count = chance.choice((0, 3, 200, 800, 2300))
    silent = chance.choice((0, 0, 110 * HOUR_MS // length))
    for n in range(count, 0, -1):
        at = make.from_ms - n * length
        status = "missing" if n <= silent or make.often(bad) else chance.choice(("valid", "valid", "valid", "stopped"))
        means = [tag4(-6, chance.randint(0, 10**9)) if status == "valid" else None for _ in points]
        inputs = [[p, 60, 60, middle] for p, middle in zip(sorted(points), means, strict=True)]
        amount = {"missing": None, "stopped": 0}.get(status, chance.randint(0, 10**9))
        idle = {"reason": "below-threshold"} if status == "valid" and make.often(bad / 4) else {}
        rows.append(Row(node, at, at + length, status, amount, {"inputs": inputs, "method": "cems", **idle}))
    return tuple(rows)


GAUGES = {
    "c": (("mg/l", "%", "ppm"), (0.05, 0.2)), "Q": (("m3/s", "l/s"), (10, 900)), "t": (("Cel", "K"), (90, 400)),
    "p": (("Pa", "hPa"), (900, 101325)), "w": (("%", "/100"), (0, 0.3)),
}  # fmt: skip


def stack(chance: Random) -> History:
    """One history of a measured emission, under a profile by share or by minutes."""
    make = Maker(chance)
    make.interval_ms = length = chance.choice((900_000, 3_600_000))
    make.begin_ms = make.from_ms - 120_000
    make.to_ms = make.from_ms + length * chance.choice((2, 4, 12))
    make.end_ms = make.to_ms + length
    by_minutes = make.often(0.5)
    sample = chance.choice((20_000, 60_000)) if by_minutes else chance.choice((50_000, 60_000, 180_000))
    letters = "cQtpw" if make.often(0.7) else "cQtp"
    basis = {letter: chance.choice(("wet", "dry")) if "w" in letters else "dry" for letter in "cQ"}
    points: dict[str, Any] = {}
    trouble = chance.choice((0.0, 0.05, 0.2, 0.3))
    for letter in letters:
        units, ends = GAUGES[letter]
        point: dict[str, Any] = {"kind": "gauge", "unit": chance.choice(units), "sample": sample}
        point |= {"basis": basis[letter]} if letter in basis else {}
        point |= {"range": [0, chance.choice((ends[1], 10**6))]} if make.often(0.5) else {}
        point |= {"u": Decimal("0.02"), "u_source": "certificate"} if make.often(0.8) else {}
        points[f"stack/{letter}"] = point
        calibrate(make, f"stack/{letter}")
    points["stack/run"] = {"kind": "gauge", "unit": "/", "sample": sample}
    gauge_lives(make, points, sample, trouble)
    profile: dict[str, Any] = {
        "version": "1",
        "edge": Decimal("0.01"),
        "accept": ["STALE"],
        "density": Decimal("1.977"),
    }
    profile |= {"validity": "minutes", "minutes": 45 if length > 900_000 else 11} if by_minutes else {}
    profile |= {} if by_minutes else {"validity": "share", "share": Decimal("0.8")}
    rule = chance.choice(("EU-45", "EU-45", "CN-HJ75", "CN-HJ75", None))
    profile |= {"substitution": rule} if rule else {}
    node: dict[str, Any] = {"role": "emission", "method": "cems", "profile": "p", "terms": []}
    node["inputs"] = {letter: f"stack/{letter}" for letter in letters}
    node |= {"operating": "stack/run", "threshold": Decimal("0.5")} if make.often(0.6) else {}
    shown = list(points) if "operating" in node else [name for name in points if name != "stack/run"]
    rows = earlier_rows(make, "stack", shown, length)
    for n in range((make.to_ms - make.from_ms) // length):
        if make.often(0.2):
            at = make.from_ms + n * length
            make.entry(at, "value", "stack", at, at + length, {"value": Decimal("12.3456")}, {"unit": "kg"})
    make.coverage("stack", sample)
    nodes = {"stack": node} | burnt(make, points)
    plan = {
        "plan": "main", "v": 1, "rules": "accounting-1", "interval": length // 1000, "civil": chance.choice((0, 480)),
        "from": make.from_ms - 40 * length, "points": points, "nodes": nodes, "profiles": {"p": profile},
        "factors": [], "site": {}, "disclosure": "full",
    }  # fmt: skip
    return finished(make, plan, rows)


def burnt(make: Maker, points: dict[str, Any]) -> dict[str, Any]:
    """At times the fuel of a stack, by its register."""
    if not make.often(0.5):
        return {}
    make.units = FUEL
    points["coal/energy"] = make.counter("coal")
    make.coverage("coal", points["coal/energy"]["sample"])
    fuel = {"role": "emission", "method": "fuel", "profile": "p", "terms": [[1, "coal/energy"]], "compare": "stack"}
    return {"boiler": {**fuel, "defaults": {"NCV": 20, "CC": Decimal("26.1")}}}


def calibrate(make: Maker, point: str) -> None:
    if make.often(0.2):
        a = make.chance.randint(make.begin_ms, make.to_ms)
        values = {"a": Decimal("0.01"), "b": make.chance.choice((1, Decimal("1.02"), 0.98))}
        make.entry(a, "calibration", point, a, a + make.chance.choice((HOUR_MS, 10 * DAY_MS)), values, None)


def gauge_lives(make: Maker, points: Mapping[str, Any], sample: int, trouble: float) -> None:
    chance = make.chance
    dense, lost, out, stops = chance.choice((1, 1, 2)), dict[str, int](), 0, make.often(0.4)
    sign, dark = chance.choice((1, 1, 1, -1)), make.often(0.5)
    for at in range(make.begin_ms, make.end_ms, sample // dense):
        time = at + chance.choice((0, 0, sample // 7))
        values = []
        for name, point in points.items():
            letter = name.partition("/")[2]
            if make.often(trouble / (5 if letter == "c" else 40)):
                lost[name] = time + chance.choice((4, 12, 60)) * sample
            if make.often(trouble / 200):
                out = time
            low, high = GAUGES[letter][1] if letter in GAUGES else (0, 0)
            value: Any = low + (high - low) * chance.random()
            value = sign * value if letter == "c" else value
            off = stops and (time // make.interval_ms) % 2
            if off and dark and letter != "run":
                continue
            if letter == "run":
                value = int(not off)
            elif make.often(0.5):
                value = Decimal(str(round(value, 3)))
            bits = Quality.OUT_OF_CONTROL if out == time else Quality(0)
            if make.often(trouble / 2):
                named = (Quality.STALE, Quality.CLOCK_UNSYNC, Quality.FROZEN, Quality.LATE)
                bits |= chance.choice((*named, chance.choice(UNNAMED)))
            if time >= lost.get(name, 0):
                values.append(Value(letter, value, point["unit"], int(bits)))
        if values and not make.often(trouble / 4):
            clock = "S" if not make.often(trouble / 10) else "U"
            make.tell(at, "stack", Reading(time, tuple(values)), clock)
