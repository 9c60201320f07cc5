"""Texts of pushed messages: exact decimals, and the quality that the sender's own flag says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.devices.places import Factor
from gateway.devices.points import Point
from gateway.devices.pushed.decode_text import EDITION, FLAGS, OLD
from gateway.devices.pushed.message_block import MessageBlock
from ledger_client.formats.senml import Quality

SO2 = Point("so2", Factor("a21026", "Rtd"), unit="ug/m3", scale=3)
O2 = Point("o2", Factor("a19001", "Rtd"), unit="%")
TIME = Point("source_time", Factor("DataTime"), kind="text")
BLOCK = MessageBlock("2011", (TIME, SO2, O2))


def decoded(**raw: str) -> list[tuple[object, int]]:
    """Value and flags of each point; ``_`` stands for ``-`` in places."""
    decoder = BLOCK.decoder({})
    split = decoder.split({place.replace("_", "-"): text for place, text in raw.items()})
    return list(zip(decoder.values(split, {}), decoder.flags(split), strict=True))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", "7"), ("-0.052", "-0.052"), ("5.40", "5.40"), ("+1.5", "1.5"), (".5", "0.5"), ("12.", "12"),
        ("123456789012345678", "123456789012345678"),
        ("", None), ("-", None), ("1,5", None), ("1 | 2", None), ("1e3", None), ("nan", None), ("N/A", None),
        ("1" * 19, None), ("1.5 ", None), ("٣", None),
    ],
)  # fmt: skip
def test_a_number_is_what_its_text_says_and_nothing_else_is_one(text: str, value: str | None) -> None:
    (_, flagged, plain) = decoded(a19001_Rtd=text, a19001_Flag="N", a21026_Rtd="0", a21026_Flag="N")
    assert flagged == (0, 0)
    assert plain[0] is None if value is None else str(plain[0]) == value
    assert plain[1] == 0


def test_a_scale_moves_the_point_and_loses_no_digit() -> None:
    for text, value in (
        ("1.5", Decimal("1.5E+3")),
        ("1.500", 1500),
        ("0.0004", Decimal("0.4")),
        ("2", Decimal("2E+3")),
    ):
        (_, so2, _) = decoded(a21026_Rtd=text, a21026_Flag="N")
        assert so2 == (value, 0)
        assert str(so2[0]) == str(value)


@pytest.mark.parametrize("flag", FLAGS)
def test_each_data_flag_has_its_quality(flag: str) -> None:
    expected = {
        "N": Quality(0), "F": Quality.STOPPED, "M": Quality.MAINTENANCE, "S": Quality.MANUAL, "D": Quality.DEVICE_FAULT,
        "C": Quality.CALIBRATING, "T": Quality.RANGE_HIGH, "B": Quality.COMM_FAIL,
    }  # fmt: skip
    assert decoded(a19001_Rtd="6", a19001_Flag=flag)[2] == (6, int(expected[flag]))


def test_without_a_known_flag_a_value_is_no_value_and_never_normal() -> None:
    bad = int(Quality.DECODE_ERR)
    for flags in ({}, {"a19001_Flag": "X"}, {"a19001_Flag": "n"}, {"a19001_Flag": "N | D"}, {"a19001_Flag": ""}):
        assert decoded(a19001_Rtd="6", **flags)[2] == (6, bad)
    assert decoded(a19001_Rtd="6", **{EDITION: OLD}, a21026_Flag="N")[2] == (6, bad)


def test_values_of_a_logger_of_2005_that_sends_no_flags_are_uncertain() -> None:
    assert decoded(a19001_Rtd="6", **{EDITION: OLD})[2] == (6, int(Quality.IMPLAUSIBLE))


def test_a_text_is_recorded_as_it_is_and_has_no_flag() -> None:
    assert decoded(DataTime="20270115160000")[0] == ("20270115160000", 0)
    assert decoded(DataTime="\x1b[2J")[0] == (None, 0)
    assert decoded()[0] == (None, 0)


def test_a_block_shows_what_the_message_holds_and_can_be_cut() -> None:
    assert BLOCK.shown({"a21026-Rtd": "1.50", "a21003-Rtd": "9"}) == {"so2": "1.50"}
    assert str(BLOCK.label()) == "CN 2011"
    assert BLOCK.only({"so2", "o2"}).points == (SO2, O2)
    assert BLOCK.only({"so2", "o2", "source_time"}) is BLOCK
    assert MessageBlock("2011", BLOCK.points) == BLOCK
    assert MessageBlock("2051", BLOCK.points) != BLOCK
