"""Substitutes beside missing references: EU-45, CN-HJ75, entries, and silences (S1–S5, H6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.accounting.assembly import times_of
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.numbers import MICRO, MILLI
from ledger_client.accounting.formats.plan import Node, Plan, parse_plan
from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.accounting.substitution import silences, substitutes
from tests.ledger_client.accounting.plans import HOUR, T0
from tests.ledger_client.accounting.stacks import entry, hour, stack, stack_fields

QUARTER_BEGINS = -8
"""Hours from T0 to the civil quarter, which begins at 2026-09-30T16:00Z: October of China."""
LENGTH = 92 * 24
"""Hours of that quarter."""


def beside(
    plan: Plan, node: Node, rows: Sequence[Row], history: Sequence[Row] = (), entries: Sequence[Entry] = ()
) -> list[Row]:
    """The substitutes of a period that ends with its rows."""
    return substitutes(plan, node, rows, history, entries, times_of(plan, rows[0].from_ms), rows[-1].to_ms)


# ---- EU-45


def test_one_valid_hour_in_a_year_has_no_deviation() -> None:
    plan, node = stack()
    assert beside(plan, node, [hour(node, 0, "valid", 1), hour(node, 1, "missing")]) == []


def test_a_part_of_a_year_is_provisional() -> None:
    """Two hours of 199 and 201 g/Nm³: 200 + 2·√2, by the flow of the missing hour. The row stays beside."""
    plan, node = stack()
    rows = [hour(node, 0, "valid", 1, c=199), hour(node, 1, "valid", 1, c=201), hour(node, 2, "missing", Q=50)]
    (found,) = beside(plan, node, rows)
    assert found.amount == round((200 + 2 * Decimal("1.414214")) * 50 * 3600)
    assert (found.status, found.facts["method"], found.facts["reason"]) == ("substituted", "EU-45", "provisional")
    year = times_of(plan, T0).year[0]
    assert found.facts["population"] == [
        year, T0 + 3 * HOUR, 2, decimal(200_000_000, MICRO), decimal(1_414_214, MICRO),
    ]  # fmt: skip


def test_a_whole_year_is_final() -> None:
    plan, node = stack()
    ends = times_of(plan, T0).year[1]
    last = (ends - T0) // HOUR
    history = [hour(node, 0, "valid", 1), hour(node, 1, "valid", 1)]
    (found,) = beside(plan, node, [hour(node, last - 1, "missing")], history)
    assert "reason" not in found.facts
    assert found.facts["population"][1] == ends
    assert found.amount == 72_000_000


def test_the_year_before_is_no_population() -> None:
    plan, node = stack()
    begins = (times_of(plan, T0).year[0] - T0) // HOUR
    history = [hour(node, begins - 2, "valid", 1), hour(node, begins - 1, "valid", 1)]
    assert beside(plan, node, [hour(node, begins, "missing")], history) == []


@pytest.mark.parametrize("lacking", ["Q", "t", "p", "w"])
def test_another_parameter_has_no_substitute(lacking: str) -> None:
    plan, node = stack()
    valid = [hour(node, 0, "valid", 1), hour(node, 1, "valid", 1)]
    none: dict[str, Any] = {lacking: None}
    assert beside(plan, node, [*valid, hour(node, 2, "missing", **none)]) == []
    assert beside(plan, node, [*valid, hour(node, 2, "missing", c=200, **none)]) == []


# ---- CN-HJ75


def falling(node: Node, hours: Iterable[int]) -> list[Row]:
    """Valid hours, each of 1 g less than the one before: the highest of the last n is that of the first of them."""
    return [hour(node, n, "valid", 10_000 - n) for n in hours]


@pytest.mark.parametrize(
    ("valid", "missing", "window"),
    [
        (9, 1, 180), (89, 10, 2160), (216, 24, 180), (225, 25, 720), (900, 100, 720), (899, 100, 2160),
        (3, 1, 2160), (74, 25, None), (2, 1, None),
    ],
)  # fmt: skip
def test_windows_by_capture_and_gap(valid: int, missing: int, window: int | None) -> None:
    """Captures of 90 and 75 %, gaps of 24 and 25 hours; before the quarter there are 2,160 valid hours."""
    plan, node = stack("CN-HJ75")
    begin = QUARTER_BEGINS
    history = falling(node, range(begin - 2160, begin))
    valid_hours = falling(node, range(begin, begin + valid))
    gap = [hour(node, begin + valid + n, "missing") for n in range(missing)]
    found = beside(plan, node, [*valid_hours, *gap], history)
    if window is None:
        assert found == []
        return
    first = begin + valid - window
    assert [row.from_ms for row in found] == [row.from_ms for row in gap]
    assert {row.amount for row in found} == {10_000 - first}
    assert found[0].facts["population"] == [
        T0 + first * HOUR, T0 + (begin + valid) * HOUR, window, decimal(10_000 - first, MILLI), decimal(0, MILLI),
    ]  # fmt: skip


@pytest.mark.parametrize(("before", "some"), [(179, False), (180, True)])
def test_with_fewer_hours_there_is_none(before: int, some: bool) -> None:
    plan, node = stack("CN-HJ75")
    rows = [*falling(node, range(before)), hour(node, before, "missing")]
    assert bool(beside(plan, node, rows)) == some


def test_a_standstill_is_no_operating_hour() -> None:
    """9 valid, 1 missing and any number of stopped: a capture of 90 %."""
    plan, node = stack("CN-HJ75")
    history = falling(node, range(QUARTER_BEGINS - 200, QUARTER_BEGINS))
    valid_hours = falling(node, range(QUARTER_BEGINS, QUARTER_BEGINS + 9))
    still = [hour(node, QUARTER_BEGINS + 9 + n, "stopped", 0) for n in range(50)]
    (found,) = beside(plan, node, [*valid_hours, *still, hour(node, QUARTER_BEGINS + 59, "missing")], history)
    assert found.facts["population"][2] == 180


def test_a_quarter_in_which_nothing_ran_and_nothing_lacks_has_no_capture() -> None:
    """The period begins in it, and its gap lies behind it."""
    plan, node = stack("CN-HJ75")
    history = falling(node, range(QUARTER_BEGINS - 2160, QUARTER_BEGINS))
    end = QUARTER_BEGINS + LENGTH
    assert beside(plan, node, [hour(node, end - 1, "stopped", 0), hour(node, end, "missing")], history) == []


def test_an_hour_below_the_threshold_is_of_no_population() -> None:
    """Neither its mass (the highest here) nor its concentration makes a substitute, and no capture counts it."""
    plan, node = stack("CN-HJ75")
    few, more = (falling(node, range(QUARTER_BEGINS, QUARTER_BEGINS + n)) for n in (2, 3))
    idle = [hour(node, QUARTER_BEGINS + 3 + n, "valid", 10**9) for n in range(50)]
    idle = [row._replace(facts=row.facts | {"reason": "below-threshold"}) for row in idle]
    gap = hour(node, QUARTER_BEGINS + 53, "missing")
    assert beside(plan, node, [*few, *idle, gap], falling(node, range(2160))) == []
    (found,) = beside(plan, node, [*more, *idle, gap], falling(node, range(QUARTER_BEGINS - 2160, QUARTER_BEGINS)))
    assert found.amount is not None
    assert found.amount < 10**9
    plan, node = stack("EU-MRR")
    (found,) = beside(plan, node, [*falling(node, range(2)), *idle, gap])
    assert found.facts["population"][2] == 2


def test_a_gap_goes_on_from_the_statement_before() -> None:
    """20 hours there and 5 here are one gap of 25."""
    plan, node = stack("CN-HJ75")
    history = [*falling(node, range(800)), *(hour(node, 800 + n, "missing") for n in range(20))]
    found = beside(plan, node, [hour(node, 820 + n, "missing") for n in range(5)], history)
    assert len(found) == 5
    assert found[0].facts["population"][2] == 720


def test_a_day_and_a_quarter_hour_is_longer_than_a_day() -> None:
    fields = stack_fields("CN-HJ75", interval=900)
    fields["profiles"]["CN-HJ75"]["minutes"] = 12
    plan, quarter = parse_plan(fields), HOUR // 4
    node = plan.nodes["cn-hj75"]
    valid_hours = [hour(node, n, "valid", 1, length=quarter) for n in range(2000)]
    for length, window in ((96, 180), (97, 720)):
        gap = [hour(node, 2000 + n, "missing", length=quarter) for n in range(length)]
        assert beside(plan, node, [*valid_hours, *gap])[0].facts["population"][2] == window


def test_a_quarter_that_is_over_is_final() -> None:
    plan, node = stack("CN-HJ75")
    last = QUARTER_BEGINS + LENGTH - 1
    history = falling(node, range(last - 200, last))
    (found,) = beside(plan, node, [hour(node, last, "missing")], history)
    assert "reason" not in found.facts
    early = [hour(node, last - 1, "missing")]
    assert beside(plan, node, early, history[:-1])[0].facts["reason"] == "provisional"


# ---- entries and silences


def test_an_entry_of_exactly_that_hour() -> None:
    plan, node = stack()
    rows = [hour(node, n, "missing") for n in range(3)]
    two = entry("value", node.name, {"value": Decimal("12.5")}, hours=(1, 2), unit="t")
    wide = entry("value", node.name, {"value": 1}, hours=(1, 3))
    (found,) = beside(plan, node, rows, entries=[wide, two])
    assert (found.from_ms, found.status, found.amount) == (rows[1].from_ms, "manual", 12_500_000)
    assert found.facts == {"method": "entry"}
    assert beside(plan, node, rows, entries=[wide]) == []


def test_the_rule_of_the_regime_goes_before_an_entry() -> None:
    plan, node = stack()
    rows = [hour(node, 0, "valid", 1), hour(node, 1, "valid", 1), hour(node, 2, "missing")]
    (found,) = beside(plan, node, rows, entries=[entry("value", node.name, {"value": 1}, hours=(2, 3))])
    assert found.status == "substituted"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("", "m" * 120, 0),
        ("", "m" * 121, 1),
        ("m" * 115, "m" * 6, 1),
        ("m" * 121, "m" * 200, 0),
        ("m" * 130, "v" + "m" * 121, 1),
        ("", "m" * 120 + "s" + "m" * 120, 0),
        ("", "m" * 121 + "v" + "m" * 121, 2),
        ("m" * 100 + "v", "m" * 100, 0),
    ],
)
def test_more_than_five_days_without_a_valid_hour(before: str, now: str, expected: int) -> None:
    """m, v, s: a missing, valid or stopped hour. Each stretch is counted once, in the statement in which it passes."""
    _, node = stack()
    words = {"m": "missing", "v": "valid", "s": "stopped"}
    every = [hour(node, n, words[letter]) for n, letter in enumerate(before + now)]
    assert silences(every[len(before) :], every[: len(before)]) == expected
