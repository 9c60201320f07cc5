"""Values of readings come back from their rows as they were recorded, type and decimals included."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_room.judged import Judged
from control_room.store.connection import Database
from control_room.store.incoming.portions import store
from control_room.store.shapes import Shapes, shape_of
from control_room.store.values import MOST_SHAPES, Row, values
from ledger_client.formats.record import Reading, Value
from ledger_client.formats.senml import Columns, named_twice
from tests.control_room.made import T0_MS, record
from tests.support.evidence_values import values as any_values

LONG = 2**64 - 1, 10**15, Decimal("123456789012345.67"), Decimal(10**15).scaleb(-3)
SHORT = (
    Decimal("1E+60"),
    10**15 - 1,
    -(10**15 - 1),
    Decimal("9999999999999.99"),
    Decimal("1E-64"),
    Decimal("12E+40"),
    -0.0,
    5e-324,
)


def back(db: Database, reading: Reading) -> tuple[Value, ...]:
    """The values of the row that a reading makes."""
    row = db.kept(Shapes).row(reading)
    return values(shape_of(db, row.shape), row)


def exactly(found: tuple[Value, ...]) -> list[tuple[object, ...]]:
    """With what equality of numbers does not see."""
    return [(*value, type(value.value), str(value.value)) for value in found]


@pytest.mark.parametrize("value", [*LONG, *SHORT, 0, 1.5, True, False, "text", Decimal("0.00"), Decimal("-1.50")])
def test_a_value_comes_back_by_itself_and_after_others(db: Database, value: object) -> None:
    for before in (value, 7, 0.5, None):
        for content in (before, value):
            wanted = (Value("x", content, "Wh", 0 if content is not None else 1), Value("y", Decimal("2.5")))  # type: ignore[arg-type]
            assert exactly(back(db, Reading(T0_MS, wanted))) == exactly(wanted)


def test_long_numbers_and_text_alone_stand_apart(db: Database) -> None:
    def apart(value: object) -> bool:
        return db.kept(Shapes).row(Reading(T0_MS, (Value("x", value),))).rest is not None  # type: ignore[arg-type]

    assert all(map(apart, (*LONG, "text")))
    assert not any(map(apart, SHORT))


@settings(max_examples=60)
@given(st.lists(any_values(), min_size=1, max_size=8).filter(lambda found: named_twice(found) is None))
def test_any_reading_comes_back(session_db: Database, found: list[Value]) -> None:
    assert exactly(back(session_db, Reading(T0_MS, tuple(found)))) == exactly(tuple(found))


def test_a_meter_whose_decimals_change_makes_few_shapes(db: Database) -> None:
    for n in range(3 * MOST_SHAPES):
        wanted = (Value("x", Decimal(15).scaleb(-n - 1), "kW"), Value("y", "a" * n or "b"))
        assert exactly(back(db, Reading(T0_MS, wanted))) == exactly(wanted)
    (count,) = db.one("SELECT count(*) FROM shapes") or (0,)
    assert count == MOST_SHAPES
    # another receiver finds them
    assert Shapes(db).row(Reading(T0_MS, (Value("x", Decimal("1.5"), "kW"), Value("y", "b")))).shape == 1


def test_columns_make_the_row_of_the_same_values(db: Database) -> None:
    wanted = tuple(Value(f"p{n}", n, "Wh", 4) for n in range(3))
    columns = Columns.of(wanted)
    assert columns is not None
    row = db.kept(Shapes).row(Reading(T0_MS, columns))
    assert row == db.kept(Shapes).row(Reading(T0_MS, wanted)) == Row(1, [4], [0.0, 1.0, 2.0], None)
    assert exactly(back(db, Reading(T0_MS, columns))) == exactly(wanted)


def test_a_stored_row_is_the_one_that_was_made(db: Database) -> None:
    wanted = (
        Value("a", Decimal("1.5"), "kW"), Value("b", None, None, 1, 40), Value("c", "on", None, 2, 40),
        Value("d", True), Value("e", 10**17, "Wh", 1 << 40),
    )  # fmt: skip
    store(db, [Judged(records=(record(1, Reading(T0_MS, wanted)),))], T0_MS)
    row = db.one("SELECT shape, quality, num, rest FROM readings")
    assert row is not None
    assert exactly(values(shape_of(db, row[0]), Row(*row))) == exactly(wanted)
