"""The part of the second implementation about entries (docs/accounting.md: P9, and the bounds of M6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from ledger_client.formats.record import Event
from tests.oracle.basics import Given, Plan, Signed

TO_BASE_UNIT = {
    **dict.fromkeys(("J", "Wh", "kWh", "MWh"), "Wh"), **dict.fromkeys(("g", "kg", "t"), "kg"),
    **dict.fromkeys(("l", "m3"), "m3"),
}  # fmt: skip


def entries(plan: Plan, records: Sequence[Signed], kept: Sequence[tuple[Mapping[str, Any], bytes]]) -> Any:
    """The entries on the plan, those that count, and how many findings there are."""
    things = {*plan["points"], *plan["nodes"]}
    events = [(t.body.fields, t.hash) for t in records if isinstance(t.body, Event) and t.body.name == "entry"]
    all_ = [(f, h) for h, f in {h: f for f, h in [*kept, *events] if f["of"] in things}.items()]
    good = [(f, h) for f, h in all_ if possible(plan, f)]
    counting: list[tuple[Mapping[str, Any], bytes]] = []
    wrong = {
        h for f, h in all_
        if not possible(plan, f) and not any(h in named(g) and meet(f, g) for g, _ in good[later(good, all_, h) :])
    }  # fmt: skip
    for kind, of, letter in sorted({(f["kind"], f["of"], x) for f, _ in good for x in letters(f)}):
        same = [(f, h) for f, h in good if (f["kind"], f["of"]) == (kind, of) and letter in letters(f)]
        for a, b, alive in [*moments(same), *stretches(same)]:
            wrong |= {h for _, h in alive[1:]}
            if len(alive) == 1:
                f, h = alive[0]
                values = {letter: f["values"][letter]} if kind == "lab" else f["values"]
                counting.append(({**f, "from": a, "to": b, "values": values, "begins": f["from"]}, h))
    return all_, [(f, h) for f, h in joined(counting) if whole(f, all_, h)], len(wrong)


def later(good: Given, all_: Given, hashed: bytes) -> int:
    """How many of the good ones were made before one."""
    before = [h for _, h in all_[: [h for _, h in all_].index(hashed)]]
    return sum(h in before for _, h in good)


def meet(f: Mapping[str, Any], g: Mapping[str, Any]) -> bool:
    return (f["kind"], f["of"]) == (g["kind"], g["of"])


def named(f: Mapping[str, Any]) -> list[bytes]:
    replaces = f.get("replaces", [])
    return [replaces] if isinstance(replaces, bytes) else list(replaces)


def letters(f: Mapping[str, Any]) -> list[str]:
    """What an entry states: of analyses each letter by itself."""
    return list(f["values"]) if f["kind"] == "lab" else [""]


def possible(plan: Plan, f: Mapping[str, Any]) -> bool:
    """P9, M6: whether the values and the unit of an entry can be."""
    kind, values = f["kind"], {name: Fraction(x) for name, x in f["values"].items()}
    if kind in ("register", "value", "settlement") and TO_BASE_UNIT.get(f.get("unit", "")) != base_of(plan, f["of"]):
        return False
    if kind == "lab":
        kinds = {"C_ar": "share", "C_ad": "share", "OF": "share", "M_ar": "%", "M_ad": "%", "NCV": "", "CC": ""}
        return bool(values) and all(
            x in kinds and {"share": 0 < v <= 1, "%": 0 <= v < 100, "": v > 0}[kinds[x]] for x, v in values.items()
        )
    return (kind != "value" or values["value"] > 0) and (kind != "calibration" or values["b"] > 0)


def base_of(plan: Plan, thing: str) -> str | None:
    """Wh, kg or m3; None of a gauge."""
    if thing in plan["points"]:
        point = plan["points"][thing]
        return TO_BASE_UNIT.get(point["unit"]) if point["kind"] == "counter" else None
    node = plan["nodes"][thing]
    if node["role"] == "emission":
        return "kg"
    if node.get("terms"):
        return base_of(plan, node["terms"][0][1])
    return base_of(plan, next(name for name, other in plan["nodes"].items() if other.get("below") == thing))


def of_moment(f: Mapping[str, Any]) -> bool:
    return f["kind"] in ("register", "closure") or f["from"] == f["to"]


def moments(same: Given) -> Iterator[tuple[int, int, list[Any]]]:
    """Those of one moment that no later one names, by their moments."""
    alive = [
        (f, h) for n, (f, h) in enumerate(same)
        if of_moment(f) and not any(h in named(g) for g, _ in same[n + 1 :])
    ]  # fmt: skip
    for at in sorted({f["from"] for f, _ in alive}):
        yield at, at, [(f, h) for f, h in alive if f["from"] == at]


def stretches(same: Given) -> Iterator[tuple[int, int, list[Any]]]:
    """Between all beginnings and ends those that stand there, as one is made after the other."""
    spans = [(f, h) for f, h in same if not of_moment(f)]
    for a, b in pairwise(sorted({at for f, _ in spans for at in (f["from"], f["to"])})):
        alive: list[Any] = []
        for f, h in spans:
            if f["from"] <= a and b <= f["to"]:
                alive = [(g, other) for g, other in alive if other not in named(f)] + [(f, h)]
        yield a, b, alive


def joined(counting: Given) -> list[tuple[Mapping[str, Any], bytes]]:
    """Stretches of one entry that go on are one."""
    out: list[tuple[Mapping[str, Any], bytes]] = []
    for f, h in counting:
        if (
            out
            and out[-1][1] == h
            and out[-1][0]["to"] == f["from"]
            and out[-1][0]["values"].keys() == f["values"].keys()
        ):
            out[-1] = {**out[-1][0], "to": f["to"]}, h
        else:
            out.append((f, h))
    return out


def whole(f: Mapping[str, Any], all_: Given, hashed: bytes) -> bool:
    """An amount counts undivided."""
    first = next(g for g, h in all_ if h == hashed)
    return f["kind"] not in ("value", "settlement") or (f["from"], f["to"]) == (first["from"], first["to"])


def analysed(labs: Given) -> dict[bytes, dict[str, Any]]:
    """The values of each analysis that counts somewhere."""
    out: dict[bytes, dict[str, Any]] = {}
    for f, h in labs:
        out.setdefault(h, {}).update(f["values"])
    return out
