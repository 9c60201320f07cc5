"""Numbers for people: as a display shows them, without exponents."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.commissioning.record.rows import plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("5.512E+5"), "551200"),
        (Decimal("1.50"), "1.50"),
        (551_200, "551200"),
        (551_200.0, "551200"),
        (12_345_678_901.0, "12345680000"),
        (0.1 + 0.2, "0.3"),
        (1e-7, "0.0000001"),
        (-0.5, "-0.5"),
        ("text", "text"),
    ],
)
def test_a_number_has_no_exponent(value: int | float | Decimal | str, text: str) -> None:
    assert plain(value) == text
