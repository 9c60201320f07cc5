"""The codecs that hear a wire, each with right frames that it must still take after any stream of bytes.

The frames are written by the simulator's codecs. What a parser raises is a finding, unless it is one of the gateway's
own refusals of a frame; so is a right frame behind a silence that it does not take.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from itertools import count

from firmware_sim.meters import dlt645_pdu, pdu
from firmware_sim.meters.p1_meter import checksum
from firmware_sim.wire.hj212.packets import Packet, crc
from gateway.fieldbus.dlt645.frames import Request as Dlt645Request
from gateway.fieldbus.dlt645.framing import DLT645
from gateway.fieldbus.hj212.answers import DATA_RECORDED, answer
from gateway.fieldbus.hj212.packets import Packet as Heard
from gateway.fieldbus.hj212.packets import parse
from gateway.fieldbus.hj212.splitter import LONGEST, Splitter, Whole
from gateway.fieldbus.hj212.times import label_ms
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.obis import splitter as p1
from gateway.fieldbus.obis.p1_source import judged
from gateway.fieldbus.wire.framing import Framing
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable, Question
from gateway.fieldbus.wire.link import Answer
from tests.campaigns.streams.parser_streams import Codec, Take

LIFE_S, T35_S, LONG_S = 3.0, 0.004, 7200.0
MN, DI, METER = "010000A8900016F000169DC0", "00010000", "202401000123"


def _guarded(framing: Framing, question: Question, right: bytes) -> Take:
    """The guard of a serial line with this framing: half of a stream while a question is open, half of it after."""

    def take(pieces: Sequence[bytes]) -> None:
        moments, table = count(10.0, 0.001), KeyTable(LIFE_S)
        guard = Guard(framing, table, T35_S, lambda seen: None, echo="off")
        guard.ask(question, next(moments))
        guard.sent(next(moments))
        for place, piece in enumerate(pieces):
            guard.receive(piece, now := next(moments))
            if place == len(pieces) // 2:
                guard.finish(now)
        if not pieces:
            guard.finish(next(moments))
        later = next(moments) + LONG_S
        guard.ask(question, later)
        guard.sent(later + 0.001)
        guard.receive(right, later + 0.1)
        outcome = guard.finish(later + 0.2)
        assert isinstance(outcome, Answer), f"after a silence: {outcome}"

    return take


def _hj212(pieces: Sequence[bytes]) -> None:
    splitter = Splitter()
    for piece in pieces:
        splitter.feed(piece)
        _heard(splitter)
    silences = 0
    while splitter.pending:  # each ends one packet that has begun
        silences += 1
        assert silences <= sum(map(len, pieces)), "something is waited for for ever"
        splitter.give_up()
        _heard(splitter)
    splitter.feed(_packet(_SEGMENTS[0]))
    assert any(mn == MN for mn in _heard(splitter)), "a right packet after a silence is not taken"


def _heard(splitter: Splitter) -> list[str]:
    """Whose packets are whole now; each is read as far as a source reads it, and answered."""
    found: list[str] = []
    for _ in range(2 * LONGEST):
        if (packet := splitter.take()) is None:
            return found
        if isinstance(packet, Whole) and isinstance(parsed := parse(packet.segment), Heard):
            label_ms(parsed.label, UTC)
            answer(parsed, DATA_RECORDED)
            found.append(parsed.mn)
    raise AssertionError("a stream of bytes has no end of packets")


def _p1(pieces: Sequence[bytes]) -> None:
    splitter = p1.Splitter()
    for piece in pieces:
        splitter.feed(piece)
        _taken(splitter)
    splitter.give_up()
    right = _telegram(_TELEGRAMS[0])
    splitter.feed(right)
    assert right[: right.rindex(b"!") + 1] in _taken(splitter), "a right telegram after a silence is not taken"


def _taken(splitter: p1.Splitter) -> list[bytes]:
    """The telegrams that are whole now; each is read as far as a source reads it."""
    found: list[bytes] = []
    for _ in range(2 * p1.LONGEST):
        if (telegram := splitter.take()) is None:
            return found
        if isinstance(telegram, p1.Whole) and not isinstance(read := judged(telegram), p1.Damaged):
            for channel in read.channels:
                read.label_ms(channel)
            found.append(telegram.text)
    raise AssertionError("a stream of bytes has no end of telegrams")


def _telegram(body: bytes) -> bytes:
    text = b"/SIM5\r\n\r\n" + body + b"\r\n!"
    return text + b"%04X\r\n" % checksum(text)


_TELEGRAMS = (
    b"1-3:0.2.8(50)\r\n0-0:1.0.0(170102192002W)\r\n1-0:1.8.1(000004.426*kWh)",
    b"0-1:24.2.1(170102161005W)(00000.107*m3)",
    b"0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)",
)
_TIME = "DataTime=20261127123000"
_ASKED = Request(1, 3, 0, 2)
_SEGMENTS = tuple(
    Packet(qn, "31", cn, password, mn, flag, cp, pnum, pno).segment()
    for qn, cn, password, mn, flag, cp, pnum, pno in (
        (
            "20261127123000001",
            "2011",
            "123456",
            MN,
            5,
            "DataTime=20261127123000;a21026-Rtd=1.0,a21026-Flag=N",
            None,
            None,
        ),
        ("20261127123000002", "2061", "123456", MN, 7, "DataTime=20261127120000;a05001-Cou=4.2", 2, 2),
        (None, "2011", "", "88888880000014", None, f"{_TIME};02-Rtd=1.0", None, None),
        ("20261127123000003", "9015", "123456", MN, 5, "", None, None),
    )
)
_PDUS = (pdu.answer(3, (17, 4)), pdu.exception(3, 2), pdu.answer(3, (17, 4, 9)), bytes.fromhex("0300000002"))
_READS = tuple(
    bytes([control]) + data
    for control, data in (
        (0x91, bytes.fromhex(DI)[::-1] + b"\x78\x56\x34\x12"),
        (0xD1, b"\x02"),
        (0xB1, bytes.fromhex("0001FF00")[::-1] + b"\x78\x56\x34\x12" * 5),
        (0x11, bytes.fromhex(DI)[::-1]),
    )
)


def _rtu(body: bytes) -> bytes:
    return pdu.rtu(1, body)


def _dlt645(body: bytes) -> bytes:
    return dlt645_pdu.frame(METER, (body or b"\x91")[:201])


def _packet(body: bytes) -> bytes:
    return b"##%04d%b%04X\r\n" % (len(body), body, crc(body))


CODECS: dict[str, Codec] = {
    "modbus-rtu": Codec(_guarded(RTU, _ASKED, _rtu(_PDUS[0])), _PDUS, _rtu, bytes(range(8)) + b"\x83\x84\xff"),
    "dlt645": Codec(
        _guarded(DLT645, Dlt645Request(METER, DI), _dlt645(_READS[0])),
        _READS,
        _dlt645,
        b"\x68\x16\xfe\0\xff\x91\x11\xd1\x33",
    ),
    "hj212": Codec(_hj212, _SEGMENTS, _packet, b"#0123456789\r\nCP=&;,QNMF"),
    "p1": Codec(_p1, _TELEGRAMS, _telegram, b"/!()*-:.\r\nSW0123456789"),
}
"""By type of bus."""
