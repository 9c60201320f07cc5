"""A hydro station and a boiler with its stack through a few hours, and what is unusual of what people supplied to it.

Its books are kept and its statement is made by the product; nothing is signed. Of the stack come 72 t an hour, and of
the coal 0.1 % more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ledger_client.accounting import profiles
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import parse_entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.statement import Choice, state
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading, Value
from ledger_client.inputs.effects import Apart
from ledger_client.inputs.judgement import of_entry, of_plan, of_statement
from ledger_client.inputs.listing import Input, Signed, entry_listed
from ledger_client.inputs.review import review
from ledger_client.inputs.unusual import Unusual
from tests.ledger_client.accounting.plans import HOUR, MINUTE, T0

HOURS: Final = 4
DOCUMENT: Final = b"d" * 32
ROLES: Final = {"hydro": ["generation"], "unit": ["emission"]}
UNITS: Final = {"c": "mg/l", "Q": "m3/s", "t": "Cel", "p": "Pa", "load": "kW"}
NORMAL: Final[Mapping[str, float]] = {"c": 200, "Q": 100, "t": 0, "p": 101_325, "load": 90_000}
COAL_MIN: Final = 492
Shown = Callable[[int], Mapping[str, float]]
"""What the gauges show in a minute since T0; a name that is not there has no value then. ``coal``: kg of the minute."""


def fields() -> dict[str, Any]:
    """Fields of its plan."""
    gauges = {name: {"kind": "gauge", "unit": unit, "sample": MINUTE} for name, unit in UNITS.items()}
    gauges["c"] |= {"basis": "dry", "range": [0, 400]}
    gauges["Q"] |= {"basis": "dry"}
    counters = {"hydro/energy": ("kWh", 2000), "unit/coal": ("kg", 100_000)}
    points = {f"unit/{name}": point for name, point in gauges.items()} | {
        name: {"kind": "counter", "unit": unit, "sample": MINUTE, "max": most}
        for name, (unit, most) in counters.items()
    }
    stack = {
        "role": "emission", "method": "cems", "profile": "EU-MRR", "operating": "unit/load", "threshold": 10_000,
        "inputs": {letter: f"unit/{letter}" for letter in ("c", "Q", "t", "p")},
    }  # fmt: skip
    coal = {
        "role": "emission", "method": "fuel", "terms": [[1, "unit/coal"]], "profile": "hourly-60s", "compare": "stack",
        "defaults": {"NCV": Decimal("25.8"), "CC": Decimal("25.8"), "OF": 1}, "fuel": "other-bituminous-coal",
    }  # fmt: skip
    return {
        "plan": "main", "v": 1, "rules": "accounting-1", "from": T0, "interval": 3600, "civil": 480, "points": points,
        "nodes": {
            "hydro": {"role": "production", "terms": [[1, "hydro/energy"]], "profile": "hourly-60s"},
            "stack": stack, "coal": coal,
        },
        "profiles": {name: dict(profiles.load(name)) for name in ("EU-MRR", "hourly-60s")},
        "factors": [], "site": {}, "disclosure": "full",
    }  # fmt: skip


def entry(
    kind: str, of: str, values: Mapping[str, Any], hours: tuple[int, int] = (0, HOURS), **also: Any
) -> dict[str, Any]:
    """An entry with a document, by hours since T0."""
    begin, end = (T0 + number * HOUR for number in hours)
    shown = {"kind": kind, "of": of, "from": begin, "to": end, "values": values, "reason": "report", "user": "lab"}
    return {"document": DOCUMENT, **shown, **also}


def supplied(
    *entries: Mapping[str, Any],
    plan: Mapping[str, Any] | None = None,
    shown: Shown = lambda _: NORMAL,
    roles: Mapping[str, Sequence[str]] = ROLES,
    documents: Sequence[bytes] = (DOCUMENT,),
    days: float = 1,
    signed_ms: int = T0 - HOUR,
) -> tuple[list[Unusual], list[Input]]:
    """What is unusual, and the entries as they are listed.

    Args:
        plan: the fields of the plan.
        shown: what gauges show.
        roles: of the meters.
        documents: SHA-256 of the files that are here.
        days: from the end of the hours to when the ledgers have the entries.
        signed_ms: when the plan was signed.
    """
    parsed = parse_plan(plan or fields())
    made = [parse_entry(of, bytes([n + 1]) * 32) for n, of in enumerate(entries)]
    books = Books(parsed, made)
    apart = Apart.of(books)
    coal = 0
    for minute in range(-2, HOURS * 60 + 4):
        values = shown(minute)
        coal += int(values.get("coal", COAL_MIN))
        gauges = tuple(Value(name, number, UNITS[name]) for name, number in values.items() if name in UNITS)
        time_ms = T0 + minute * MINUTE
        books.reading("unit", "S", Reading(time_ms, (*gauges, Value("coal", coal, "kg"))), b"u" * 32)
        books.reading("hydro", "S", Reading(time_ms, (Value("energy", 1000 + minute * 10, "kWh"),)), b"h" * 32)
    for meter in parsed.meters:
        books.coverage(meter, Coverage(T0 - HOUR, T0 + (HOURS + 1) * HOUR, 1, 1, {}))
    ends = (0, b"b" * 32), (0, b"b" * 32)
    choice = Choice(b"p" * 32, signed_ms, T0, T0 + HOURS * HOUR, ends)
    statement = state(books, choice, bytes(32))
    found = review(books, apart, b"s" * 32, choice, statement, {})
    at_s = int(choice.to_ms // 1000 + days * 86_400)
    inputs = [
        entry_listed(
            "g", "main", one, Signed(one.record, at_s - 60, at_s), dict.fromkeys(documents, "report.pdf"),
            [found.standings[one.record]], found.effects.get(one.record, ()),
        )
        for one in made
    ]  # fmt: skip
    unusual = [each for one in inputs for each in of_entry(one, parsed)]
    unusual += of_plan(parsed, choice.plan, roles, (), 2026)
    unusual += of_statement(found, b"s" * 32)
    return unusual, inputs


def codes(*entries: Mapping[str, Any], **also: Any) -> list[str]:
    """The codes of what is unusual."""
    return sorted(one.code for one in supplied(*entries, **also)[0])


def changed(**nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of its plan with some keys of nodes otherwise."""
    plan = fields()
    for name, keys in nodes.items():
        plan["nodes"][name] |= keys
    return plan
