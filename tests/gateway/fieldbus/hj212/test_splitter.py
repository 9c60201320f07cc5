"""Splitter of HJ 212: what is damaged costs no packet behind it, and memory is bounded, however the stream is cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fieldbus.hj212.packets import check_value, frame
from gateway.fieldbus.hj212.splitter import LONGEST, Damaged, Splitter, Whole

ONE = frame(b"QN=1;ST=31;CN=2011;PW=1;MN=A;Flag=5;CP=&&DataTime=20260101000000&&")
TWO = frame(b"QN=2;ST=31;CN=2051;PW=1;MN=A;Flag=5;CP=&&a=1,b=2&&")


def fed(*pieces: bytes, ends: bool = False) -> list[Whole | Damaged]:
    """What comes of a stream in these pieces. ``ends``: what is pending then is given up, as often as it takes."""
    splitter, found = Splitter(), []
    for piece in pieces:
        splitter.feed(piece)
        while (one := splitter.take()) is not None:
            found.append(one)
    while ends and (one := splitter.take() or splitter.give_up()) is not None:
        found.append(one)
    return found


def whole(*packets: bytes) -> list[Whole]:
    return [Whole(packet[6:-6]) for packet in packets]


def kinds(found: Sequence[Whole | Damaged]) -> list[object]:
    """Segments, and reasons."""
    return [one.segment if isinstance(one, Whole) else one.reason for one in found]


def test_packets_end_by_their_length_whatever_they_hold() -> None:
    odd = frame(b"CP=&&\r\n##0004CP=&1234\r\n&&")
    assert fed(ONE + odd + TWO) == whole(ONE, odd, TWO)


def test_a_check_value_may_be_in_lower_case_and_cr_lf_may_be_lacking_or_doubled() -> None:
    lower = ONE[:-6] + ONE[-6:].lower()
    assert fed(lower + TWO[:-2] + ONE + b"\r\n\r\n" + TWO) == whole(ONE, TWO, ONE, TWO)


def test_behind_damage_the_next_packet_is_found() -> None:
    for damaged, reason in (
        (b"##0033" + ONE[6:], "length"),
        (b"##0100" + ONE[6:], "length"),
        (b"##00A6" + ONE[6:], "noise"),
        (ONE[:20] + b"x" + ONE[21:], "crc"),
        (ONE[:20] + ONE[21:], "length"),
        (b"HEARTBEAT\r\n", "noise"),
        (ONE[4:], "noise"),
    ):
        assert kinds(fed(TWO + damaged + TWO + TWO)) == [TWO[6:-6], reason, TWO[6:-6], TWO[6:-6]], damaged


def test_a_damaged_packet_is_shown_with_its_figures_and_those_found() -> None:
    length, crc = len(ONE) - 12, ONE[-6:-2].decode()
    assert fed(b"##0033" + ONE[6:]) == [Damaged("length", b"##0033" + ONE[6:-2], 33, length, crc, crc)]
    changed = ONE.replace(b"2026", b"2027")
    found = f"{check_value(changed[6:-6]):04X}"
    assert fed(changed) == [Damaged("crc", changed[:-2], length, length, crc, found)]
    assert fed(b"\x00\xff##0033\r\n") == [Damaged("noise", b"\x00\xff##0033")]


def test_what_does_not_end_is_given_up_and_what_it_swallowed_is_read() -> None:
    assert kinds(fed(ONE[:30], ends=True)) == ["unended"]
    assert kinds(fed(b"##9000" + ONE[6:] + TWO, ends=True)) == ["unended", TWO[6:-6]]
    assert kinds(fed(b"noise without end", ends=True)) == ["unended"]
    splitter = Splitter()
    splitter.feed(b"noise\r\n more")
    assert kinds([one for one in [splitter.take()] if one]) == ["noise"]
    assert splitter.pending
    assert splitter.give_up() is None
    assert not splitter.pending
    splitter.feed(ONE)
    assert splitter.take() == Whole(ONE[6:-6])


@pytest.mark.parametrize("noise", [b"noise", b"##9000 a head alone", b"noise\r\n more", b"##0033\r\n\xff\r\n"])
def test_one_silence_is_enough_where_no_other_packet_has_begun(noise: bytes) -> None:
    splitter = Splitter()
    splitter.feed(noise)
    while splitter.take():
        pass
    splitter.give_up()
    assert splitter.take() is None
    assert not splitter.pending
    splitter.feed(ONE)
    assert splitter.take() == Whole(ONE[6:-6])


def test_noise_takes_bounded_memory_and_is_reported_once() -> None:
    splitter, found = Splitter(), []
    for piece in [b"\x00noise" * 100] * 1000:
        splitter.feed(piece)
        while (one := splitter.take()) is not None:
            found.append(one)
        assert len(splitter._held) < LONGEST + len(piece)
    assert kinds(found) == ["noise"]
    splitter.feed(b"\r\n" + ONE)
    assert splitter.take() == Whole(ONE[6:-6])


PIECES = st.lists(
    st.one_of(
        st.sampled_from([ONE, TWO, b"\r\n", b"##0012", b"##9999", b"##", b"\r", b"\n#", b"1C80", b"12AF\r\n"]),
        st.binary(max_size=40),
    ),
    max_size=12,
)


@given(PIECES)
@settings(max_examples=300, deadline=None)
def test_however_a_stream_is_cut_the_result_is_the_same(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert fed(stream) == fed(*(stream[i : i + 1] for i in range(len(stream))))
    assert fed(stream, ends=True) == fed(*(stream[i : i + 7] for i in range(0, len(stream), 7)), ends=True)


@given(PIECES)
@settings(max_examples=300, deadline=None)
def test_whatever_came_before_packets_after_a_silence_are_taken(pieces: list[bytes]) -> None:
    splitter = Splitter()
    splitter.feed(b"".join(pieces))
    while splitter.take() or splitter.give_up():
        pass
    splitter.feed(ONE + TWO)
    assert [splitter.take(), splitter.take()] == whole(ONE, TWO)
