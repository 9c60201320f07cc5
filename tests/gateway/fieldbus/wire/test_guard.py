"""The guard's rules one by one: bytes and times in, decisions out. All times are in seconds of a made-up clock."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Reply, Request, Shape, crc
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.framing import NO_TEXTS, Texts
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import NO_FRAME, Answer, ObservedFrame, Outcome, Refusal, Silence
from gateway.messages.message import Message

LIFE, T35 = 3.0, 0.004
TWO, THREE = Request(1, 3, 0, 2), Request(1, 3, 0, 3)


def reply(request: Request, fill: int = 0x41) -> bytes:
    return Reply(request.key, bytes([fill] * request.key.byte_count)).encode()


def exception(unit: int, function: int, code: int) -> bytes:
    return Reply(Shape(unit, function, -1), b"", code).encode()


def broken(frame: bytes) -> bytes:
    return frame[:-3] + bytes([frame[-3] ^ 0x10]) + frame[-2:]


class Bench:
    """A guard with its table and a list of what it saw."""

    def __init__(self, *, echo: str = "off", armed: bool = True, texts: Texts = NO_TEXTS) -> None:
        self.seen: list[ObservedFrame] = []
        self.table = KeyTable(LIFE, armed=armed)
        self.guard = Guard(RTU, self.table, T35, self.seen.append, echo=echo, texts=texts)

    def read(
        self, request: Request, now: float, *chunks: tuple[float, bytes], leading: bool = False, end: float = 0.5
    ) -> Outcome:
        """Ask at ``now``, out 10 ms later; chunks come so long after ``now``; ends when decided or at ``end``."""
        self.guard.ask(request, now, leading=leading)
        self.guard.sent(now + 0.01)
        for after, data in chunks:
            self.guard.receive(data, now + after)
            if self.guard.decided:
                return self.guard.finish(now + after)
        return self.guard.finish(now + end)

    @property
    def kinds(self) -> list[str]:
        return [seen.kind for seen in self.seen]


def test_the_answer_of_exactly_this_shape_is_taken() -> None:
    outcome = Bench().read(TWO, 10.0, (0.05, reply(TWO)))
    assert outcome == Answer(TWO, b"AAAA", 10.05, 1, reply(TWO))
    assert isinstance(outcome, Answer)
    assert outcome.raw() == (0x4141, 0x4141)


@pytest.mark.parametrize("cut", range(1, 9))
def test_an_answer_may_be_split_anywhere(cut: int) -> None:
    frame = reply(TWO)
    outcome = Bench().read(TWO, 10.0, (0.05, frame[:cut]), (0.07, frame[cut:]))
    assert outcome == Answer(TWO, b"AAAA", 10.07, 1, reply(TWO))


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (reply(Request(2, 3, 0, 2)), "foreign"),
        (reply(Request(1, 4, 0, 2)), "foreign"),
        (reply(Request(1, 3, 0, 9)), "foreign"),
        (exception(2, 3, 2), "foreign"),
        (exception(1, 4, 2), "foreign"),
        (Request(7, 3, 0, 1).frame, "foreign"),
        (bytes.fromhex("07 10 00 01 00 01 02 AA BB") + crc(bytes.fromhex("07 10 00 01 00 01 02 AA BB")), "foreign"),
    ],
    ids=["unit", "function", "count", "exception of another unit", "of another function", "question", "a write"],
)
def test_a_frame_of_another_shape_is_not_the_answer_and_listening_goes_on(other: bytes, kind: str) -> None:
    bench = Bench()
    outcome = bench.read(TWO, 10.0, (0.03, other), (0.06, reply(TWO)))
    assert isinstance(outcome, Answer)
    assert bench.kinds == [kind]
    bench = Bench()
    assert bench.read(TWO, 10.0, (0.03, other + reply(TWO))) == Answer(TWO, b"AAAA", 10.03, 1, reply(TWO))
    bench = Bench()
    silence = bench.read(TWO, 10.0, (0.03, other))
    assert isinstance(silence, Silence)
    assert silence.reason == "timeout"


def test_a_late_answer_of_another_shape_is_late_and_the_true_one_is_taken() -> None:
    bench = Bench()
    assert isinstance(bench.read(TWO, 10.0), Silence)
    outcome = bench.read(THREE, 10.6, (0.02, reply(TWO, 0x66)), (0.05, reply(THREE)))
    assert isinstance(outcome, Answer)
    assert outcome.question == THREE
    assert bench.seen[0].kind == "late"
    assert bench.seen[0].key == TWO.key
    assert bench.seen[0].latency_s == pytest.approx(0.62)


def test_no_shape_is_asked_again_within_its_answer_life() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)  # silent until 10.5: burnt until 13.5
    assert bench.guard.choose([TWO], 13.49) is None
    assert bench.guard.choose([TWO, THREE], 13.49) == THREE
    assert bench.guard.choose([TWO], 13.5) == TWO
    bench.read(TWO, 13.5, (0.05, reply(TWO)))
    assert bench.guard.choose([TWO], 16.5) is None, "an answered shape rests as well"
    assert bench.guard.choose([TWO], 16.56) == TWO


def test_a_late_answer_burns_its_shape_anew() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    bench.guard.receive(reply(TWO), 12.0)
    assert bench.kinds == ["late"]
    assert bench.guard.choose([TWO], 14.9) is None
    assert bench.guard.choose([TWO], 15.0) == TWO


def test_other_units_go_on_after_a_time_out() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    assert bench.guard.choose([Request(2, 3, 0, 2)], 10.51) == Request(2, 3, 0, 2)


def test_bytes_that_wait_before_sending_are_classified_and_never_answer() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    bench.guard.receive(reply(TWO), 10.7)
    bench.guard.receive(reply(Request(9, 3, 0, 2)), 10.8)
    outcome = bench.read(THREE, 11.0)
    assert isinstance(outcome, Silence)
    assert bench.kinds == ["late", "foreign"]


def test_a_frame_that_had_begun_before_sending_is_noise() -> None:
    bench = Bench()
    bench.guard.receive(reply(TWO)[:6], 9.9)
    assert not bench.guard.between_frames
    bench.guard.ask(TWO, 10.0)
    bench.guard.sent(10.01)
    assert bench.kinds == ["noise"]
    bench.guard.receive(reply(TWO)[6:] + reply(TWO), 10.05)
    assert isinstance(bench.guard.finish(10.5), Silence), "the tail of the old frame is noise, and what follows it too"


def test_a_byte_before_the_request_is_out_voids_the_read() -> None:
    bench = Bench()
    outcome = bench.read(TWO, 10.0, (0.005, reply(TWO)[:1]), (0.02, reply(TWO)[1:]))
    assert outcome == Silence("timeout", Message("answer-early"), TWO)


def test_a_second_frame_of_the_same_shape_voids_the_first() -> None:
    bench = Bench()
    first = bench.read(TWO, 10.0, (0.05, reply(TWO, 1)))
    assert isinstance(first, Answer)
    bench.guard.receive(reply(TWO, 2), 10.06)
    assert bench.guard.voided == {first.number}
    assert bench.kinds == ["doubled"]


def test_a_second_frame_in_one_burst_voids_the_first() -> None:
    bench = Bench()
    first = bench.read(TWO, 10.0, (0.05, reply(TWO, 1) + reply(TWO, 2)))
    assert isinstance(first, Answer)
    assert bench.guard.voided == {first.number}


def test_after_the_next_request_a_second_frame_is_only_late() -> None:
    bench = Bench()
    bench.read(TWO, 10.0, (0.05, reply(TWO, 1)))
    outcome = bench.read(THREE, 10.1, (0.02, reply(TWO, 2)), (0.05, reply(THREE)))
    assert isinstance(outcome, Answer)
    assert bench.guard.voided == set()
    assert bench.kinds == ["late"]


def test_a_damaged_answer_ends_the_read_and_is_never_a_value() -> None:
    bench = Bench()
    outcome = bench.read(TWO, 10.0, (0.05, broken(reply(TWO))), (0.06, reply(TWO)))
    assert outcome == Silence("timeout", Message("answer-crc"), TWO)
    assert bench.kinds == ["damaged"]


def test_a_damaged_late_frame_costs_only_itself() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    outcome = bench.read(THREE, 10.6, (0.02, broken(reply(TWO)) + reply(THREE)))
    assert isinstance(outcome, Answer)
    assert bench.kinds == ["damaged"]


def test_nothing_is_searched_inside_noise() -> None:
    bench = Bench()
    noise = bytes.fromhex("63 63 63")
    outcome = bench.read(TWO, 10.0, (0.05, noise + reply(TWO)))
    assert outcome == Silence("timeout", NO_FRAME, TWO)
    assert bench.kinds == ["noise"]


def test_after_a_silence_the_line_is_heard_again() -> None:
    bench = Bench()
    noise = bytes.fromhex("63 63 63")
    outcome = bench.read(TWO, 10.0, (0.05, noise), (0.06, reply(TWO)))
    assert isinstance(outcome, Answer)


@pytest.mark.parametrize("head", [b"\x00", b"\xff", b"\x00\xff\x00"])
def test_lone_bytes_before_an_answer_are_taken_off_where_the_profile_says_so(head: bytes) -> None:
    assert isinstance(Bench().read(TWO, 10.0, (0.05, head + reply(TWO)), leading=True), Answer)
    assert isinstance(Bench().read(TWO, 10.0, (0.05, head), (0.06, reply(TWO)), leading=True), Answer)
    assert isinstance(Bench().read(TWO, 10.0, (0.05, head + reply(TWO))), Silence)


def test_an_answer_that_breaks_off_is_silence() -> None:
    outcome = Bench().read(TWO, 10.0, (0.05, reply(TWO)[:5]))
    assert outcome == Silence("timeout", Message("answer-broken-off", n=5), TWO)


def test_an_exception_is_matched_by_unit_and_function() -> None:
    bench = Bench()
    assert bench.read(TWO, 10.0, (0.05, exception(1, 3, 2))) == Refusal(TWO, refused(2, 3))
    assert bench.guard.choose([TWO], 12.0) is None, "its shape rests like any other"


def test_an_exception_after_a_silence_may_belong_to_the_earlier_question() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    assert bench.read(THREE, 10.6, (0.05, exception(1, 3, 2))) == Refusal(THREE, refused(2, 3), doubtful=True)


@pytest.mark.parametrize("code", [0x0A, 0x0B])
def test_a_gateway_that_got_no_answer_is_a_time_out(code: int) -> None:
    outcome = Bench().read(TWO, 10.0, (0.05, exception(1, 3, code)))
    assert isinstance(outcome, Silence)
    assert outcome.reason == "timeout"


def test_an_identification_answer_is_taken_whatever_its_length() -> None:
    question = Request(1, 43, 0, 4)
    frame = Reply(Shape(1, 43, -1), bytes.fromhex("0E 04 83 00 00 01 00 03") + b"abc").encode()
    for cut in range(1, len(frame)):
        outcome = Bench().read(question, 10.0, (0.05, frame[:cut]), (0.06, frame[cut:]))
        assert isinstance(outcome, Answer)
        assert outcome.data.endswith(b"\x00\x03abc")


def test_an_identification_answer_of_another_kind_is_noise_and_does_not_hold_the_line_up() -> None:
    question = Request(1, 43, 0, 4)
    body = bytes.fromhex("01 2B 0D 04 83 00 00 01 00 03") + b"abc"
    outcome = Bench().read(question, 10.0, (0.05, body + crc(body)))
    assert outcome == Silence("timeout", NO_FRAME, question)


def test_an_echo_is_stripped_and_must_be_exact() -> None:
    bench = Bench(echo="on")
    frame = TWO.frame
    outcome = bench.read(TWO, 10.0, (0.004, frame[:5]), (0.012, frame[5:] + reply(TWO)[:2]), (0.02, reply(TWO)[2:]))
    assert isinstance(outcome, Answer)
    assert bench.seen == []
    bench = Bench(echo="on")
    collision = frame[:4] + b"\x55" + frame[5:]
    outcome = bench.read(TWO, 10.0, (0.012, collision), (0.03, reply(TWO)))
    assert isinstance(outcome, Silence)
    assert "echo" in str(outcome.detail)


def test_whether_a_line_echoes_is_found_out_from_the_first_read() -> None:
    for cut in range(1, 16):
        bench = Bench(echo="auto")
        wire = TWO.frame + reply(TWO)
        assert isinstance(bench.read(TWO, 10.0, (0.009, wire[:cut]), (0.02, wire[cut:])), Answer) or cut > 8
        bench = Bench(echo="auto")
        wire = reply(TWO)
        assert isinstance(bench.read(TWO, 10.0, (0.02, wire[:cut]), (0.03, wire[cut:])), Answer)
        assert bench.seen == []


def test_an_echo_without_an_answer_decides_as_well() -> None:
    bench = Bench(echo="auto")
    assert bench.read(TWO, 10.0, (0.005, TWO.frame)) == Silence("timeout", Message("answer-none"), TWO)
    outcome = bench.read(THREE, 11.0, (0.02, reply(THREE)))
    assert isinstance(outcome, Silence), "from now on the echo must be there"
    assert bench.kinds == ["late"]
    assert bench.seen[0].data == reply(THREE)


def test_a_line_that_answered_without_an_echo_has_none() -> None:
    bench = Bench(echo="auto")
    bench.read(TWO, 10.0, (0.02, reply(TWO)))
    other = Request(1, 3, 7, 3)
    assert isinstance(bench.read(THREE, 11.0, (0.02, other.frame)), Silence)
    assert bench.kinds == ["foreign"], "a question that is not ours is another master's"


def test_bytes_that_only_began_like_an_echo_are_heard_as_what_they_are() -> None:
    bench = Bench(echo="auto")
    question = Request(1, 3, 0x0400, 2)  # its frame and its answer begin with the same three bytes
    assert isinstance(bench.read(question, 10.0, (0.02, reply(question)[:3]), (0.03, reply(question)[3:])), Answer)
    outcome = Bench(echo="auto").read(question, 10.0, (0.02, reply(question)[:3]))
    assert outcome == Silence("timeout", Message("answer-broken-off", n=3), question)


def test_bytes_before_the_request_is_out_are_the_echo_or_void_the_read() -> None:
    bench, wire = Bench(echo="auto"), reply(TWO)
    outcome = bench.read(TWO, 10.0, (0.005, wire[:2]), (0.02, wire[2:]))
    assert outcome == Silence("timeout", Message("answer-early"), TWO)


def test_until_the_echo_is_decided_a_read_that_answers_itself_is_not_asked() -> None:
    question = Request(1, 2, 0x0310, 24)  # 01 02 03 10 00 18 … is also an answer of 3 bytes
    other = Request(1, 2, 0x0310, 32)
    bench = Bench(echo="auto")
    assert bench.guard.choose([question, other], 10.0) == other
    bench.read(TWO, 10.0, (0.02, reply(TWO)))
    assert bench.guard.choose([question, other], 11.0) == question


def test_an_echo_that_could_be_an_answer_is_none() -> None:
    question = Request(1, 2, 0x0310, 24)  # 01 02 03 10 00 18 … is also an answer of 3 bytes
    bench = Bench(echo="on")
    outcome = bench.read(question, 10.0, (0.012, question.frame))
    assert outcome == Silence("timeout", Message("answer-none"), question)


@pytest.mark.parametrize("echo", ["off", "auto", "on"])
@pytest.mark.parametrize("cut", [8, 9])
def test_a_question_that_comes_back_and_a_stray_byte_are_no_answer(echo: str, cut: int) -> None:
    question = Request(1, 4, 0x0400, 2)  # 01 04 04 00 00 02 70 FB, and 00 behind it: an answer of 4 bytes
    stream = question.frame + b"\x00"
    outcome = Bench(echo=echo).read(question, 10.0, (0.02, stream[:cut]), (0.03, stream[cut:]))
    assert isinstance(outcome, Silence)


def test_without_the_guard_a_late_answer_is_taken_for_the_next() -> None:
    """What every other gateway does; the switch exists to show it."""
    bench = Bench(armed=False)
    bench.read(TWO, 10.0)
    other = Request(1, 3, 100, 2)
    assert bench.guard.choose([other, Request(1, 3, 100, 3)], 10.6) == other
    outcome = bench.read(other, 10.6, (0.05, reply(TWO, 0x66)))
    assert isinstance(outcome, Answer)
    assert outcome.data == b"ffff"


def seen_alone(table: KeyTable, frames: Sequence[bytes], now: float) -> list[str]:
    seen: list[ObservedFrame] = []
    Guard(RTU, table, T35, seen.append).receive(b"".join(frames), now)
    return [s.kind for s in seen]


def test_an_answer_older_than_its_life_is_foreign() -> None:
    table = KeyTable(LIFE)
    table.use(TWO.key, 10.0)
    assert seen_alone(table, [reply(TWO)], 12.9) == ["late"]
    assert seen_alone(table, [reply(TWO)], 16.0) == ["foreign"]


def test_after_a_restart_every_shape_rests() -> None:
    table = KeyTable(LIFE, {2: 10.0}, used_until=10.0)
    assert table.choose([TWO, THREE], 12.9) is None
    assert table.choose([TWO, THREE], 13.0) == TWO
    assert table.choose([Request(2, 3, 0, 1)], 19.9) is None
    assert table.longest == 10.0


def test_a_strangers_shape_is_avoided_for_an_hour() -> None:
    table = KeyTable(LIFE)
    table.avoid(TWO.key, 10.0)
    assert table.choose([TWO, THREE], 20.0) == THREE
    assert table.choose([TWO], 10.0 + 3599) is None
    assert table.avoided(1, 10.0 + 3599) == {(3, 4)}
    assert table.avoided(2, 20.0) == table.avoided(1, 10.0 + 3600) == frozenset()
    assert table.choose([TWO], 10.0 + 3600) == TWO


MINE, THEIRS = Request(1, 3, 100, 3), Request(1, 3, 500, 3)  # one shape


def test_another_masters_question_foretells_the_shape_of_its_answer() -> None:
    seen: list[ObservedFrame] = []
    guard = Guard(RTU, KeyTable(0.1), 0.002, seen.append)
    guard.receive(THEIRS.frame, 1.0)
    assert [s.key for s in seen] == [THEIRS.key]
    assert guard.choose([MINE], 1.01) is None


def test_more_answers_than_questions_can_have_are_another_masters() -> None:
    bench = Bench()
    assert isinstance(bench.read(TWO, 10.0, (0.05, reply(TWO))), Answer)
    bench.guard.receive(reply(TWO), 10.1)
    bench.guard.receive(reply(TWO), 10.2)
    bench.guard.receive(reply(TWO), 12.0)
    assert bench.kinds == ["doubled", "foreign", "foreign"]
    assert bench.seen[1].latency_s is None, "nothing is to be learned from them"
    assert bench.guard.choose([TWO], 14.9) is None, "and each burns its shape anew"


def test_late_answers_to_several_questions_may_come_in_one_burst() -> None:
    bench = Bench()
    for start in (10.0, 14.0, 18.0):
        assert isinstance(bench.read(TWO, start), Silence)
    bench.guard.receive(6 * reply(TWO), 19.0)
    assert bench.kinds == ["late"] * 6, "each may come twice"
    bench.guard.receive(reply(TWO), 19.1)
    assert bench.kinds[6:] == ["foreign"]


def test_another_masters_question_of_our_shape_voids_ours() -> None:
    guard = Guard(RTU, KeyTable(0.1), 0.002, lambda seen: None)
    guard.ask(MINE, 1.0)
    guard.sent(1.0)
    guard.receive(THEIRS.frame, 1.005)
    guard.receive(reply(THEIRS), 1.01)
    assert isinstance(guard.finish(1.02), Silence)


def test_a_void_read_keeps_the_line_until_its_answer_came_or_cannot_come() -> None:
    bench = Bench()
    bench.guard.ask(TWO, 10.0)
    bench.guard.sent(10.01)
    bench.guard.receive(reply(TWO)[:1], 10.005)
    assert not bench.guard.decided, "its answer is on the wire"
    bench.guard.receive(reply(TWO)[1:], 10.02)
    assert bench.guard.decided
    assert bench.guard.finish(10.02) == Silence("timeout", Message("answer-early"), TWO)
    assert bench.kinds == ["late"]


@pytest.mark.parametrize("damaged", [False, True])
def test_another_masters_answer_is_waited_for_until_it_came(damaged: bool) -> None:
    bench = Bench()
    bench.guard.receive(THEIRS.frame, 10.0)
    assert bench.guard.awaited == (THEIRS.key, 10.0)
    bench.guard.receive(reply(Request(2, 3, 0, 1)), 10.1)
    assert bench.guard.awaited, "that was another one's"
    bench.guard.receive(broken(reply(THEIRS)) if damaged else reply(THEIRS), 10.2)
    assert bench.guard.awaited is None


def test_an_exception_answers_another_masters_question_too() -> None:
    bench = Bench()
    bench.guard.receive(THEIRS.frame, 10.0)
    bench.guard.receive(exception(1, 3, 2), 10.1)
    assert bench.guard.awaited is None


def test_two_answers_are_to_come_when_another_master_asks_in_our_shape_at_the_same_time() -> None:
    bench = Bench()
    bench.guard.ask(MINE, 10.0)
    bench.guard.sent(10.01)
    bench.guard.receive(THEIRS.frame, 10.02)
    assert not bench.guard.decided
    bench.guard.receive(reply(THEIRS), 10.05)
    assert (bench.guard.decided, bench.guard.awaited is None) == (True, False)
    bench.guard.receive(reply(MINE), 10.1)
    assert bench.guard.awaited is None


OTHER_FUNCTION, LONGER = reply(Request(1, 4, 0, 2)), reply(Request(1, 3, 0, 9))


@pytest.mark.parametrize("wrong", [OTHER_FUNCTION, LONGER, exception(1, 4, 2)], ids=["function", "length", "exception"])
def test_an_answer_of_wrong_function_or_length_in_place_of_ours_is_the_units_fault(wrong: bytes) -> None:
    bench = Bench()
    for start in (10.0, 12.0, 20.0):
        outcome = bench.read(TWO if start != 12.0 else THREE, start, (0.05, wrong))
        assert isinstance(outcome, Silence)
        assert (outcome.reason, outcome.detail) == ("timeout", Message("answer-mismatched"))
    assert bench.kinds == ["mismatched"] * 3
    shape = bench.seen[0].key
    assert isinstance(shape, Shape)
    assert shape.unit == 1
    asked_so = Request(1, shape.function, 0, shape.byte_count // 2)
    assert shape.byte_count < 0 or bench.guard.choose([asked_so], 22.9) is None, "its shape rests"


def test_what_comes_beside_our_own_answer_or_when_nothing_was_asked_is_a_strangers() -> None:
    bench = Bench()
    assert isinstance(bench.read(TWO, 10.0, (0.05, OTHER_FUNCTION), (0.06, reply(TWO))), Answer)
    bench.guard.receive(OTHER_FUNCTION, 12.0)
    bench.read(THREE, 14.0, *((0.03, OTHER_FUNCTION),) * 3)
    assert bench.kinds == ["foreign", "late", *["foreign"] * 3], "one answer may come twice, and no more"


def test_what_a_heard_question_foretells_is_a_strangers() -> None:
    bench = Bench()
    bench.guard.receive(Request(1, 4, 300, 2).frame, 10.0)
    assert isinstance(bench.read(TWO, 10.1, (0.05, OTHER_FUNCTION)), Silence)
    assert isinstance(bench.read(TWO, 14.1, (0.03, Request(1, 4, 300, 9).frame), (0.05, LONGER)), Silence)
    assert bench.kinds == ["foreign"] * 4


def test_an_answer_that_we_asked_for_before_is_late_and_no_fault() -> None:
    bench = Bench()
    bench.read(THREE, 10.0)
    bench.read(TWO, 11.0, (0.05, reply(THREE)))
    assert bench.kinds == ["late"]


def test_a_question_whose_address_looks_like_a_byte_count_foretells_its_answer_as_any_other() -> None:
    seen: list[ObservedFrame] = []
    guard = Guard(RTU, KeyTable(LIFE), T35, seen.append)
    guard.receive(Request(1, 3, 0x03F2, 4).frame, 10.0)
    assert seen[0].key == Shape(1, 3, 8)
    assert guard.choose([Request(1, 3, 0, 4)], 10.1) is None
    assert guard.choose([Request(1, 3, 0, 9)], 10.1) is not None


@pytest.mark.parametrize("address", [0x03F2, 0x06F2], ids=["as long as", "longer than"])
def test_a_question_is_heard_each_time_though_it_begins_as_an_answer_of_a_known_shape(address: int) -> None:
    bench, theirs = Bench(), Request(1, 3, address, 4)
    bench.table.use(Shape(1, 3, address >> 8), 9.0)
    for start in (10.0, 20.0):
        bench.guard.receive(theirs.frame, start)
        bench.guard.receive(reply(theirs), start + 0.05)
    assert bench.kinds == ["foreign"] * 4
    assert {seen.key for seen in bench.seen} == {theirs.key}
    assert all(seen.latency_s is None for seen in bench.seen), "nothing is to be learned from them"


DTU = Texts([b"DTU0001", b"\xfe\xfe", b"DTU0001 alive\r\n"])


@pytest.mark.parametrize(
    "before", [b"", b"DTU0001", b"DTU0001 alive\r\n", b"\xfe\xfe", b"DTU0001DTU0001 alive\r\n\xfe\xfe"]
)
@pytest.mark.parametrize("behind", [b"", b"DTU0001 alive\r\n"])
def test_texts_of_a_dtu_are_skipped_between_frames_and_end_where_they_end(before: bytes, behind: bytes) -> None:
    bench = Bench(texts=DTU)
    outcome = bench.read(TWO, 10.0, (0.05, before + reply(TWO) + behind))
    assert outcome == Answer(TWO, b"AAAA", 10.05, 1, reply(TWO))
    assert bench.read(THREE, 20.0, (0.05, reply(THREE))) == Answer(THREE, b"AAAAAA", 20.05, 2, reply(THREE))
    assert bench.kinds == []


def test_a_text_may_be_split_anywhere() -> None:
    sent = b"DTU0001 alive\r\n" + reply(TWO)
    for cut in range(1, len(sent)):
        bench = Bench(texts=DTU)
        assert isinstance(bench.read(TWO, 10.0, (0.05, sent[:cut]), (0.06, sent[cut:])), Answer), cut
        assert bench.kinds == []


def test_a_text_within_a_frame_is_part_of_it_and_one_that_is_not_known_is_noise() -> None:
    bench = Bench(texts=DTU)
    frame = Reply(TWO.key, b"\xfe\xfeDT").encode()
    assert bench.read(TWO, 10.0, (0.05, frame)) == Answer(TWO, b"\xfe\xfeDT", 10.05, 1, frame)
    assert isinstance(bench.read(THREE, 20.0, (0.05, b"DTU0002" + reply(THREE))), Silence)
    assert bench.kinds == ["noise"]
