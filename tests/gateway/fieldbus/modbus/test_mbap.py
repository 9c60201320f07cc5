"""Modbus TCP without a connection: bytes and times in, decisions out. All times are seconds of a made-up clock."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Reply, Request, Shape, identification_object
from gateway.fieldbus.modbus.mbap import Transactions
from gateway.fieldbus.wire.errors import NotARead
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, ObservedFrame, Outcome, Refusal, Silence
from gateway.messages.message import Message
from tests.gateway.fieldbus.devices import answer, packet, refuse

READ, OTHER = Request(1, 3, 100, 2), Request(1, 3, 200, 3)
LIFE = 10.0


class Bench:
    """Transactions with their table and a list of what they saw; ``direct`` for all questions."""

    def __init__(self, *, direct: bool = False, armed: bool = True) -> None:
        self.seen: list[ObservedFrame] = []
        self.direct = direct
        self.table = KeyTable(LIFE, armed=armed)
        self.transactions = Transactions(self.table, self.seen.append)

    def ask(self, request: Request = READ, now: float = 10.0) -> int:
        """Ask; gives the transaction id."""
        sent = self.transactions.ask(request, now, direct=self.direct)
        return int.from_bytes(sent[:2], "big")

    def read(self, *frames: bytes, request: Request = READ, now: float = 10.0) -> Outcome:
        """Ask, and take these RTU frames, each in a packet with our transaction id, 50 ms later."""
        tid = self.ask(request, now)
        self.transactions.receive(b"".join(packet(tid, frame) for frame in frames), now + 0.05)
        return self.transactions.finish(now + 0.1)

    @property
    def kinds(self) -> list[str]:
        return [seen.kind for seen in self.seen]


def test_a_packet_is_the_transaction_id_and_the_request_and_passes_nothing_but_reads() -> None:
    bench = Bench()
    sent = bench.transactions.ask(READ, 10.0, direct=False)
    assert sent == bytes.fromhex("0001 0000 0006 01 03 0064 0002")
    bench.transactions.finish(10.1)
    sent = bench.transactions.ask(identification_object(7, 0x80), 10.2, direct=False)
    assert sent == bytes.fromhex("0002 0000 0005 07 2B 0E 04 80")
    bench.transactions.finish(10.3)
    with pytest.raises(NotARead):
        bench.transactions.ask(Request(1, 6, 0, 1), 10.4, direct=False)
    assert bench.transactions.ask(READ, 10.5, direct=False)[:2] == b"\0\3"


def test_transaction_ids_count_up_over_connections_and_leave_out_zero() -> None:
    bench = Bench(direct=True)
    found = []
    for number in range(65_537):
        found.append(bench.ask(now=float(number)))
        bench.transactions.finish(float(number))
        bench.transactions.opened()
    assert found == [*range(1, 65_536), 1, 2]


def test_the_answer_and_the_moment_at_which_it_was_complete() -> None:
    for direct in (True, False):
        whole = packet(1, answer(READ))
        assert Bench(direct=direct).read(answer(READ)) == Answer(READ, b"\0\x64\0\x65", 10.05, 1, whole)


def test_an_identification_has_no_byte_count() -> None:
    request = identification_object(1, 0x80)
    data = bytes([14, 4, 0x83, 0, 0, 1, 0x80, 6]) + b"N27400"
    frame = Reply(Shape(1, 43, -1), data).encode()
    assert Bench().read(frame, request=request) == Answer(request, data, 10.05, 1, packet(1, frame))


def test_a_longer_count_than_there_are_bytes_has_no_answer() -> None:
    outcome = Bench(direct=True).read(answer(READ), request=Request(1, 3, 0, 200))
    assert isinstance(outcome, Silence)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (bytes.fromhex("0001 0007 0007 01 03 04 00000000"), "bytes that are not Modbus TCP"),
        (bytes.fromhex("0001 0000 0001 01 03 04 00000000"), "bytes that are not Modbus TCP"),
        (bytes.fromhex("0001 0000 00FF 01 03 04 00000000"), "bytes that are not Modbus TCP"),
        (bytes.fromhex("0001 0000 0002 01 03"), "byte count does not fit"),
        (bytes.fromhex("0001 0000 0002 01 83"), "byte count does not fit"),
        (bytes.fromhex("0001 0000 0008 01 03 04 0000000000"), "byte count does not fit"),
        (bytes.fromhex("0001 0000 0006 01 03 04 000000"), "byte count does not fit"),
        (bytes.fromhex("0001 0000 0004 01 83 02 00"), "byte count does not fit"),
    ],
)
def test_bytes_that_cannot_be_framed_end_the_question_and_the_connection(data: bytes, problem: str) -> None:
    bench = Bench(direct=True)
    bench.ask()
    bench.transactions.receive(data, 10.0)
    assert bench.transactions.decided
    outcome = bench.transactions.finish(10.1)
    assert isinstance(outcome, Silence)
    assert problem in str(outcome.detail)
    assert bench.transactions.stale
    assert isinstance(bench.read(answer(READ)), Silence), "nothing is believed until there is another connection"
    bench.transactions.opened()
    assert isinstance(bench.read(answer(READ)), Answer)


def test_two_silences_in_a_row_or_a_packet_that_broke_off_spoil_the_connection() -> None:
    bench = Bench(direct=True)
    for frames, stale in (((), False), ((answer(READ),), False), ((), False), ((), True)):
        bench.read(*frames)
        assert bench.transactions.stale == stale
    bench = Bench(direct=True)
    tid = bench.ask()
    bench.transactions.receive(packet(tid, answer(READ))[:10], 10.0)
    assert bench.transactions.finish(10.1) == Silence("timeout", Message("answer-ended-early"), READ)
    assert bench.transactions.stale
    bench = Bench(direct=True)
    bench.ask()
    bench.transactions.abandon(10.1)
    assert bench.transactions.stale
    assert bench.table.burnt(1, 10.2)


def test_a_late_answer_is_witnessed_with_the_time_that_it_took_if_we_know_its_question() -> None:
    bench = Bench(direct=True)
    first = bench.ask(READ, 10.0)
    bench.transactions.finish(10.125)
    tid = bench.ask(OTHER, 10.1875)
    bench.transactions.receive(packet(first, answer(READ)) + packet(999, answer(READ)), 10.25)
    assert not bench.transactions.decided
    assert bench.seen == [
        ObservedFrame("late", packet(first, answer(READ)), READ.key, 0.25),
        ObservedFrame("late", packet(999, answer(READ))),
    ]
    bench.transactions.receive(packet(tid, answer(OTHER)), 10.3)
    assert bench.transactions.finish(10.3) == Answer(OTHER, answer(OTHER)[3:-2], 10.3, 1, packet(tid, answer(OTHER)))
    bench.transactions.opened()
    bench.transactions.receive(packet(first, answer(READ)), 10.4)
    assert bench.seen[2] == ObservedFrame("late", packet(first, answer(READ)))


def test_behind_a_converter_a_second_answer_voids_the_first_until_the_next_question() -> None:
    bench = Bench()
    outcome = bench.read(answer(READ))
    assert isinstance(outcome, Answer)
    bench.transactions.receive(packet(1, answer(READ, b"else")), 10.2)
    assert bench.transactions.voided == {outcome.number}
    assert bench.kinds == ["doubled"]
    bench.ask(OTHER, 10.3)
    bench.transactions.receive(packet(1, answer(READ, b"else")), 10.4)
    assert bench.kinds == ["doubled", "late"]


def test_behind_a_converter_two_answers_that_come_together_void_each_other() -> None:
    bench = Bench()
    assert bench.read(answer(READ), answer(READ)) == Silence("timeout", Message("poll-two-answers"), READ)
    assert bench.kinds == ["doubled"]


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("frame", [refuse(Request(2, 3, 100, 2)), answer(Request(2, 3, 100, 2))])
def test_another_unit_neither_answers_nor_refuses(direct: bool, frame: bytes) -> None:
    assert Bench(direct=direct).read(frame) == Silence("timeout", Message("answer-other-unit", unit=2), READ)


def test_a_device_that_repeats_itself_and_a_guard_that_is_off_void_nothing() -> None:
    for bench in (Bench(direct=True), Bench(armed=False)):
        assert isinstance(bench.read(answer(READ)), Answer)
        bench.transactions.receive(packet(1, answer(READ)), 10.2)
        assert bench.transactions.voided == set()
    assert isinstance(Bench(direct=True).read(answer(READ), answer(READ)), Answer)


@pytest.mark.parametrize("direct", [True, False])
def test_an_answer_that_broke_off_does_not_take_the_next_packet_for_its_end(direct: bool) -> None:
    bench = Bench(direct=direct)
    tid = bench.ask()
    bench.transactions.receive(packet(tid, answer(READ))[:9] + packet(tid - 1, refuse(OTHER)), 10.0)
    outcome = bench.transactions.finish(10.1)
    assert outcome == Silence("timeout", Message("answer-part-behind"), READ)
    assert bench.transactions.stale


def test_bytes_behind_an_answer_that_are_no_packet_void_it_and_spoil_the_connection() -> None:
    bench = Bench(direct=True)
    outcome = bench.read(answer(READ))
    assert isinstance(outcome, Answer)
    bench.transactions.receive(b"HTTP", 10.2)
    assert bench.transactions.stale
    assert bench.transactions.voided == set()
    bench.transactions.receive(b"/1.1", 10.2)
    assert bench.transactions.stale
    assert bench.transactions.voided == {outcome.number}


def test_an_exception_may_belong_to_the_question_before() -> None:
    bench = Bench()
    assert bench.read(refuse(READ)) == Refusal(READ, refused(2, 3))
    bench.read()
    assert bench.read(refuse(OTHER), request=OTHER) == Refusal(OTHER, refused(2, 3), doubtful=True)


def test_an_answer_of_another_shape_is_late_or_the_units_fault_and_spoils_the_connection() -> None:
    bench = Bench()
    bench.read()
    for request, frame, kind in ((OTHER, answer(READ), "late"), (OTHER, answer(Request(1, 3, 0, 9)), "mismatched")):
        assert isinstance(bench.read(frame, request=request, now=11.0), Silence)
        assert bench.kinds[-1] == kind
        assert bench.transactions.stale
        bench.transactions.opened()


def test_an_answer_of_wrong_function_over_tcp_is_the_units_fault_each_time() -> None:
    for direct in (False, True):
        bench = Bench(direct=direct)
        for now in (10.0, 11.0, 30.0):
            outcome = bench.read(answer(Request(1, 4, 100, 2)), now=now)
            assert isinstance(outcome, Silence)
            assert "function 4" in str(outcome.detail)
        assert bench.kinds == ["mismatched"] * 3


# What may come: each piece is made for the transaction in flight, the one before, and the data that is right.
Piece = Callable[[int], bytes]


def framed(frame: bytes, back: int = 0) -> Piece:
    return lambda tid: packet(tid - back, frame)


PIECES: dict[str, Piece] = {
    "right": framed(answer(READ)),
    "else": framed(answer(READ, b"else")),
    "before": framed(answer(OTHER), 1),
    "unknown": framed(answer(READ), -7),
    "zero": lambda tid: packet(0, answer(READ)),
    "unit": framed(answer(Request(2, 3, 100, 2))),
    "function": framed(answer(Request(1, 4, 100, 2))),
    "count": framed(answer(OTHER)),
    "odd": framed(Reply(Shape(1, 3, 3), b"abc").encode()),
    "refusal": framed(refuse(READ)),
    "silent": framed(refuse(READ, 0x0B)),
    "misfit": framed(b"\x01\x03\x06abcd\0\0"),
    "identity": framed(b"\x01\x2b\x0e\x04\x83\0\0"),
    "protocol": lambda tid: struct.pack(">HHHBB", tid, 7, 3, 1, 3) + b"\0",
    "empty": lambda tid: struct.pack(">HHHB", tid, 0, 1, 1),
    "bare": lambda tid: struct.pack(">HHHBB", tid, 0, 2, 1, 3),
    "noise": lambda tid: b"HTTP/1.1 400 Bad Request\r\n",
    "begun": lambda tid: packet(tid, answer(READ))[:9],
}


def streamed(names: Sequence[str], cuts: Sequence[int], *, direct: bool, eager: bool) -> tuple[Outcome, Bench]:
    """The same pieces in one stream, cut at these places. ``eager``: the question ends as soon as it is decided."""
    bench = Bench(direct=direct)
    bench.ask(OTHER, 9.0)
    bench.transactions.finish(9.5)
    tid = bench.ask(READ, 10.0)
    stream = b"".join(PIECES[name](tid) for name in names)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    outcome: Outcome | None = None
    for begin, end in pairwise(places):
        bench.transactions.receive(stream[begin:end], 10.1)
        if eager and outcome is None and bench.transactions.decided:
            outcome = bench.transactions.finish(10.1)
    return outcome or bench.transactions.finish(10.1), bench


@given(
    st.lists(st.sampled_from(sorted(PIECES)), max_size=5),
    st.lists(st.integers(0, 200), max_size=8),
    st.booleans(),
)
@example(["right", "else"], [13], False)
@example(["right", "noise"], [13], True)
@example(["before", "right"], [3, 20], True)
@example(["begun", "bare"], [], False)
def test_wherever_the_stream_is_cut_the_outcome_is_the_same(names: list[str], cuts: list[int], direct: bool) -> None:
    whole, one = streamed(names, [], direct=direct, eager=False)
    outcome, other = streamed(names, cuts, direct=direct, eager=False)
    assert outcome == whole
    assert other.seen == one.seen
    assert other.transactions.stale == one.transactions.stale
    assert other.transactions.voided == one.transactions.voided == set()
    first = next((name for name in names if name not in ("before", "unknown", "zero")), "")
    if isinstance(whole, Answer):
        assert (first, whole.data) in (("right", b"\0\x64\0\x65"), ("else", b"else"))


@given(
    st.lists(st.sampled_from(sorted(PIECES)), max_size=5),
    st.lists(st.integers(0, 200), max_size=8),
    st.booleans(),
)
@example(["right", "else"], [13], False)
@example(["begun", "bare"], [13], True)
def test_an_answer_that_was_taken_early_stands_or_is_void(names: list[str], cuts: list[int], direct: bool) -> None:
    whole, _ = streamed(names, [], direct=direct, eager=False)
    early, bench = streamed(names, cuts, direct=direct, eager=True)
    doubtful = early.number in bench.transactions.voided if isinstance(early, Answer) else False
    assert early == whole or doubtful or bench.transactions.stale
