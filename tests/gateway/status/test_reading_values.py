"""Values of readings as plain data."""

from __future__ import annotations

from decimal import Decimal

from gateway.status.readings import ReadingValue
from ledger_client.formats.senml import Value


def test_a_decimal_is_plain_digits_whatever_its_scale() -> None:
    """1.5 mg/m3 is 1.5E+3 ug/m3 to `decimal`."""
    value = ReadingValue(0, "stack", Value("so2", Decimal("1.5").scaleb(3), "ug/m3"), "stack/e/1")
    assert (value.as_json()["value"], value.text) == ("1500", "1500")
