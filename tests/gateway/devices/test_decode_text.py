"""Message blocks: published HJ 212 packets decoded, their flags, and texts that are no numbers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.devices.blocks import Block, Content, contents
from gateway.devices.decode_text import MessageBlock
from gateway.devices.places import Factor
from gateway.devices.points import Point
from ledger_client.formats.senml import Quality

Q = Quality


def point(code: str, suffix: str = "Rtd", **keys: Any) -> Point:
    return Point(f"{code}.{suffix}", Factor(code, suffix), **{"unit": "m/s", **keys})


def decoded(raw: dict[str, str], *points: Point) -> list[tuple[Content, int]]:
    decoder = MessageBlock("CN 2011", points).decoder({})
    split = decoder.split(raw)
    values = decoder.values(split, decoder.scales(split))
    flags = decoder.flags(split) or (0,) * len(points)
    return list(zip(values, flags, strict=True))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7.072", "7.072"),
        ("-0.052", "-0.052"),
        ("0.000", "0.000"),
        ("-0.00", "0.00"),
        ("12", "12"),
        ("+12.50", "12.50"),
        ("12758.2462", "12758.2462"),
        ("007", "7"),
    ],
)
def test_a_value_is_as_the_text_says_it(text: str, value: str) -> None:
    ((found, flags),) = decoded({"a01011-Rtd": text, "a01011-Flag": "N"}, point("a01011"))
    assert (str(found), flags) == (value, 0)


@pytest.mark.parametrize(
    "text", ["", "-", "abc", "1,5", "1e5", "0x1", "1 2", "NaN", "1.", ".5", "٣", "1" * 19, "1.0 | 1.1"]
)
def test_a_text_that_is_no_number_takes_its_own_value_alone(text: str) -> None:
    raw = {"a01011-Rtd": text, "a01011-Flag": "N", "a01012-Rtd": "39.75", "a01012-Flag": "N"}
    assert decoded(raw, point("a01011"), point("a01012", unit="Cel")) == [(None, 0), (Decimal("39.75"), 0)]


def test_milligrams_are_recorded_as_micrograms_exactly() -> None:
    dioxide = point("a21026", unit="ug/m3", wire_unit="mg/m3", scale=3)
    ((value, _),) = decoded({"a21026-Rtd": "1.2345", "a21026-Flag": "N"}, dioxide)
    assert str(value) == "1234.5"
    ((whole, _),) = decoded({"a21026-Rtd": "12", "a21026-Flag": "N"}, dioxide)
    assert whole == 12_000


@pytest.mark.parametrize(
    ("flag", "quality"),
    [
        ("N", 0),
        ("F", Q.STOPPED),
        ("M", Q.MAINTENANCE),
        ("S", Q.MANUAL),
        ("D", Q.DEVICE_FAULT),
        ("C", Q.CALIBRATING),
        ("T", Q.RANGE_HIGH),
        ("B", Q.COMM_FAIL),
        ("n", Q.DECODE_ERR),
        ("X", Q.DECODE_ERR),
        ("N,", Q.DECODE_ERR),
        ("", Q.DECODE_ERR),
        (None, Q.DECODE_ERR),
    ],
)
def test_the_source_says_how_good_a_value_is_and_silence_is_never_good(flag: str | None, quality: int) -> None:
    raw = {"a01011-Rtd": "0.000", "a01012-Rtd": "1.0", "a01012-Flag": "N"}
    if flag is not None:
        raw["a01011-Flag"] = flag
    assert decoded(raw, point("a01011"), point("a01012")) == [(Decimal("0.000"), quality), (Decimal("1.0"), 0)]


def test_a_packet_of_2005_without_any_flag_is_uncertain_not_bad() -> None:
    raw = {"DataTime": "20221008100000", "a19001-Avg": "19.4636"}
    time = Point("source_time", Factor("DataTime"), kind="text")
    value = point("a19001", "Avg", unit="/100")
    assert decoded(raw, time, value) == [("20221008100000", 0), (Decimal("19.4636"), Q.IMPLAUSIBLE)]
    assert decoded(raw | {"Flag": "0"}, value) == [(Decimal("19.4636"), Q.IMPLAUSIBLE)]
    assert decoded(raw | {"Flag": "4"}, value) == [(Decimal("19.4636"), Q.DECODE_ERR)], "that of 2017 demands it"
    assert decoded(raw | {"a01011-Flag": "N"}, value) == [(Decimal("19.4636"), Q.DECODE_ERR)], "it flags others"


def test_a_state_is_a_whole_number_without_a_flag() -> None:
    state = Point("blower", Factor("SB1", "RS"), kind="status", symbols=((1, "runs"),))
    assert decoded({"sb1-RS": "1"}, state) == [(1, 0)]
    assert decoded({"sb1-RS": "1.0"}, state) == [(None, 0)]


def test_a_block_is_named_by_its_kind_of_message() -> None:
    points = (point("a01011"), point("a01012"))
    block: Block = MessageBlock("CN 2051", points)
    assert block == MessageBlock("CN 2051", points)
    assert block.key != MessageBlock("CN 2051", points).key
    assert str(block.label()) == "CN 2051"
    raw = {"a01011-Rtd": "7.0", "a01011-Flag": "D"}
    assert block.shown(raw) == {"a01011.Rtd": "7.0 D"}
    assert block.only({"a01012.Rtd"}).points == points[1:]
    assert contents([(block, raw)], {}) == {"a01011.Rtd": Decimal("7.0"), "a01012.Rtd": None}
