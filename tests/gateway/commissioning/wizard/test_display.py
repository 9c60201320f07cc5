"""What a display shows against what was read: its last digit, its unit, and thousands that are off."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commissioning.wizard.display import Judged, judged, typed
from gateway.errors import GatewayError


@pytest.mark.parametrize(
    ("text", "unit", "number", "step"),
    [
        ("12345.6", "kWh", "12345.6", "0.1"),
        ("12345,60", "kWh", "12345.60", "0.01"),
        (" 12 345 ", "kWh", "12345", "1"),
        ("12'345.6 kWh", "kWh", "12345.6", "0.1"),
        ("12.3 MWh", "kWh", "12300", "100"),
        ("12.3 kwh", "Wh", "12300", "100"),
        ("-1.25 kW", "W", "-1250", "10"),
        ("230.1V", "V", "230.1", "0.1"),
        ("999 mA", "A", "0.999", "0.001"),
        ("5 Cel", "Cel", "5", "1"),
    ],
)
def test_a_number_is_read_with_its_last_digit_in_the_unit_of_the_point(
    text: str, unit: str, number: str, step: str
) -> None:
    shown = typed(text, unit)
    assert (shown.number, shown.step) == (Decimal(number), Decimal(step))


@pytest.mark.parametrize("text", ["", "kWh", "12.3.4", "1,234.5", "1e5", "twelve", "--1", "0x10"])
def test_what_is_no_number_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        typed(text, "kWh")
    assert "12345.6" in caught.value.way_out or "none for kWh" in caught.value.way_out


@pytest.mark.parametrize(("text", "unit"), [("5 V", "kWh"), ("5 kvarh", "kWh"), ("5 °C", "V"), ("5 kW", "kWh")])
def test_a_unit_of_something_else_is_refused(text: str, unit: str) -> None:
    with pytest.raises(GatewayError, match="cannot be"):
        typed(text, unit)


@pytest.mark.parametrize(
    ("text", "before", "after", "found"),
    [
        ("12345.6", "12345.64", "12345.64", Judged(True)),
        ("12345.6", "12345.55", "12345.55", Judged(True)),
        ("12345.6", "12345.70", "12345.70", Judged(True)),
        ("12345.6", "12345.71", "12345.71", Judged(False, None, Decimal("12345.6") / Decimal("12345.71"))),
        ("12345.6", "12345.1", "12345.9", Judged(True)),  # it counted while somebody typed
        ("12345.6", "12345.0", "12345.4", Judged(False, None, Decimal("12345.6") / Decimal("12345.4"))),
        ("12345.6", "12345612", "12345612", Judged(False, -3, Decimal("0.001"))),
        ("12345600", "12345.6", "12345.6", Judged(False, 3, Decimal(1000))),
        ("12.3", "12345678", "12345678", Judged(False, -6, Decimal("0.000001"))),
        ("400", "10", "10", Judged(False, None, Decimal(40))),
        ("5", "0", "0", Judged(False, None, None)),
        ("0", "0", "0", Judged(True)),
        ("0.00", "0.01", "0.01", Judged(True)),
    ],
)
def test_a_display_agrees_within_its_last_digit(text: str, before: str, after: str, found: Judged) -> None:
    assert judged(typed(text, "kWh"), Decimal(before), Decimal(after)) == found


@given(value=st.decimals(1, 10**9, places=3), places=st.integers(0, 3), power=st.sampled_from((-6, -3, 3, 6)))
def test_a_rounded_or_cut_value_agrees_and_one_that_is_thousands_off_is_told_so(
    value: Decimal, places: int, power: int
) -> None:
    for text in (f"{value:.{places}f}", str(value).partition(".")[0]):
        assert judged(typed(text, "kWh"), value, value).agrees
    wrong = judged(typed(f"{value.scaleb(power):.9f}", "kWh"), value, value)
    assert wrong == Judged(False, power, Decimal(1).scaleb(power))
