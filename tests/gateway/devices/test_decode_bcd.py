"""Data blocks of DL/T 645: published answers decoded, and what a meter does not tell."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.acquisition.block_contents import BlockDecoder
from gateway.acquisition.counters import Look as CounterLook
from gateway.acquisition.counters import Stand, book
from gateway.acquisition.validation import judge
from gateway.devices.blocks import Block, Content, contents
from gateway.devices.decode_bcd import DataBlock
from gateway.devices.places import Identifier, is_format
from gateway.devices.points import Point
from gateway.fieldbus.specs import BlockAnswer
from ledger_client.formats.senml import Quality

ENERGY, VOLTS, AMPERES, WATTS = "XXXXXX.XX", "XXX.X", "XXX.XXX", "XX.XXXX"


def point(written: str, part: int = 0, *, signed: bool = False, name: str = "p", **keys: Any) -> Point:
    return Point(name, Identifier("00010000", written, part, signed), **{"unit": "kWh", **keys})


def decoded(raw: str, *points: Point, **factors: Decimal) -> list[Content]:
    decoder = DataBlock("00010000", points).decoder(factors)
    split = decoder.split(bytes.fromhex(raw))
    return decoder.values(split, decoder.scales(split))


def flags(raw: str, *points: Point) -> list[int]:
    decoder = DataBlock("00010000", points).decoder({})
    return list(decoder.flags(decoder.split(bytes.fromhex(raw))))


@pytest.mark.parametrize(
    ("raw", "written", "value"),
    [
        ("26 00 00 00", ENERGY, "0.26"),  # forward active energy (hwhale.com/article/138066)
        ("26 01 00 00", ENERGY, "1.26"),
        ("23 00 01 00", ENERGY, "100.23"),
        ("56 34 12 00", ENERGY, "1234.56"),
        ("26 06 21 20", ENERGY, "202106.26"),
        ("01 10", VOLTS, "100.1"),
        ("99 49 00", AMPERES, "4.999"),
        ("50 50", "XX.XX", "50.50"),
        ("00 64 00", "XXXXXX", "6400"),
        ("31 12 00", "XXXX.X", "123.1"),
    ],
)
def test_a_published_answer_is_its_value_with_the_places_of_the_format(raw: str, written: str, value: str) -> None:
    (found,) = decoded(raw, point(written))
    assert str(found) == value


def test_a_block_holds_its_items_one_after_the_other() -> None:
    phases = [point(VOLTS, part, name=f"u{part}", unit="V") for part in (1, 2, 3)]
    assert list(map(str, decoded("03 23 00 00 00 00", *phases))) == ["230.3", "0.0", "0.0"]
    assert flags("03 23 00 00 00 00", *phases) == []


def test_the_first_bit_of_the_highest_byte_is_the_sign_of_a_signed_point() -> None:
    assert decoded("56 34 92", point(WATTS, signed=True, unit="kW")) == [Decimal("-12.3456")]
    assert decoded("56 34 12", point(WATTS, signed=True, unit="kW")) == [Decimal("12.3456")]
    assert decoded("56 34 92", point(WATTS, unit="kW")) == [Decimal("92.3456")]
    assert decoded("00 00 80", point(WATTS, signed=True, unit="kW")) == [Decimal("0.0000")]


@pytest.mark.parametrize(
    ("raw", "signed"),
    [(raw, signed) for raw in ("2A 00 00 00", "26 00 0F 00", "FF FF FF FF") for signed in (False, True)]
    + [("26 00 00 A0", False), ("26 00 00 FA", True)],
)
def test_what_is_no_digit_is_no_value(raw: str, signed: bool) -> None:
    assert decoded(raw, point(ENERGY, signed=signed)) == [None]
    assert flags(raw, point(ENERGY)) == []
    assert judge(point(ENERGY), None, 0).flags == Quality.DECODE_ERR


def test_an_item_without_a_value_leaves_the_others_theirs() -> None:
    phases = [point(VOLTS, part, name=f"u{part}", unit="V") for part in (1, 2, 3)]
    assert decoded("03 23 FF FF 01 23", *phases) == [Decimal("230.3"), None, Decimal("230.1")]


def test_what_a_shorter_block_does_not_hold_is_not_found() -> None:
    """Of total and four tariffs a meter has total and two."""
    tariffs = [point(ENERGY, part, name=f"t{part}") for part in range(1, 6)]
    raw = "10 00 00 00 06 00 00 00 04 00 00 00"
    assert decoded(raw, *tariffs) == [Decimal("0.10"), Decimal("0.06"), Decimal("0.04"), None, None]
    assert flags(raw, *tariffs) == [0, 0, 0, Quality.NOT_FOUND, Quality.NOT_FOUND]


@pytest.mark.parametrize("raw", ["", "10", "10 00 00 00 06", "10 00 00 00 06 00 00 00 04 00 00"])
def test_a_length_that_is_no_multiple_of_the_format_tells_nothing_of_any(raw: str) -> None:
    tariffs = [point(ENERGY, part, name=f"t{part}") for part in range(1, 4)]
    assert decoded(raw, *tariffs) == [None, None, None]
    assert flags(raw, *tariffs) == []


def test_an_identifier_of_one_value_has_no_second_one() -> None:
    assert decoded("10 00 00 00 06 00 00 00", point(ENERGY)) == [None]


@pytest.mark.parametrize(
    ("written", "raw", "value"),
    [
        ("YYMMDDWW", "05 27 11 26", "26112705"),
        ("hhmmss", "09 31 20", "203109"),
        ("NNNNNNNNNNNN", "94 41 03 26 12 18", "181226034194"),
        ("AAAAAA", "56 30 32 32 00 00", "220V"),
        ("AAAAAA", "FF FF FF FF FF FF", None),
        ("AAAA", "00 00 00 00", None),
        ("hhmmss", "0A 31 20", None),
    ],
)
def test_names_clocks_and_texts_are_text(written: str, raw: str, value: str | None) -> None:
    assert decoded(raw, point(written, unit=None, kind="text")) == [value]


def test_a_status_word_is_its_bits() -> None:
    word = point("HHHH", unit=None, kind="status", symbols=((0, "second tariff set"), (12, "relay open")))
    (value,) = decoded("01 10", word)
    assert (value, word.symbol(value)) == (0x1001, "second tariff set, relay open")
    assert decoded("FF FF", word) == [None]


def test_a_demand_and_the_time_of_it_are_two_points_of_one_identifier() -> None:
    demand = point("XX.XXXX----------", name="demand", unit="kW")
    time = point("------YYMMDDhhmm", name="time", unit=None, kind="text")
    assert decoded("34 12 00 45 10 05 09 26", demand, time) == [Decimal("0.1234"), "2609051045"]
    assert DataBlock("01010000", (demand, time)).needs == 8


def test_ratios_multiply_and_a_missing_one_leaves_no_value() -> None:
    through = point(ENERGY, factor_from=("ct", "pt"))
    assert decoded("26 00 00 00", through, ct=Decimal(30), pt=Decimal(100)) == [780]
    assert decoded("26 00 00 00", through, ct=Decimal(30)) == [None]
    assert list(map(str, decoded("26 00 00 00", point(ENERGY, scale=-3)))) == ["0.00026"]


def test_a_counter_goes_round_where_its_digits_end() -> None:
    counter = point(ENERGY, kind="counter")
    booked = book(
        counter, Stand(Decimal("999999.98"), 0), CounterLook(Decimal("0.01"), 1000), CounterLook(Decimal("0.01"), 1001)
    )
    assert booked.flags == Quality.ROLLOVER
    assert point(ENERGY, signed=True).at.room is None


def test_blocks_are_equal_by_what_they_ask_and_bear_numbers_of_their_own() -> None:
    one, other = DataBlock("00010000", (point(ENERGY),)), DataBlock("00010000", (point(ENERGY),))
    assert (one == other, one.key == other.key) == (True, False)
    block: Block = one
    assert str(block.label()) == "DI 00010000"
    assert block.shown(bytes.fromhex("26010000")) == {"p": "26 01 00 00"}
    assert block.shown(b"\x26") == {}
    assert block.only(()).points == ()
    assert contents([(block, bytes.fromhex("26010000"))], {}) == {"p": Decimal("1.26")}
    (read,), _ = BlockDecoder({}, set()).decode([BlockAnswer(block, bytes.fromhex("26010000"), 0)])
    assert read.contents == [Decimal("1.26")]


@pytest.mark.parametrize("written", ["", "XX.", "X.X.X", "XXN", "HHH", "--", "YYM", "xx", "XX -- XX", "AB"])
def test_what_is_no_format_is_none(written: str) -> None:
    assert not is_format(written)
