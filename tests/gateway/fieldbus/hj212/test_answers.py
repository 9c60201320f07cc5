"""Answers to HJ 212 loggers: byte for byte those of the standard, and a gate that lets nothing else out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fieldbus.hj212.answers import answer, permit
from gateway.fieldbus.hj212.packets import Packet, frame, parse
from gateway.fieldbus.wire.errors import NotARead
from tests.interop.hj212.peer import rows

PRINTED = {row.name: row.packet + b"\r\n" for row in rows()}


def read(text: str) -> Packet:
    packet = parse(text.encode())
    assert isinstance(packet, Packet)
    return packet


def test_answers_are_those_of_the_standard() -> None:
    packet = read("QN=20160801085857223;ST=32;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;CP=&&&&")
    assert answer(packet, "9013") == PRINTED["hs03"]
    assert answer(packet, "9014") == PRINTED["hs04"]


def test_an_answer_repeats_what_the_packet_has_and_no_more() -> None:
    assert (
        answer(read("ST=31;CN=2011;PW=;MN=A;Flag=1;CP=&&&&"), "9014")[6:-6] == b"ST=91;CN=9014;PW=;MN=A;Flag=4;CP=&&&&"
    )
    assert answer(read("ST=31;CN=2011;MN=A;Flag=1;CP=&&&&"), "9014")[6:-6] == b"ST=91;CN=9014;PW=;MN=A;Flag=4;CP=&&&&"


@pytest.mark.parametrize("name", [row.name for row in rows() if row.name not in ("hs03", "hs04")])
def test_no_other_published_packet_passes_the_gate(name: str) -> None:
    with pytest.raises(NotARead, match="was not sent"):
        permit(PRINTED[name])


def test_an_answer_is_one_whole_packet() -> None:
    good = PRINTED["hs04"]
    assert permit(good) == good
    for bad in (good + good, good[:-2], b"\r\n" + good, good.lower(), good[:-6] + b"0000\r\n", b""):
        with pytest.raises(NotARead):
            permit(bad)


SEGMENTS = st.lists(
    st.sampled_from(
        ["QN=1", "ST=91", "CN=9014", "CN=9013", "CN=9011", "CN=3011", "PW=1", "MN=A", "Flag=4", "CP=&&&&", "CP=&&a=1&&"]
    ),
    max_size=9,
).map(";".join)


@given(SEGMENTS)
@settings(max_examples=500, deadline=None)
def test_what_passes_the_gate_asks_for_nothing(segment: str) -> None:
    try:
        permit(frame(segment.encode()))
    except NotARead:
        return
    packet = read(segment)
    assert packet.cn in ("9013", "9014")
    assert (packet.st, packet.flag, packet.places) == ("91", 4, {})
