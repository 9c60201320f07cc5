"""When a recorded value is the one that was sent: never a neighbour of it in the register."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest

from firmware_sim.compare.equality import Ieee, is_none, same


@pytest.mark.parametrize(
    ("recorded", "sent", "equal"),
    [
        ("2399.30908203125", Ieee("2399.30908203125"), True),
        ("2399.309", Ieee("2399.30908203125"), True),
        ("2399.31", Ieee("2399.30908203125"), False),
        ("2.39930908203125e3", Ieee("2399.30908203125"), True),
        ("0.1", Ieee("0.1"), True),
        ("0.10000000149011612", Ieee("0.1"), False),
        ("-0.0", Ieee("0.0"), True),
        ("245.30", "245.3", True),
        ("245.30000000000004", "245.3", True),
        ("245.3001", "245.3", False),
        ("230", "230", True),
        ("230.0", "230", True),
        ("231", "230", False),
        ("9007199254740993", "9007199254740993", True),
        ("9007199254740992", "9007199254740993", False),
        ("1000000000000000001", "1000000000000000000", False),
        ("1e999", "5", False),
        ("inf", Ieee("3.0"), False),
        ("true", "1", True),
        ("true", "0", False),
        ("RUNNING", "4", False),
        ("PV15-1", "PV15-1", True),
        ("'-PV15", "-PV15", True),
        ("'PV15", "PV15", False),
        ("0", None, False),
    ],
)
def test_equal_is_the_same_register(recorded: str, sent: str | None, equal: bool) -> None:
    assert same(recorded, sent) is equal


def test_no_two_binary32_are_one() -> None:
    for word in (0x3F800000, 0x4515F4F1, 0x00000001, 0x7F7FFFFE):
        one, next_ = (struct.unpack(">f", struct.pack(">I", bits))[0] for bits in (word, word + 1))
        assert same(repr(one), Ieee(repr(one)))
        assert not same(repr(next_), Ieee(repr(one)))
        assert not same(repr(one), Ieee(repr(next_)))


@pytest.mark.parametrize(
    ("recorded", "factor", "sent", "equal"),
    [
        ("18.25", "1000", "18250", True),
        ("18.25000001", "1000", "18250", True),
        ("18.26", "1000", "18250", False),
        ("0.2777777777777778", "3.6", "1", True),
        ("-3", "-1", "3", True),
        ("0.0000001", "1000", "0", False),
        ("text", "1000", "1", False),
    ],
)
def test_only_a_factor_brings_a_tolerance(recorded: str, factor: str, sent: str, equal: bool) -> None:
    assert same(recorded, sent, Decimal(factor)) is equal


@pytest.mark.parametrize(("text", "none"), [("", True), (" NaN", True), (None, True), ("inf", False), ("0", False)])
def test_no_value(text: str | None, none: bool) -> None:
    assert is_none(text) is none
