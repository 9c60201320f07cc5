"""DL/T 645 frames: every row of the table of published frames, the read-only gate, and where a frame ends."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.decode_bcd import DataBlock
from gateway.devices.places import Identifier
from gateway.devices.points import Point
from gateway.fieldbus.dlt645.frames import (
    ANSWER,
    READ,
    READ_ADDRESS,
    WILDCARD,
    Reply,
    Request,
    encode,
    frame_length,
    intact,
    parse,
    permit,
    preamble,
)
from gateway.fieldbus.wire.errors import BadFrame, NotARead

ADDRESS = "123456789012"
digits = st.text("0123456789", min_size=12, max_size=12)


class Row(NamedTuple):
    """One published frame and what it is."""

    id: str
    frame: bytes
    preamble: int
    address: str
    control: int
    data: bytes
    verdict: str
    decoded: str
    source: str


def table(name: str) -> Iterator[dict[str, str]]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    yield from csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)


def rows() -> list[Row]:
    return [
        Row(
            row["id"],
            bytes.fromhex(row["frame_hex"]),
            int(row["preamble_FE"]),
            row["address"].upper(),
            int(row["control"], 16),
            bytes.fromhex(row["data_minus_33"]),
            row["verdict"],
            row["decoded"],
            row["source"],
        )
        for row in table("frames.tsv")
    ]


def blocks() -> dict[str, DataBlock]:
    """The identifiers of the table of formats that hold numbers, each with its values as points."""
    found = {}
    for row in table("identifiers.tsv"):
        di, form = row["di_hex_DI3_DI2_DI1_DI0"], row["format"]
        count, _, each = form.rpartition(" x ")
        if set(each) <= {"X", "."}:
            parts = range(1, int(count) + 1) if count else [0]
            at = [Identifier(di, each, part, signed=row["signed_top_bit"].startswith("yes")) for part in parts]
            points = [Point(f"p{place.part}", place, scale=0, unit=row["unit"]) for place in at]
            found[di] = DataBlock(di, tuple(points))
    return found


ROWS, BLOCKS = rows(), blocks()


def read(frame: bytes) -> tuple[str, Reply | None]:
    """The codec's verdict on a frame, in the words of the table."""
    try:
        return "ok", parse(frame)
    except BadFrame as error:
        return "BAD CHECKSUM (negative case)" if "checksum" in str(error) else "NO FRAME", None


def decoded(reply: Reply) -> str:
    """What a frame says, as far as the codec alone can tell."""
    if reply.named_address is not None:
        return f"address {reply.named_address}"
    if reply.error is not None:
        return f"error word 0x{reply.error:02X}"
    return f"DI {reply.di}" if reply.di else ""


def values_and_unit(reply: Reply) -> tuple[list[Decimal], str]:
    """The values of an answer and their unit, as the gateway decodes them."""
    block = BLOCKS[str(reply.di)]
    decoder = block.decoder({})
    split = decoder.split(reply.value)
    values = decoder.values(split, decoder.scales(split))
    return [Decimal(str(value)) for value in values], str(block.points[0].unit)


def published(text: str) -> tuple[list[Decimal], str]:
    """The values and the unit in a row such as ``DI 0201FF00 values 230.3 V, 0.0 V, 0.0 V``."""
    words = re.findall(r"(-?[0-9.]+) (\w+)", re.split(r"values? ", text)[1])
    return [Decimal(number) for number, _ in words], words[0][1]


