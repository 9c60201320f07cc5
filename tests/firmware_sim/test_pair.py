"""Two-wire line as levels: bytes that arrive, bytes that are misread, and bytes that meet others."""

from __future__ import annotations

import random

import pytest

from firmware_sim.wire.pair import Pair
from firmware_sim.wire.uart import SECOND_NS, Received, Receiver, Uart

START_NS = 987_654_321_012_345
ALL = bytes(range(256))


def heard(data: bytes, sender: Uart, receiver: Uart) -> list[Received]:
    """What one end makes of another's bytes."""
    pair = Pair()
    pair.speak("sender", START_NS, sender, data)
    return Receiver(pair.heard_by("receiver"), receiver, START_NS - 1).take(START_NS + 100 * SECOND_NS)


def text(received: list[Received]) -> str:
    """Bytes with p for a wrong parity, f for no stop bit, b for a break."""
    return " ".join(
        f"{each.byte:02X}{'p' * each.wrong_parity}{'f' * each.no_stop}{'b' * each.is_break}" for each in received
    )


@pytest.mark.parametrize(
    "uart",
    [Uart(speed, parity, stop) for speed in (300, 2400, 115200) for parity in "NEOMS" for stop in (1, 2)],  # type: ignore[arg-type]
)
def test_equal_settings_carry_every_byte(uart: Uart) -> None:
    received = heard(ALL, uart, uart)
    assert bytes(each.byte for each in received) == ALL
    assert all(each.is_whole for each in received)
    byte_ns = SECOND_NS * uart.bits / uart.baudrate
    assert received[-1].start_ns - START_NS == pytest.approx(255 * byte_ns, abs=1)
    assert byte_ns - SECOND_NS * uart.stopbits / uart.baudrate < received[0].at_ns - START_NS < byte_ns


def test_seven_data_bits_leave_the_eighth_out() -> None:
    assert bytes(each.byte for each in heard(b"\x41\xc1", Uart(data_bits=7), Uart(data_bits=7))) == b"\x41\x41"


@pytest.mark.parametrize(
    ("data", "sender", "receiver", "expected"),
    [
        # start and eight zeros last 36 of the faster bits: a break, once
        ("00", Uart(2400), Uart(9600), "00fb"),
        # the start bit lasts four of the faster bits: the start, and three zeros of the byte
        ("FF", Uart(2400), Uart(9600), "F8"),
        # 0 10101010 1 with every bit twice: 0 01100110 0, then the low stop bit taken as a start: 0 11001100 1
        ("55", Uart(4800), Uart(9600), "66f 33"),
        # eight ones less the start bit: a quarter of the slow start bit is no start
        ("FF", Uart(9600), Uart(2400), ""),
        # the low parity bit stands where the stop bit is due; it is taken as a start, and the line is high behind it
        ("03", Uart(9600, "E"), Uart(9600), "03f FF"),
        ("01", Uart(9600, "E"), Uart(9600), "01"),
        # the stop bit stands where parity is due, and the next start bit where the stop bit is
        ("01 03", Uart(9600), Uart(9600, "E"), "01f 03p"),
        ("01 03 80", Uart(9600, "E"), Uart(9600, "O"), "01p 03p 80p"),
        ("01 03 80", Uart(9600, "E"), Uart(9600, "O", checks_parity=False), "01 03 80"),
        # two stop bits leave room for a parity bit that is always 1
        ("01 03 00", Uart(9600, "N", 2), Uart(9600, "E"), "01 03p 00p"),
    ],
)
def test_other_settings_misread_as_a_uart_does(data: str, sender: Uart, receiver: Uart, expected: str) -> None:
    assert text(heard(bytes.fromhex(data), sender, receiver)) == expected


def test_what_is_misread_does_not_depend_on_the_moment() -> None:
    rng, speeds = random.Random(17), (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
    for _ in range(60):
        sender, receiver = (Uart(rng.choice(speeds), rng.choice("NE")) for _ in range(2))  # type: ignore[arg-type]
        data, found = rng.randbytes(12), set()
        for start in (0, 1, START_NS, rng.randrange(10**18)):
            pair = Pair()
            pair.speak("sender", start, sender, data)
            found.add(text(Receiver(pair.heard_by("receiver"), receiver, start).take(start + SECOND_NS)))
        assert len(found) == 1
        assert (sender == receiver) == (found == {data.hex(" ").upper()})


def test_two_at_once_damage_each_other_where_they_overlap() -> None:
    uart = Uart(9600)
    pair = Pair()
    pair.speak("one", START_NS, uart, b"\xaa\xf0\x55\x0f")
    pair.speak("two", START_NS + uart.span_ns(20), uart, b"\x0f\xff\x81\x82")
    third = Receiver(pair.heard_by("third"), uart, START_NS).take(START_NS + SECOND_NS)
    assert text(third) == "AA F0 05 0F 81 82"  # 55 and 0F, 0F and FF: low where one of them is low


def test_who_speaks_hears_nothing_and_who_echoes_hears_itself() -> None:
    uart = Uart(9600)
    pair = Pair()
    pair.speak("one", START_NS, uart, b"\x00\x00")
    pair.speak("two", START_NS + uart.span_ns(10), uart, b"\x11\x22\x33")
    one = Receiver(pair.heard_by("one"), uart, START_NS).take(START_NS + SECOND_NS)
    assert text(one) == "22 33"
    echoed = Receiver(pair.heard_by("one", echo=True), uart, START_NS).take(START_NS + SECOND_NS)
    assert text(echoed) == "00 00 22 33"


def test_a_receiver_gives_a_byte_when_it_is_whole_and_foretells_it() -> None:
    uart = Uart(2400)
    pair = Pair()
    pair.speak("sender", START_NS, uart, b"\x42\x43")
    receiver = Receiver(pair.heard_by("receiver"), uart, START_NS)
    expected = receiver.expected()
    assert expected is not None
    assert receiver.take(expected.at_ns - 1) == []
    assert [each.byte for each in receiver.take(expected.at_ns)] == [0x42]
    assert [each.byte for each in receiver.take(START_NS + SECOND_NS)] == [0x43]
    assert receiver.expected() is None


def test_words_that_are_cut_end_with_the_byte_that_has_begun() -> None:
    uart = Uart(9600)
    pair = Pair()
    pair.speak("one", START_NS, uart, b"\x01\x02\x03\x04")
    pair.cut("one", START_NS + uart.span_ns(13))
    assert text(Receiver(pair.heard_by("two"), uart, START_NS).take(START_NS + SECOND_NS)) == "01 02"


def test_what_is_past_is_forgotten_and_marks_name_who_spoke() -> None:
    uart = Uart(9600)
    pair = Pair()
    early = pair.speak("one", 0, uart, b"\x01", "second-master")
    pair.speak("two", 10 * SECOND_NS, uart, b"\x02")
    assert pair.marks(0, early.end_ns) == ("second-master",)
    assert pair.marks(early.end_ns, 20 * SECOND_NS) == ()
    pair.forget(10 * SECOND_NS)
    assert [frame.data for frame in pair.spoken] == [b"\x02"]
