"""Each unusual input beside its nearest neighbour that is usual, and honest operation that has none."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from ledger_client.accounting import factors
from ledger_client.inputs.unusual import CODES
from tests.ledger_client.accounting.plans import HOUR, T0
from tests.ledger_client.inputs.plant import (
    COAL_MIN,
    HOURS,
    NORMAL,
    changed,
    codes,
    entry,
    fields,
    supplied,
)

LAB = {"NCV": Decimal("25"), "CC": Decimal("26")}
USUAL = "usual"


def lab(**values: Any) -> dict[str, Any]:
    return entry("lab", "coal", LAB | {name: Decimal(text) for name, text in values.items()})


def calibration(b: str, hours: tuple[int, int] = (0, HOURS)) -> dict[str, Any]:
    return entry("calibration", "unit/c", {"a": 0, "b": Decimal(b)}, hours)


def silent(minute: int) -> Mapping[str, float]:
    """Its gauges say nothing in the second hour."""
    return {} if 60 <= minute < 120 else NORMAL


def substitute(kg: int) -> dict[str, Any]:
    return entry("value", "stack", {"value": kg}, (1, 2), unit="kg")


def factored(value: str, **keys: Any) -> dict[str, Any]:
    """A plan with a load by a factor of 2023."""
    (published,) = (dict(one) for one in factors.load() if one["id"] == "CN-average-2023")
    plan = fields()
    plan["nodes"]["load"] = {
        "role": "emission", "method": "electricity", "terms": [[1, "hydro/energy"]], "profile": "hourly-60s",
        "factor": "CN-average", "factor_rule": "year-of-use", **keys,
    }  # fmt: skip
    return plan | {"factors": [published | {"value": value}]}


def profiled(**keys: Any) -> dict[str, Any]:
    plan = fields()
    plan["profiles"]["EU-MRR"] = plan["profiles"]["EU-MRR"] | keys
    return plan


def closed(after: float) -> dict[str, Any]:
    """An entry that closes the hydro station so many hours after T0."""
    moment = T0 + int(after * HOUR)
    return entry("closure", "hydro", {}) | {"from": moment, "to": moment}


def certified(capacity: int) -> dict[str, Any]:
    of = dict.fromkeys(("id", "name", "source", "technology", "commissioned", "location", "class"), "x")
    certificate = {**of, "capacity": 1000, "configuration": 1, "scheme": "gc"}
    return changed(hydro={"capacity": capacity, "certificate": certificate})


def above(minutes: int) -> Any:
    """Concentrations above the range in so many minutes of the four hours."""
    return lambda minute: {**NORMAL, "c": 401 if 0 <= minute < minutes else 200}


CASES: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = [
    ("late", [lab()], {"days": 40.1}),
    (USUAL, [lab()], {"days": 40}),
    ("late", [calibration("1.01")], {"days": 39.9}),  # from its beginning, four hours before
    (USUAL, [calibration("1.01")], {"days": 39.8}),
    ("no-document", [lab() | {"document": b"x" * 32}], {}),
    ("no-document", [{key: of for key, of in lab().items() if key != "document"}], {}),
    ("no-document", [entry("settlement", "hydro", {"value": 40}, unit="kWh") | {"document": b"x" * 32}], {}),
    (USUAL, [lab(), entry("settlement", "hydro", {"value": 40}, unit="kWh")], {}),
    ("calibration-shift", [calibration("0.94")], {}),
    (USUAL, [calibration("0.96")], {}),
    (USUAL, [calibration("0.9", (0, 1))], {}),  # of one hour in four: 2.5 %
    ("lab-range", [lab(OF="0.949")], {}),
    (USUAL, [lab(OF="0.95")], {}),
    ("lab-range", [lab(CC="24.3")], {}),
    (USUAL, [lab(CC="24.4")], {}),
    ("lab-range", [lab(NCV="19.8", CC="27")], {}),
    ("lab-range", [lab(C_ar="0.485")], {}),
    (USUAL, [lab(C_ar="0.64")], {}),
    ("lab-range", [lab(C_ad="0.53", M_ar="12", M_ad="3")], {}),
    (USUAL, [lab(C_ad="0.70", M_ar="12", M_ad="4")], {}),
    ("lab-range", [lab()], {"plan": changed(coal={"fuel": "unobtainium", "defaults": {}})}),
    ("lab-range", [], {"plan": changed(coal={"defaults": {**LAB, "OF": Decimal("0.94")}})}),
    ("substitute-low", [substitute(71_999)], {"shown": silent}),
    (USUAL, [substitute(72_000)], {"shown": silent}),
    ("own-factor", [], {"plan": factored("0.1")}),
    (USUAL, [], {"plan": factored("0.5306")}),
    ("own-profile", [], {"plan": profiled(density=Decimal("1.9"))}),
    (USUAL, [], {"plan": profiled()}),
    ("role", [], {"roles": {"hydro": ["auxiliary"], "unit": ["emission"]}}),
    ("role", [], {"roles": {"hydro": ["generation"], "unit": ["auxiliary"]}}),
    ("negative-term", [], {"plan": changed(hydro={"role": "consumption", "terms": [[-1, "hydro/energy"]]})}),
    ("meter-unused", [], {"roles": {"hydro": ["generation"], "unit": ["emission"], "third": ["auxiliary"]}}),
    ("out-of-reach", [], {"plan": changed(stack={"threshold": 90_001})}),
    (USUAL, [], {"plan": changed(stack={"threshold": 90_000})}),
    ("out-of-reach", [], {"plan": certified(1201)}),
    (USUAL, [], {"plan": certified(1200)}),
    ("out-of-reach", [], {"shown": above(3)}),
    (USUAL, [], {"shown": above(2)}),
    ("closed-but-counting", [closed(2)], {}),
    (USUAL, [closed(HOURS)], {}),
    ("settlement-below-0", [entry("settlement", "hydro", {"value": -1}, unit="kWh")], {}),
    (USUAL, [entry("settlement", "hydro", {"value": 0}, unit="kWh")], {}),
    ("m7", [], {"shown": lambda _: {**NORMAL, "coal": COAL_MIN * 9 // 10 - 1}}),
    (USUAL, [], {"shown": lambda _: {**NORMAL, "coal": COAL_MIN * 9 // 10 + 1}}),
    ("retrospective", [], {"signed_ms": T0 + 1}),
    (USUAL, [], {"signed_ms": T0}),
    ("finding", [lab(), lab(CC="27")], {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "entries", "also"), CASES)
def test_one_is_unusual_and_its_neighbour_is_not(
    code: str, entries: list[dict[str, Any]], also: dict[str, Any]
) -> None:
    found = codes(*entries, **also)
    beside = {"m7"} if code == "lab-range" else set()  # another analysis moves fuel and stack apart
    assert [one for one in found if one not in beside] == ([] if code == USUAL else [code])


def test_every_code_has_a_case() -> None:
    assert {code for code, _, _ in CASES} == {*CODES, USUAL}


def test_a_node_without_a_fuel_is_named() -> None:
    plan = fields()
    del plan["nodes"]["coal"]["fuel"]
    assert codes(plan=plan) == ["lab-range"]
    assert codes(lab(OF="0.94"), plan=plan) == ["lab-range", "lab-range"]


def test_a_factor_that_is_fixed_on_an_old_vintage_is_named() -> None:
    (published,) = (dict(one) for one in factors.load() if one["id"] == "CN-average-2022")
    old = factored("0.5306", factor_rule="fixed", factor_id="CN-average-2022")
    old["factors"].append(published)
    assert codes(plan=old) == ["own-factor"]
    assert codes(plan=factored("0.5306", factor_rule="fixed", factor_id="CN-average-2023")) == []


def starts_up(minute: int) -> Mapping[str, float]:
    """Load 0 in the first hour, with gas and coal as it warms up; then at full load."""
    return {**NORMAL, "load": 0 if minute < 60 else 90_000}


def stands(minute: int) -> Mapping[str, float]:
    """No gas, no coal, no load; the analyser is off in the third hour."""
    if 120 <= minute < 180:
        return {"load": 0, "coal": 0}
    return {"c": 0, "Q": 0, "t": 20, "p": 101_325, "load": 0, "coal": 0}


DAILY = [entry("lab", "coal", {"M_ar": 10 + n, "M_ad": 3}, (n, n + 1)) for n in range(HOURS)]


@pytest.mark.parametrize(
    ("entries", "also", "expected"),
    [
        ([], {"shown": starts_up}, []),
        ([], {"shown": stands}, []),
        ([calibration("1.02"), lab()], {}, []),
        ([entry("lab", "coal", {"C_ad": Decimal("0.7")}), *DAILY], {}, []),
        ([lab(), lab(CC="27") | {"replaces": bytes([1]) * 32}], {}, []),
        ([lab(), calibration("1.01")], {"days": 365}, ["late", "late"]),
    ],
    ids=["start-up at load 0", "standstill", "new calibration", "daily moisture", "corrected lab", "a year after"],
)
def test_honest_operation_has_nothing_unusual_but_late(
    entries: list[dict[str, Any]], also: dict[str, Any], expected: list[str]
) -> None:
    assert codes(*entries, **also) == expected


def test_an_entry_says_what_the_total_would_be_without_it() -> None:
    _, (first, second, check, value) = supplied(
        lab(), lab(CC="27") | {"replaces": bytes([1]) * 32}, calibration("1.01"), substitute(80_000), shown=silent
    )
    assert [first.standing, second.standing, check.standing, value.standing] == [
        "replaced",
        "counts",
        "counts",
        "counts",
    ]
    assert first.effects == ()
    (lab_effect,) = second.effects
    assert lab_effect.total is not None
    assert Fraction(lab_effect.total, lab_effect.without or 1) == Fraction(27, 26)  # then the first one counts
    (shift,), (added,) = check.effects, value.effects
    assert (shift.total, shift.without) == (3 * 72_720_000 + 80_000_000, 3 * 72_000_000 + 80_000_000)
    assert (added.total, added.without) == (3 * 72_720_000 + 80_000_000, 3 * 72_720_000)