def test_every_published_frame_gives_its_verdict_and_content(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(ROWS) == 32
    lines = []
    for row in ROWS:
        assert preamble(row.frame) == row.preamble, row.id
        bare = row.frame[row.preamble :]
        verdict, reply = read(bare)
        assert verdict == row.verdict, row.id
        text = ""
        if reply is not None:
            text = decoded(reply)
            assert reply == Reply(row.address, row.control, row.data), row.id
            assert encode(*reply) == bare, row.id
            assert row.decoded.startswith(text), row.id
            assert text or row.control in (READ_ADDRESS, 0x12), row.id
            if " value" in row.decoded:
                values, unit = values_and_unit(reply)
                assert (values, unit) == published(row.decoded), row.id
                text += " = " + " ".join(map(str, values)) + f" {unit}"
            elif " raw " in row.decoded:
                assert reply.value[::-1].hex() == row.decoded.split()[-1], row.id
                text = row.decoded
        lines.append(f"{row.id}  {row.control:02X}H  {verdict:28}  {text}")
    with capsys.disabled():
        print("", "DL/T 645 frames", *lines, sep="\n")


@pytest.mark.parametrize("row", [row for row in ROWS if row.verdict == "ok"], ids=lambda row: row.id)
def test_of_the_published_frames_only_the_reads_pass_the_gate(row: Row) -> None:
    reads = (row.control == READ and row.address != WILDCARD) or row.control == READ_ADDRESS
    if reads:
        assert permit(row.frame) == row.frame
    else:
        with pytest.raises(NotARead, match="was not sent"):
            permit(row.frame)


@pytest.mark.parametrize("row", [r for r in ROWS if r.control == READ and r.verdict == "ok"], ids=lambda row: row.id)
def test_a_request_is_the_published_one(row: Row) -> None:
    if row.address == WILDCARD:
        with pytest.raises(NotARead):
            _ = Request(row.address, row.data[::-1].hex()).frame
        return
    frame = Request(row.address, row.data[::-1].hex()).frame
    assert frame[preamble(frame) :] == row.frame[row.preamble :]


@given(digits, st.integers(0, 255), st.binary(max_size=255))
def test_the_gate_lets_out_two_forms_and_nothing_else(address: str, control: int, data: bytes) -> None:
    frame = encode(address, control, data)
    allowed = control == READ and len(data) == 4 and address != "9" * 12
    if allowed:
        assert permit(frame) == frame
    else:
        with pytest.raises(NotARead):
            permit(frame)


@pytest.mark.parametrize("control", [c for c in range(256) if c not in (READ, READ_ADDRESS)])
@pytest.mark.parametrize("data", [b"", b"\0\0\1\0", b"\0\0\1\0\1"])
def test_every_other_control_code_is_refused(control: int, data: bytes) -> None:
    for address in (ADDRESS, WILDCARD, "9" * 12):
        with pytest.raises(NotARead):
            permit(encode(address, control, data))


def test_forms_that_only_look_like_reads_are_refused() -> None:
    good = encode(ADDRESS, READ, bytes(4))
    for frame in (
        b"",
        good[:-1],
        good + b"\x16",
        good + encode(ADDRESS, 0x14, bytes(4)),  # a write behind it
        b"\x00" + good,
        good[:-2] + bytes([good[-2] ^ 1, 0x16]),
        encode("9" * 12, READ, bytes(4)),
        encode(ADDRESS, READ_ADDRESS),
        encode(WILDCARD, READ_ADDRESS, bytes(1)),
        encode("AAAAAAAA9012", READ, bytes(4)),
    ):
        with pytest.raises(NotARead):
            permit(frame)


@given(digits, st.integers(0, 255), st.binary(max_size=255))
def test_encode_and_parse_are_inverse(address: str, control: int, data: bytes) -> None:
    frame = encode(address, control, data)
    assert intact(frame)
    assert parse(frame) == Reply(address, control, data)
    assert frame_length(frame) == len(frame)
    assert all(frame_length(frame[:n]) is None for n in range(10))


@given(digits, st.binary(max_size=40), st.data())
def test_a_frame_with_one_bit_turned_is_never_intact(address: str, data: bytes, choose: st.DataObject) -> None:
    frame = bytearray(encode(address, ANSWER, data))
    place = choose.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= 1 << choose.draw(st.integers(0, 7))
    assert not intact(bytes(frame))


@given(st.lists(st.sampled_from([0xFE, 0x00, 0xFF]), max_size=20), digits)
def test_any_number_of_bytes_may_stand_before_a_frame(before: list[int], address: str) -> None:
    frame = encode(address, ANSWER, bytes(8))
    assert preamble(bytes(before) + frame) == len(before)


def test_a_68_inside_address_and_data_begins_no_frame() -> None:
    frame = encode("686868686868", ANSWER, bytes([0x68 - 0x33 & 0xFF] * 8))
    assert frame.count(0x68) == 16
    assert frame_length(frame) == len(frame) == 20
    assert parse(frame).address == "686868686868"
    assert frame_length(frame[1:]) == 0  # the second 68 is not where it belongs
    assert frame_length(b"\x68" * 9) is None
    assert frame_length(b"\x01") == 0


@given(st.binary(max_size=60))
def test_no_bytes_at_all_raise_anything_but_bad_frame(data: bytes) -> None:
    frame_length(data)
    intact(data)
    if intact(data):
        assert encode(*parse(data)) == data
    else:
        with pytest.raises(BadFrame):
            parse(data)
