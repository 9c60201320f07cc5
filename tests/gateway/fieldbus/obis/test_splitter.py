"""P1 telegrams out of any stream: however it is cut, whatever stands between."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.fieldbus.obis.p1_source import judged
from gateway.fieldbus.obis.splitter import LONGEST, Damaged, Splitter, Whole

ONE = (Path(__file__).parents[3] / "interop" / "p1" / "dsmr_telegram_v5.bin").read_bytes()
TWO = (Path(__file__).parents[3] / "interop" / "p1" / "dsmr_telegram_unpadded_crc.bin").read_bytes()


def split(pieces: Iterable[bytes]) -> list[Whole | Damaged]:
    splitter, found = Splitter(), list[Whole | Damaged]()
    for piece in pieces:
        splitter.feed(piece)
        while (one := splitter.take()) is not None:
            found.append(one)
    return found


def wholes(pieces: Iterable[bytes]) -> list[bytes]:
    return [one.text for one in split(pieces) if isinstance(one, Whole) and one.checked]


TEXTS = [data[: data.rindex(b"!") + 1] for data in (ONE, TWO)]


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_cuts_make_no_difference(size: int) -> None:
    stream = ONE[300:] + ONE + TWO + b"\xff\x00noise" + TWO + ONE[:400] + ONE + b"/AAA" + LONGEST * b"x" + TWO
    whole = split([stream])
    assert split(stream[n : n + size] for n in range(0, len(stream), size)) == whole
    assert Damaged("length") in whole


def test_a_telegram_that_another_begins_in_is_damaged_and_the_other_is_taken() -> None:
    assert split([ONE[:402].rpartition(b"\n")[0] + b"\n" + TWO]) == [Damaged("unended"), Whole(TEXTS[1], checked=True)]


def test_one_that_nothing_follows_is_given_up() -> None:
    splitter = Splitter()
    splitter.feed(ONE[:200])
    assert splitter.take() is None
    assert splitter.pending
    assert splitter.give_up() == Damaged("unended")
    splitter.feed(TWO)
    assert splitter.take() == Whole(TEXTS[1], checked=True)


@pytest.mark.parametrize("behind", [b"!XYZ", b"!12345", b"!0"])
def test_what_is_no_check_value_or_another_one_is_damaged(behind: bytes) -> None:
    (found,) = split([TWO.replace(b"!B9F", behind)])
    assert found == Damaged("crc" if behind == b"!0" else "end")


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([ONE, TWO, ONE[:300], b"/ABC", b"\r\n!", b"\r\n"]))))
@example([ONE[:300], b"\n!", b"/AAA", b"\r\n"])
def test_any_bytes_are_split_the_same_in_bounded_memory(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    found = split(pieces)
    assert found == split([stream]) == split(stream[n : n + 3] for n in range(0, len(stream), 3))
    for one in found:
        if isinstance(one, Whole):
            judged(one)
    splitter = Splitter()
    splitter.feed(stream)
    while splitter.take() is not None:
        pass
    assert len(splitter._raw) == len(splitter._text) <= LONGEST
