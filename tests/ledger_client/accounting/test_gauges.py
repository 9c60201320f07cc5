"""Gauges over a reference: which values count, when it is valid, and its mean (H1–H3, H5, the checks of S4)."""

from __future__ import annotations

from fractions import Fraction

import pytest

from ledger_client.accounting.books import Books
from ledger_client.accounting.cems import node_rows
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.gauges import Calibration, Gauge, Mean
from ledger_client.accounting.statement import Choice, state
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Quality, Reading, Value
from tests.ledger_client.accounting.plans import HOUR, MINUTE, T0
from tests.ledger_client.accounting.stacks import NORMAL, STEP, UNITS, filled, single, stack, stack_fields

EVERY = range(0, HOUR, STEP)
BATCHES = ((1, b"1" * 32), (2, b"2" * 32))
EU_ONLY = [ms for ms in EVERY if ms % (2 * MINUTE) < MINUTE or ms % MINUTE < 4 * STEP]
"""Every other minute whole, in the others 4 of 6: 300 of 360 values, 30 valid minutes."""
CN_ONLY = [ms for ms in EVERY if ms < 47 * MINUTE]
"""47 whole minutes: 282 of 360 values, 288 of which are 80 %."""


def seen(gauge: Gauge, *values: tuple[int, float, int], sync: bool = True) -> Mean:
    """The first hour, of (ms since T0, value, quality)."""
    for ms, value, quality in values:
        gauge.observe(T0 + ms, value, quality, gauge.point.unit_name, sync, b"")
    return gauge.mean(T0 // HOUR)


@pytest.mark.parametrize(("count", "valid"), [(287, False), (288, True), (360, True)])
def test_four_fifths_of_the_possible(count: int, valid: bool) -> None:
    mean = seen(single(), *((ms, 1, 0) for ms in list(EVERY)[:count]))
    assert (mean.possible, mean.valid, mean.mean) == (360, count, Fraction(1) if valid else None)


@pytest.mark.parametrize(("minutes", "valid"), [(44, False), (45, True)])
def test_forty_five_minutes(minutes: int, valid: bool) -> None:
    mean = seen(single("CN-HJ75"), *((ms, 1, 0) for ms in EVERY if ms < minutes * MINUTE))
    assert (mean.possible, mean.valid, mean.mean is not None) == (60, minutes, valid)


@pytest.mark.parametrize(("share", "valid"), [(4, 0), (5, 60), (6, 60)])
def test_a_minute_needs_three_quarters(share: int, valid: int) -> None:
    mean = seen(single("CN-HJ75"), *((ms, 1, 0) for ms in EVERY if ms % MINUTE < share * STEP))
    assert mean.valid == valid


@pytest.mark.parametrize(("times", "eu", "cn"), [(EU_ONLY, "valid", "missing"), (CN_ONLY, "missing", "valid")])
def test_an_hour_between_the_two_thresholds(times: list[int], eu: str, cn: str) -> None:
    plan = parse_plan(stack_fields("EU-MRR", "CN-HJ75"))
    rows = [
        row
        for stack_node in plan.nodes.values()
        for row in node_rows(plan, stack_node, filled(plan, stack_node, NORMAL, times), T0, T0 + HOUR, 0)
    ]
    assert [row.status for row in rows] == [eu, cn]


def test_both_regimes_stand_in_one_statement() -> None:
    books = Books(parse_plan(stack_fields("EU-MRR", "CN-HJ75")))
    for ms in CN_ONLY:
        values = tuple(Value(letter, value, UNITS[letter]) for letter, value in NORMAL.items())
        books.reading("stack", "S", Reading(T0 + ms, values), b"r" * 32)
    books.coverage("stack", Coverage(T0, T0 + HOUR, 360, 282, {"timeout": 78}))
    stated = state(books, Choice(b"p" * 32, 0, T0, T0 + HOUR, BATCHES), b"s" * 32)
    assert [total[:2] for total in stated.fields["totals"]] == [["cn-hj75", "valid"]]
    assert len(stated.rows) == 2


def test_polls_twice_as_dense_do_not_make_up_for_missing_ones() -> None:
    """Half of the hour every 5 s: each value is in the mean, only those half a sample apart are counted."""
    dense = [(ms, 1.0 if ms % STEP else 3.0, 0) for ms in range(0, HOUR // 2, STEP // 4)]
    mean = seen(single(), *dense)
    assert (mean.valid, mean.mean) == (HOUR // 2 // (STEP // 2), Fraction(3, 2))


@pytest.mark.parametrize(
    ("quality", "sync", "valid"),
    [
        (0, True, 360), (0, False, 0), (Quality.CLOCK_UNSYNC, True, 0), (Quality.STALE, True, 0),
        (Quality.MAINTENANCE, True, 0), (Quality.IMPLAUSIBLE, True, 0),
    ],
)  # fmt: skip
def test_what_is_accepted(quality: int, sync: bool, valid: int) -> None:
    assert seen(single(), *((ms, 1, int(quality)) for ms in EVERY), sync=sync).valid == valid


def test_what_is_told_again_or_out_of_range_does_not_count() -> None:
    gauge = single(range=[0, 100])
    assert seen(gauge, *((ms, 1, 0) for ms in EVERY), *((ms, 9, 0) for ms in EVERY)).mean == 1
    assert seen(single(range=[0, 100]), *((ms, 100.5, 0) for ms in EVERY)).valid == 0
    assert seen(single(range=[0, 100]), *((ms, 100 * (ms % (2 * STEP) > 0), 0) for ms in EVERY)).valid == 360


def test_another_unit_is_no_value() -> None:
    gauge = single()
    for ms in EVERY:
        gauge.observe(T0 + ms, 1, 0, "ppm", True, b"")
    assert gauge.mean(T0 // HOUR).valid == 0


def test_the_mean_is_exact() -> None:
    mean = seen(single(), *((ms, (0.1, 0.2, 0.4)[n % 3], 0) for n, ms in enumerate(EVERY)))
    assert mean.mean == sum(map(Fraction, (0.1, 0.2, 0.4)), Fraction(0)) / 3


def test_a_calibration_is_applied_before_the_mean() -> None:
    """y = a + b·x from its time to its end; of two the one that began last."""
    half = Calibration(T0, T0 + HOUR, Fraction(0), Fraction(1, 2))
    later = Calibration(T0 + HOUR // 2, T0 + HOUR, Fraction(10), Fraction(1))
    mean = seen(single(calibrations=(half, later)), *((ms, 8, 0) for ms in EVERY))
    assert mean.mean == Fraction(4 + 18, 2)


def test_out_of_control_reaches_back_to_the_last_good_check() -> None:
    check = Calibration(T0 - 2 * HOUR, T0 - 2 * HOUR, Fraction(0), Fraction(1))
    gauge = single("CN-HJ75", (check,))
    for ms in range(-4 * HOUR, HOUR, STEP):
        gauge.observe(T0 + ms, 1, int(Quality.OUT_OF_CONTROL) if ms == 10 * STEP else 0, "mg/l", True, b"")
    numbers = range(T0 // HOUR - 4, T0 // HOUR + 1)
    assert [gauge.mean(number).mean is not None for number in numbers] == [True, True, False, False, False]


def test_out_of_control_is_one_lost_value_for_the_eu() -> None:
    bad = int(Quality.OUT_OF_CONTROL)
    assert seen(single(), *((ms, 1, bad if ms == 0 else 0) for ms in EVERY)).valid == 359


def test_a_reference_of_quarters() -> None:
    plan, _ = stack(interval=900)
    gauge = Gauge.of(plan, plan.points["stack/c"], plan.regimes["EU-MRR"])
    for ms in range(0, HOUR // 4, STEP):
        gauge.observe(T0 + ms, 2, 0, "mg/l", True, b"")
    assert gauge.mean(T0 // (HOUR // 4)) == Mean(90, 90, Fraction(2), Fraction(2))
