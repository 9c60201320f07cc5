"""Bad input: each plan, entry and period that no statement can be made of is refused by its rule, and whatever counts
otherwise than its owner may think is noted with its rule."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import Entry, parse_entry, read_entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import parse_row
from ledger_client.accounting.formats.standings import REFUSED, judged
from ledger_client.accounting.statement import Choice, Statement, check_period, state
from ledger_client.formats.record import Coverage, Quality, Reading, Value
from tests.ledger_client.accounting.plans import HOUR, MINUTE, T0, counter, node, plan_fields
from tests.ledger_client.accounting.stacks import NORMAL, STEP, UNITS, stack_fields

POINT = "export/energy"
BATCHES = ((0, b"0" * 32), (0, b"0" * 32))


def refused(rule: str, words: str, act: Callable[[], object]) -> None:
    with pytest.raises(AccountingError) as error:
        act()
    assert error.value.rule == rule, error.value.sentence
    assert words in f"{error.value.sentence} fix: {error.value.way_out}"
    assert error.value.where


def certificate(device: str) -> dict[str, Any]:
    return {
        "id": device, "name": "hydro", "source": "water", "technology": "turbine", "capacity": 1000, "class": "a",
        "commissioned": "2020-01-01", "location": "here", "configuration": 1, "scheme": "gc",
    }  # fmt: skip


def stations(**nodes: dict[str, Any]) -> dict[str, Any]:
    return {"points": {POINT: counter(), "other/energy": counter(), "scale/coal": counter("t")}, "nodes": nodes}


TWICE = {name: node("production", POINT) for name in ("a", "b")}
DEVICE = {
    "a": node("production", POINT, certificate=certificate("D1")),
    "b": node("production", "other/energy", certificate=certificate("D1")),
}
BELOW = {"a": node("production", POINT, below="b"), "b": node("consumption", "other/energy")}
BELOW_TWO = {
    "a": node("production", POINT, below="c"), "b": node("production", "other/energy", below="c"),
    "c": node("consumption"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("also", "rule", "words"),
    [
        ({"rules": "accounting-2"}, "P1", "this program knows accounting-1"),
        ({"bonus": 1}, "P1", "there is no such key"),
        ({"civil": 330}, "N6", "330 minutes from UTC cut an hour"),
        ({"civil": 345, "interval": 900}, "N6", "not minutes from UTC in half hours"),
        ({"from": T0 + 8 * MINUTE}, "N6", "not on the grid of the interval"),
        ({"interval": 1800}, "N6", "it is 1800 s"),
        ({"points": {POINT: counter(sample=3_600_001)}}, "P3", "longer than the interval"),
        ({"points": {POINT: counter("kVAh")}}, "P3", "'kVAh' is not a unit of a counter"),
        ({"points": {POINT: counter(wraps_at=1100)}}, "P3", "a wrap cannot be told from a reset"),
        ({"points": {POINT: counter(max=0)}}, "P3", "the most that the register counts in an hour"),
        ({"points": {POINT: counter(u=Decimal("-0.01"), u_source="x")}}, "U1", "an uncertainty is not below 0"),
        ({"points": {"export": counter()}}, "P3", "a point is called METER/POINT"),
        (stations(a=node("production", POINT, capacity=0)), "P4", "it is 0 (P4) fix: give the nominal power in W"),
        (stations(a=node("production")), "P4", "neither terms nor inputs"),
        (stations(a=node("production", "export/nothing")), "P4", "the plan has no point export/nothing"),
        (stations(a=node("production", POINT, "scale/coal")), "P4", "sum registers of one kind"),
        (stations(a=node("production", POINT, profile="soft")), "P4", "copy it into plan.profiles"),
        (stations(a=node("production", POINT, method="fuel")), "P4", "nothing else does"),
        (stations(a=node("emission", "scale/coal")), "P4", "an emission has a method"),
        (stations(**BELOW), "P5", "name a node without terms"),
        (stations(**BELOW_TWO), "P5", "it is one node's"),
        (stations(**TWICE), "P6", "a point is produced once"),
        (stations(**DEVICE), "P6", "certify it once"),
        ({"profiles": {"strict": {"version": "1", "edge": 1, "accept": []}}}, "I2", "up to 0.5"),
        ({"profiles": {"strict": {"version": "1", "edge": Decimal("0.01"), "accept": ["LATE"]}}}, "I1", "may accept"),
        ({"profiles": {"strict": {"version": "1", "edge": Decimal("0.01"), "accept": ["GOOD"]}}}, "I1", "quality bit"),
        ({"profiles": {"strict": {"edge": Decimal("0.01"), "accept": []}}}, "H7", "version: it is missing"),
    ],
)  # fmt: skip
def test_a_plan_is_refused_by_its_rule(also: dict[str, Any], rule: str, words: str) -> None:
    refused(rule, words, lambda: parse_plan(plan_fields(**also)))


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "rule", "words"),
    [
        (T0 + 1, T0 + HOUR, "N6", "period.from: it is not on the grid of 3600 s"),
        (T0, T0 + HOUR + 30 * MINUTE, "N6", "period.to: it is not on the grid of 3600 s"),
        (T0, T0, "N6", "it is not after `from`"),
        (T0, T0 + 31 * 24 * HOUR, "N6", "state each month by itself"),
        (T0 - HOUR, T0 + HOUR, "P2", "before the plan begins"),
    ],
)
def test_a_period_is_refused_by_its_rule(from_ms: int, to_ms: int, rule: str, words: str) -> None:
    """The civil month begins eight hours before that of UTC."""
    refused(rule, words, lambda: check_period(parse_plan(plan_fields()), from_ms, to_ms))


def test_a_period_that_is_not_over_is_refused() -> None:
    books = Books(parse_plan(plan_fields()))
    books.coverage("export", Coverage(T0, T0 + HOUR, 360, 360, {}))
    choice = Choice(b"p" * 32, 0, T0, T0 + HOUR, BATCHES)
    refused("T2", "ends 36000 ms too early", lambda: state(books, choice, bytes(32)))


def fields_of(**also: Any) -> dict[str, Any]:
    of = {"kind": "register", "of": POINT, "from": T0, "to": T0, "reason": "exchange", "user": "u", "unit": "kWh"}
    return {**of, "values": {"final": 9, "initial": 0}, **also}


@pytest.mark.parametrize(
    ("also", "words"),
    [
        ({"kind": "guess"}, "it is one of register, lab"),
        ({"to": T0 + 1}, "an entry of registers is of one moment"),
        ({"kind": "value", "values": {"value": 1}, "to": T0 - 1}, "it is before `from`"),
        ({"values": {"final": 9}}, "initial: it is missing"),
        ({"values": {"final": 9, "initial": 0, "guess": 1}}, "there is no such key"),
        ({"values": {"final": "9", "initial": 0}}, "not a number"),
        ({"reason": ""}, "entry.reason"),
        ({"replaces": b"short"}, "32 bytes"),
        ({"replaces": []}, "not a list of 1 or more"),
        ({"replaces": [b"r" * 32, b"r" * 32]}, "each once"),
        ({"replaces": [b"r" * 32, "r" * 32]}, "each once"),
    ],
)
def test_an_entry_is_refused_by_its_rule(also: dict[str, Any], words: str) -> None:
    refused("P9", words, lambda: parse_entry(fields_of(**also)))


CANNOT_BE = [
    ({"kind": "value", "values": {"value": -1}}, "P9", "a substitute is above 0"),
    ({"kind": "value", "values": {"value": 0}}, "P9", "a substitute is above 0"),
    ({"kind": "value", "values": {"value": Decimal("-0.001")}}, "P9", "a substitute is above 0"),
    ({"kind": "value", "values": {"value": 1}, "unit": "litre"}, "P9", "give one of J, Wh"),
    ({"kind": "calibration", "values": {"a": 0, "b": 0}}, "P9", "no gauge reads less"),
    ({"kind": "calibration", "values": {"a": 0, "b": -0.5}}, "P9", "no gauge reads less"),
    ({"kind": "lab", "values": {}}, "M6", "there is none"),
    ({"kind": "lab", "values": {"FC": 1}}, "M6", "they are C_ar, C_ad, M_ar, M_ad, NCV, CC, OF"),
    ({"kind": "lab", "values": {"NCV": 0}}, "M6", "not above 0"),
    ({"kind": "lab", "values": {"CC": -26.1}}, "M6", "not above 0"),
    ({"kind": "lab", "values": {"C_ar": 61}}, "M6", "such as 0.61 for 61 %"),
    ({"kind": "lab", "values": {"C_ad": 0}}, "M6", "above 0 and up to 1"),
    ({"kind": "lab", "values": {"OF": Decimal("1.01")}}, "M6", "above 0 and up to 1"),
    ({"kind": "lab", "values": {"M_ar": 100}}, "M6", "from 0 and below 100"),
    ({"kind": "lab", "values": {"M_ad": -1}}, "M6", "from 0 and below 100"),
]
MAY_BE = [
    {"kind": "settlement", "values": {"value": -1}},
    {"values": {"final": 0, "initial": 0}},
    {"kind": "calibration", "values": {"a": -3, "b": Decimal("0.001")}},
    {"kind": "lab", "values": {"C_ar": 1, "OF": 1, "M_ar": 0, "M_ad": Decimal("99.9"), "NCV": 0.1, "CC": 1}},
]
"""What is unlikely, or 0 at its place: it may be signed."""


@pytest.mark.parametrize(("also", "rule", "words"), CANNOT_BE)
def test_a_value_that_cannot_be_is_refused_and_counts_for_nothing(also: dict[str, Any], rule: str, words: str) -> None:
    with pytest.raises(AccountingError) as caught:
        parse_entry(fields_of(**also))
    assert caught.value.rule == rule
    assert words in f"{caught.value.problem} {caught.value.way_out}"
    read = read_entry(fields_of(**also), b"r" * 32)
    assert read.fault == str(caught.value.sentence)
    found = judged([read])
    assert (found.counting, found.findings, found.standings[0].word) == ([], 1, REFUSED)


@pytest.mark.parametrize("also", MAY_BE)
def test_a_value_that_is_unlikely_may_be_signed(also: dict[str, Any]) -> None:
    assert judged([parse_entry(fields_of(**also))]).findings == 0


@pytest.mark.parametrize("letters", [{"OF": 0}, {"C_ar": Decimal("1.1")}, {"M_ar": 100}, {"FC": 1}, {"NCV": -1}])
def test_a_default_that_cannot_be_is_refused(letters: dict[str, Any]) -> None:
    boiler = node("emission", "scale/fuel", method="fuel", defaults=letters)
    points = {"scale/fuel": counter("t")}
    refused("M6", "defaults", lambda: parse_plan(plan_fields(points=points, nodes={"boiler": boiler})))


def entry(number: int = 1, **also: Any) -> Entry:
    return parse_entry(fields_of(**also), bytes([number]) * 32)


def at(minute: int) -> dict[str, int]:
    return {"from": T0 + minute * MINUTE, "to": T0 + minute * MINUTE}


def stated(*entries: Entry, flag: int = 0, sync: bool = True, back_to: int | None = 30) -> Statement:
    """Three hours of a register that gains 1 kWh a minute from 1,000 on, and goes back to something in minute 90."""
    books = Books(parse_plan(plan_fields()), entries)
    for ms in range(0, 3 * HOUR + MINUTE, 10_000):
        minute = ms // MINUTE
        number = 1000 + minute if minute < 90 or back_to is None else back_to + minute - 90
        quality = flag if ms == 90 * MINUTE else 0
        clock = "S" if sync else "U"
        books.reading("export", clock, Reading(T0 + ms, (Value("energy", number, "kWh", quality),)), b"r" * 32)
    books.coverage("export", Coverage(T0, T0 + 3 * HOUR + MINUTE, 1086, 1086, {}))
    return state(books, Choice(b"p" * 32, 0, T0, T0 + 3 * HOUR, BATCHES), bytes(32))


def statuses(statement: Statement) -> list[str]:
    return [parse_row(row).status for row in statement.rows]


UNMENDED = f"{POINT}: breaks that no entry mends: 1 (I4); enter the last and the first register of each"
OF = f"{POINT}: the entry of 2026-10-01T01:30:00Z mends nothing (I4): "


@pytest.mark.parametrize("flag", [0, Quality.COUNTER_RESET, Quality.METER_EXCHANGED])
def test_a_reset_or_an_exchange_without_an_entry_is_noted(flag: int) -> None:
    found = stated(flag=int(flag))
    assert (statuses(found), found.notes) == (["measured", "unknown", "measured"], (UNMENDED,))
    assert not found.fields["complete"]


def test_with_the_entry_nothing_is_noted() -> None:
    found = stated(entry(**at(90), values={"final": 1089, "initial": 30}))
    assert (statuses(found), found.notes) == (["measured", "bridged", "measured"], ())
    assert found.fields["complete"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"final": 1088, "initial": 30},
         "its final register 1,088,000.000 Wh is below the last one read, 1,089,000.000 Wh"),
        ({"final": 1089, "initial": 31},
         "its initial register 31,000.000 Wh is above the first one read, 30,000.000 Wh"),
        ({"final": 2500, "initial": 30}, "it gives more than the point can count in that time (max)"),
    ],
)  # fmt: skip
def test_registers_that_do_not_fit_are_noted(values: dict[str, int], why: str) -> None:
    found = stated(entry(**at(90), values=values))
    assert statuses(found) == ["measured", "unknown", "measured"]
    assert found.notes == (UNMENDED, OF + why)


def test_an_entry_that_contradicts_a_register_that_went_on_is_noted() -> None:
    found = stated(entry(**at(90)), back_to=None)
    assert statuses(found) == ["measured"] * 3
    assert found.notes == (OF + "there is no reset, exchange or fall between the readings around it",)


def test_an_entry_of_another_kind_of_unit_counts_for_nothing() -> None:
    values = {"final": 1089, "initial": 30}
    found = stated(entry(**at(90), values=values, unit="kg"))
    assert (found.fields["findings"], statuses(found)) == ({"entry": 1}, ["measured", "unknown", "measured"])
    assert any("kg is no unit of export/energy, which is in Wh (P9)" in note for note in found.notes)


@pytest.mark.parametrize("minutes", [(-60, -30), (200, 210)])
def test_an_entry_dated_outside_of_the_period_is_noted(minutes: tuple[int, int]) -> None:
    begin, end = (T0 + minute * MINUTE for minute in minutes)
    settled = entry(kind="settlement", of="station", values={"value": 180}, **{"from": begin, "to": end})
    (note,) = stated(settled, back_to=None).notes
    assert note.startswith("the entry settlement of station of 2026-")
    assert "is not of this period (P9)" in note


def test_an_entry_that_stands_twice_counts_not_at_all() -> None:
    values = {"final": 1089, "initial": 30}
    found = stated(entry(1, **at(90), values=values), entry(2, **at(90), values=values))
    assert found.fields["findings"] == {"entry": 1}
    assert statuses(found) == ["measured", "unknown", "measured"]
    assert found.fields["entries"] == [b"\1" * 32, b"\2" * 32]


def test_a_clock_that_was_never_synchronised_is_noted() -> None:
    found = stated(sync=False, back_to=None)
    assert found.rows == ()
    assert (found.fields["findings"], found.fields["complete"]) == ({"open": 1}, False)
    (note,) = found.notes
    assert note.startswith(f"{POINT}: the clock was never synchronised, so no edge is known (I1)")


def test_a_rollover_of_a_register_whose_largest_number_is_not_said_is_noted() -> None:
    found = stated(flag=int(Quality.ROLLOVER))
    unsaid = f"{POINT}: 1 times over its largest number, and the plan has no wraps_at (I4)"
    assert found.notes == (unsaid, UNMENDED)


def measured_stack(hours: int) -> Statement:
    """A number of valid hours of a stack under EU-MRR, and one whose concentration alone is missing."""
    books = Books(parse_plan(stack_fields("EU-MRR")))
    for ms in range(0, (hours + 1) * HOUR, STEP):
        letters = [letter for letter in NORMAL if letter != "c" or ms < hours * HOUR]
        values = tuple(Value(letter, NORMAL[letter], UNITS[letter]) for letter in letters)
        books.reading("stack", "S", Reading(T0 + ms, values), b"r" * 32)
    books.coverage("stack", Coverage(T0, T0 + (hours + 1) * HOUR, 0, 0, {}))
    return state(books, Choice(b"p" * 32, 0, T0, T0 + (hours + 1) * HOUR, BATCHES), bytes(32))


@pytest.mark.parametrize(
    ("hours", "found"), [(1, ["valid", "missing"]), (2, ["valid", "valid", "missing", "substituted"])]
)
def test_one_valid_hour_in_a_year_gives_no_substitute(hours: int, found: list[str]) -> None:
    """It has no standard deviation."""
    statement = measured_stack(hours)
    assert statuses(statement) == found
    noted = [note for note in statement.notes if "(S2)" in note]
    assert (bool(noted), statement.fields["complete"]) == (hours == 1, hours == 2)
