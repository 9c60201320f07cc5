"""Frames in the bytes of a line: found wherever they begin, and never in noise."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gateway.commissioning.scan.frame_search import pieces
from gateway.fieldbus.dlt645 import frames as dlt645
from gateway.fieldbus.modbus.frames import Reply, Request, Shape

ANSWER = Reply(Shape(7, 3, 2), b"\x00\x01").encode()
EXCEPTION = Reply(Shape(9, 3, -1), b"", 2).encode()
METER = dlt645.encode("202311220001", dlt645.ADDRESS_ANSWER, bytes.fromhex("202311220001")[::-1])


def test_frames_are_cut_out_of_what_stands_between_them() -> None:
    found = list(pieces(b"\x00" + ANSWER + b"\x12\x34" + EXCEPTION + b"\xfe\xfe" + METER))
    assert [(piece.protocol, piece.data) for piece in found] == [
        ("", b"\x00"), ("modbus", ANSWER), ("", b"\x12\x34"), ("modbus", EXCEPTION), ("", b"\xfe\xfe"),
        ("dlt645", METER),
    ]  # fmt: skip
    assert [piece.is_damage for piece in found] == [False, False, True, False, False, False]
    assert [(piece.unit, piece.function, piece.is_answer) for piece in found if piece.protocol == "modbus"] == [
        (7, 3, True),
        (9, 3, True),
    ]


def test_a_question_is_told_from_an_answer() -> None:
    (question,) = pieces(Request(7, 3, 0, 1).frame)
    assert (question.protocol, question.is_answer) == ("modbus", False)
    (short,) = pieces(Request(7, 17).frame)  # four bytes prove too little
    assert short.protocol == ""


@given(st.binary(max_size=80))
def test_nothing_is_lost_and_nothing_raises(data: bytes) -> None:
    assert b"".join(piece.data for piece in pieces(data)) == data


def test_frames_are_seldom_found_in_noise() -> None:
    noise = random.Random(17).randbytes(20_000)
    assert sum(bool(piece.protocol) for piece in pieces(noise)) <= 3
