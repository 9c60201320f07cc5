"""Packets of HJ 212: fields and items, what is refused, and what the two editions differ in."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices.decode_text import PACKET_FLAG, MessageBlock
from gateway.devices.places import Factor
from gateway.devices.points import Point
from gateway.fieldbus.hj212.packets import NotAPacket, Packet, check_value, parse
from ledger_client.formats.senml import Quality

HEAD = "QN=20260101000000001;ST=31;CN=2011;PW=123456;MN=A1;Flag=5;"


def read(text: str) -> Packet:
    """The packet of a data segment that is one."""
    packet = parse(text.encode())
    assert isinstance(packet, Packet), packet
    return packet


def refused(text: str) -> tuple[str, str | None]:
    """Why a data segment is none, in English, and the sender that it names."""
    packet = parse(text.encode())
    assert isinstance(packet, NotAPacket), packet
    return str(packet.why), packet.mn


def test_the_check_value_is_that_of_annex_a_and_not_modbus() -> None:
    text = b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"
    assert check_value(text) == 0x1C80


@pytest.mark.parametrize(
    ("cp", "values"),
    [
        ("A21026-Rtd=1.9,A21026-Flag=N", [(Decimal("1.9"), 0)]),
        ("A21026-Rtd=1.9,a21026-Flag=D", [(Decimal("1.9"), Quality.DEVICE_FAULT)]),
        ("A21026-Rtd=1.9,A21026-Flag=N;a21026-Rtd=2.0,a21026-Flag=N", [(None, 0)]),
        ("A21026-Rtd=1.9,A21026-Flag=D;a21026-Rtd=1.9,a21026-Flag=N", [(Decimal("1.9"), Quality.DECODE_ERR)]),
        ("a21026-Rtd=1.9,a21026-Flag=N;A21026-Rtd=1.9,A21026-Flag=N", [(Decimal("1.9"), 0)]),
    ],
)
@pytest.mark.parametrize("code", ["a21026", "A21026"])
def test_a_code_in_capitals_is_the_same_code(code: str, cp: str, values: list[tuple[object, int]]) -> None:
    """Two that differ in capitals alone are one code that stands twice: with two values it has none."""
    packet = read(HEAD + f"CP=&&{cp}&&")
    decoder = MessageBlock("CN 2011", (Point("so2", Factor(code, "Rtd"), unit="mg/m3"),)).decoder({})
    split = decoder.split({**packet.places, PACKET_FLAG: "5"})
    assert list(zip(decoder.values(split, {}), decoder.flags(split) or (0,), strict=True)) == values
    assert packet.digest == read(HEAD + f"CP=&&{cp}&&").digest != read(HEAD + f"CP=&&{cp.lower()}&&").digest


def test_codes_of_2005_in_small_letters_are_known_and_items_keep_their_capitals() -> None:
    packet = read(HEAD + "CP=&&DataTime=1;s01-Rtd=1;b02-Cou=2;X-Rtd=3&&")
    assert list(packet.places) == ["DataTime", "a19001-Rtd", "a00000-Cou", "x-Rtd"]


def test_items_are_texts_by_their_places() -> None:
    packet = read(HEAD + "CP=&&DataTime=20260101000000;a21026-Rtd=1.90, a21026-Flag=N ;a19001-Rtd=-0.5;&&")
    assert packet.places == {
        "DataTime": "20260101000000", "a21026-Rtd": "1.90", "a21026-Flag": "N", "a19001-Rtd": "-0.5",
    }  # fmt: skip
    assert (packet.label, packet.wants_answer, packet.edition) == ("20260101000000", True, 2017)


def test_codes_of_2005_become_those_of_2017_and_unknown_ones_stay() -> None:
    packet = read("ST=31;CN=2011;PW=1;MN=A;CP=&&02-Rtd=1,S01-Rtd=2;17-Rtd=3;99-Flag=N;B02-Cou=4&&")
    assert list(packet.places) == ["a21026-Rtd", "a19001-Rtd", "17-Rtd", "99-Flag", "a00000-Cou"]
    assert (packet.qn, packet.flag, packet.wants_answer, packet.edition) == (None, None, False, 2005)


def test_what_could_be_read_in_two_ways_is_no_number() -> None:
    assert read(HEAD + "CP=&&a=1,5;b=2&&").places == {"a": "1,5", "b": "2"}
    assert read(HEAD + "CP=&&a=1;b=2;a=3&&").places == {"a": "1 | 3", "b": "2"}
    assert read(HEAD + "CP=&&a=1;b=2;a=1;a=1&&").places == {"a": "1", "b": "2"}
    assert read(HEAD + "CP=&&;,x;a=&&").places == {"x": "", "a": ""}


def test_parts_are_those_that_say_so_whatever_the_order_of_fields() -> None:
    assert (read("MN=A;PNO=2;PNUM=3;CN=2051;ST=31;Flag=7;CP=&&&&").part, read(HEAD + "CP=&&&&").parts) == (2, 1)
    assert read("ST=31;CN=2051;MN=A;PNO=0002;PNUM=0002;CP=&&&&").part == 2
    assert read("ST=31;CN=2051;MN=A;PNUM=1;PNO=1;Flag=4;CP=&&&&").parts == 1
    assert read("ST=31;CN=2051;MN=A;PNUM=0;PNO=0;CP=&&&&").part == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "CP=&&a=1", "no CP=&&…&&"),
        (HEAD, "no CP=&&…&&"),
        (HEAD + "XCP=&&&&", "no CP=&&…&&"),
        ("ST=31;MN=A1;CP=&&&&", "field CN is missing"),
        (HEAD + "CN=2051;CP=&&&&", "field CN occurs twice"),
        ("MN=A1;ST=31;CN=20X1;CP=&&&&", "field CN cannot be '20X1'"),
        ("MN=A1;ST=31;CN=2011;PW=a&b;CP=&&&&", "field PW cannot be '…'"),
        ("MN=A1;ST=31;CN=2011;Flag=7;PNUM=2;CP=&&&&", "field PNO is missing"),
        ("MN=A1;ST=31;CN=2011;Flag=7;PNUM=2;PNO=3;CP=&&&&", "part 3 of 2"),
        ("MN=A1;ST=31;CN=2011;Flag=-1;CP=&&&&", "field Flag cannot be '-1'"),
    ],
)
def test_what_is_no_packet_is_refused_with_the_reason(text: str, why: str) -> None:
    reason, mn = refused(text)
    assert reason == why
    assert mn == (None if "CP=" in why else "A1")


def test_an_unknown_edition_and_foreign_bytes_are_no_reason_to_fail() -> None:
    assert read(HEAD.replace("Flag=5", "Flag=9") + "CP=&&&&").edition is None
    packet = parse(HEAD.encode() + "CP=&&Info=停机;x=".encode() + b"\xff\xfe" + b"&&")
    assert isinstance(packet, Packet)
    assert packet.places == {"Info": "停机", "x": "\\xff\\xfe"}


def test_a_repetition_has_the_same_digest_and_other_content_has_not() -> None:
    one = "QN=1;ST=31;CN=2011;PW=1;MN=A;Flag=5;CP=&&DataTime=20260101000000;a=1&&"
    digest = read(one).digest
    assert read(one.replace("QN=1", "QN=2").replace("PW=1", "PW=2")).digest == digest
    others = one.replace("2011", "2051"), one.replace("a=1", "a=2"), one.replace("Flag=5", "Flag=7;PNUM=2;PNO=1")
    assert len({digest, *(read(other).digest for other in others)}) == 4


@given(st.binary(max_size=200) | st.text("QNSTCMWPFlag=;&,0123456789-", max_size=200).map(str.encode))
@settings(max_examples=500, deadline=None)
def test_any_segment_is_a_packet_or_says_why_not(segment: bytes) -> None:
    for text in (segment, HEAD.encode() + b"CP=&&" + segment + b"&&"):
        packet = parse(text)
        assert (isinstance(packet, NotAPacket) and str(packet.why)) or isinstance(packet, Packet)


def test_the_check_value_has_256_values_and_finds_each_single_wrong_byte() -> None:
    segment = HEAD.encode() + b"CP=&&a=1&&"
    assert len({check_value(bytes([byte])) for byte in range(256)}) == 256
    assert len({check_value(segment + bytes([a, b])) for a in range(256) for b in range(0, 256, 16)}) == 256
    wrong = [segment[:i] + bytes([b]) + segment[i + 1 :] for i in range(len(segment)) for b in range(256)]
    assert [s for s in wrong if check_value(s) == check_value(segment)] == [segment] * len(segment)
