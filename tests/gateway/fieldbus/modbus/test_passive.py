"""Passive pairing, rule by rule: bytes of a line on which another master asks, and which answers count."""

from __future__ import annotations

import pickle

import pytest

from gateway.fieldbus.modbus.frames import Reply, Request, crc
from gateway.fieldbus.modbus.owed_answers import OwedAnswers
from gateway.fieldbus.modbus.passive import DOUBTFUL, LATE, UNANSWERED, Event, Exchange, Pairing, Write
from gateway.fieldbus.wire.keys import KeyTable
from ledger_client.formats.senml import Quality

LIFE, TIMEOUT, UNENDED = 3.0, 0.5, 2.0
VOLTAGE, POWER, LONGER = Request(1, 4, 0, 2), Request(1, 4, 12, 2), Request(1, 4, 0, 10)
OTHER = Request(2, 4, 0, 2)


def reply(request: Request, fill: int = 0x41) -> bytes:
    return Reply(request.key, bytes([fill] * request.key.byte_count)).encode()


def framed(text: str) -> bytes:
    body = bytes.fromhex(text)
    return body + crc(body)


def broken(frame: bytes) -> bytes:
    return frame[:2] + bytes([frame[2] ^ 0x10]) + frame[3:]


class Listener:
    """A pairing, in step after one exchange of a unit that no test asks, and what it has reported since."""

    def __init__(self, *, in_step: bool = True) -> None:
        self.pairing = Pairing(KeyTable(LIFE), lambda unit: TIMEOUT, UNENDED)
        self.events: list[Event] = []
        if in_step:
            first = Request(99, 3, 0, 1)
            self.pairing.receive(first.frame, 0.0)
            assert len(self.pairing.receive(reply(first), 0.1)) == 1

    def hear(self, at: float, *frames: bytes) -> None:
        for frame in frames:
            self.events += self.pairing.receive(frame, at)

    def asks(self, at: float, request: Request, fill: int = 0x41, *, after: float = 0.02) -> Exchange:
        """One exchange; gives what was reported of it."""
        self.hear(at, request.frame)
        before = len(self.events)
        self.hear(at + after, reply(request, fill))
        (exchange,) = self.events[before:]
        assert isinstance(exchange, Exchange)
        return exchange

    @property
    def taken(self) -> list[tuple[Request, int]]:
        return [(e.question, e.data[0]) for e in self.events if isinstance(e, Exchange) and e.refused is None]


def test_a_question_and_the_very_next_frame_of_its_key_are_a_pair() -> None:
    line = Listener()
    exchange = line.asks(1.0, VOLTAGE, 7)
    assert exchange == Exchange(VOLTAGE, bytes([7] * 4), None, 1.0, 1.02)


@pytest.mark.parametrize("pieces", [1, 3, 7, 40])
def test_it_makes_no_difference_how_the_bytes_arrive(pieces: int) -> None:
    line = Listener()
    stream = b"".join(q.frame + reply(q, n) for n, q in enumerate((VOLTAGE, OTHER, LONGER)))
    for place in range(0, len(stream), pieces):
        line.hear(1.0 + place / 10_000, stream[place : place + pieces])
    assert line.taken == [(VOLTAGE, 0), (OTHER, 1), (LONGER, 2)]


def test_a_late_answer_never_becomes_the_next_questions() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame)
    line.hear(1.5, POWER.frame, reply(VOLTAGE, 1))  # the master gave up on the voltage; that is what comes
    line.hear(1.6, VOLTAGE.frame, reply(POWER, 2))
    assert line.taken == []
    assert [e.refused for e in line.events if isinstance(e, Exchange)] == [UNANSWERED, DOUBTFUL, DOUBTFUL]


def test_the_key_is_void_for_one_answer_life_and_keeps_step() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame)
    assert line.asks(2.0, OTHER).refused is None
    assert line.asks(3.9, VOLTAGE).refused is DOUBTFUL  # void until 5.0, since the next question was heard at 2.0
    assert line.asks(4.0, LONGER).refused is None  # another key of the same unit
    assert line.asks(5.1, VOLTAGE).refused is None


def test_a_void_key_that_alone_is_asked_on_and_on_stays_void() -> None:
    """Each answer may be that of the question before, for ever: nothing on the wire tells."""
    line = Listener()
    line.hear(1.0, VOLTAGE.frame)
    for n in range(40):
        assert line.asks(1.2 + n * 0.2, VOLTAGE).refused is DOUBTFUL
    assert line.asks(9.2 + TIMEOUT, VOLTAGE).refused is DOUBTFUL  # the last of them counts for its life
    assert line.asks(9.3 + TIMEOUT + LIFE, VOLTAGE).refused is None


def test_an_answer_later_than_the_time_out_is_no_pair() -> None:
    line = Listener()
    assert line.asks(1.0, VOLTAGE, after=TIMEOUT + 0.1).refused is LATE
    assert line.asks(2.0, VOLTAGE).refused is DOUBTFUL


def test_a_process_that_reads_late_counts_a_question_from_when_it_may_have_come() -> None:
    line = Listener()
    line.events += line.pairing.receive(VOLTAGE.frame, 2.0, since=1.2)
    line.events += line.pairing.receive(reply(VOLTAGE), 2.01, since=2.0)
    assert [e.refused for e in line.events if isinstance(e, Exchange)] == [LATE]


def test_a_byte_between_voids_the_pair_and_step_is_found_again() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, b"\x00", reply(VOLTAGE))
    assert line.taken == []
    assert line.asks(1.2, OTHER, 5).refused is None
    assert line.asks(1.3, VOLTAGE).refused is DOUBTFUL


def test_a_stray_byte_between_two_exchanges_costs_nothing() -> None:
    line = Listener()
    for n in range(5):
        line.hear(1.0 + n, b"\x00")
        assert line.asks(1.1 + n, VOLTAGE).refused is None


def test_a_damaged_answer_voids_its_pair_and_keeps_step() -> None:
    line = Listener()
    answer = reply(VOLTAGE)
    line.hear(1.0, VOLTAGE.frame, answer[:-1] + bytes([answer[-1] ^ 1]))
    assert [e.refused for e in line.events if isinstance(e, Exchange)] == [UNANSWERED]
    assert line.asks(1.1, OTHER).refused is None
    assert line.pairing.counts["damaged"] == 1


@pytest.mark.parametrize("missing", range(3, 12))
def test_an_answer_of_which_bytes_are_lost_does_not_swallow_the_next_question(missing: int) -> None:
    line = Listener()
    line.hear(1.0, LONGER.frame, reply(LONGER)[:-missing])
    line.hear(1.1, VOLTAGE.frame)
    line.hear(1.7, POWER.frame, reply(VOLTAGE, 1))  # the master gave up on the voltage; that is what comes
    assert line.taken == []


def test_a_damaged_question_is_no_damaged_answer_to_the_one_before() -> None:
    """`02 02 03 …`, but for its first byte, begins as an answer of three bytes of bits and is as long."""
    line, before, again = Listener(), Request(1, 2, 0, 24), Request(1, 2, 0x0300, 24)
    for n, damaged in enumerate((b"\x41" + again.frame[1:], again.frame[:-1] + b"\x00")):
        at = 1.0 + 4 * n * LIFE
        line.hear(at, before.frame)
        line.hear(at + 0.6, damaged)
        questions = [before, again] * 10
        late = [before, *questions]  # each answer comes behind the next question
        for k, (question, answered) in enumerate(zip(questions, late, strict=False)):
            line.hear(at + 1.2 + 0.4 * k, question.frame, reply(answered, 0x90 + k))
    assert line.taken == []


def test_a_damaged_question_costs_only_its_own_pair_when_its_answer_is_heard() -> None:
    line = Listener()
    line.hear(1.0, broken(VOLTAGE.frame), reply(VOLTAGE))
    assert line.taken == []
    assert line.asks(1.1, VOLTAGE, 9).refused is None


def test_a_damaged_question_without_its_answer_may_have_been_any() -> None:
    line = Listener()
    line.hear(1.0, broken(VOLTAGE.frame))
    line.hear(1.5, POWER.frame, reply(VOLTAGE, 1))  # late, to the damaged one
    assert line.taken == []
    assert line.asks(2.0, OTHER).refused is DOUBTFUL  # that may have been the damaged one's: this one's own may come
    assert line.asks(1.6 + LIFE, OTHER).refused is DOUBTFUL
    assert line.asks(5.0 + LIFE, OTHER).refused is None


def test_a_damaged_question_that_is_known_but_for_one_byte_is_that_question() -> None:
    line = Listener()
    line.asks(1.0, VOLTAGE)
    line.hear(1.1, broken(VOLTAGE.frame))
    assert line.asks(1.5, OTHER).refused is None
    assert line.asks(1.6, VOLTAGE).refused is DOUBTFUL


def test_a_listener_that_starts_in_the_middle_takes_the_first_whole_pair() -> None:
    line = Listener(in_step=False)
    line.hear(1.0, reply(LONGER)[5:])
    line.hear(1.1, VOLTAGE.frame, reply(VOLTAGE, 3))
    assert line.taken == [(VOLTAGE, 3)]


def test_a_question_found_in_the_search_without_its_answer_voids_its_key() -> None:
    line = Listener(in_step=False)
    line.hear(1.0, b"\x07\x07\x07", VOLTAGE.frame)
    line.hear(1.5, POWER.frame, reply(VOLTAGE))
    assert line.taken == []


def test_an_unended_frame_is_given_up() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, reply(VOLTAGE)[:6])
    assert line.pairing.expire(1.0 + UNENDED - 0.1) == []
    (exchange,) = line.pairing.expire(1.0 + UNENDED)
    assert isinstance(exchange, Exchange)
    assert exchange.refused is UNANSWERED


def test_an_exception_closes_the_pair_as_a_refusal() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, framed("01 84 02"))
    (exchange,) = line.events
    assert isinstance(exchange, Exchange)
    assert exchange.refused is not None
    assert (exchange.refused.code, exchange.refused.flag) == (2, Quality.NOT_FOUND)
    assert line.asks(1.1, VOLTAGE).refused is None


def test_an_exception_after_an_unanswered_question_of_the_function_is_doubtful() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame)
    line.hear(1.5, LONGER.frame, framed("01 84 02"))
    assert [e.refused for e in line.events if isinstance(e, Exchange)] == [UNANSWERED, DOUBTFUL]


def test_a_converter_that_got_no_answer_says_so() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, framed("01 84 0B"))
    assert [e.refused for e in line.events if isinstance(e, Exchange)] == [UNANSWERED]
    assert line.asks(1.1, VOLTAGE).refused is DOUBTFUL


@pytest.mark.parametrize(
    ("question", "answer", "write"),
    [
        ("01 05 00 07 FF 00", "01 05 00 07 FF 00", Write(1, 5, 7, 1.0)),
        ("01 06 00 10 00 03", "01 06 00 10 00 03", Write(1, 6, 16, 1.0)),
        ("01 0F 00 13 00 0A 02 CD 01", "01 0F 00 13 00 0A", Write(1, 15, 19, 1.0)),
        ("01 10 00 01 00 02 04 00 0A 01 02", "01 10 00 01 00 02", Write(1, 16, 1, 1.0)),
        ("01 16 00 04 00 F2 00 25", "01 16 00 04 00 F2 00 25", Write(1, 22, 4, 1.0)),
        (
            "01 17 00 03 00 06 00 0E 00 03 06 00 FF 00 FF 00 FF",
            "01 17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF",
            Write(1, 23, 14, 1.0),
        ),
    ],
)
def test_a_write_is_told_and_keeps_step(question: str, answer: str, write: Write) -> None:
    line = Listener()
    line.hear(1.0, framed(question), framed(answer))
    assert line.events == [write]
    assert line.asks(1.1, VOLTAGE).refused is None


@pytest.mark.parametrize("chunk", [1, 3, 200])
def test_a_late_answer_to_a_write_costs_nothing_behind_it_and_no_time(chunk: int) -> None:
    """Its head is that of a write of 0xA0 bytes, if nothing but the byte count is looked at."""
    late = bytes.fromhex("01 10 00 0A 00 03 A0 0A")
    line = Listener()
    line.hear(1.0, framed("01 10 00 0A 00 03 06 00 00 00 00 00 00"))
    line.hear(1.2, OTHER.frame, reply(OTHER))  # the master has given up
    stream = late + LONGER.frame + reply(LONGER, 3)
    for place in range(0, len(stream), chunk):
        line.hear(1.3, stream[place : place + chunk])
    (pair,) = [e for e in line.events if isinstance(e, Exchange) and e.question == LONGER]
    assert (pair.refused, pair.data[0], pair.asked, pair.ended) == (None, 3, 1.3, 1.3)


@pytest.mark.parametrize("unended", [2.0, 10.0])
def test_what_stands_behind_a_frame_that_does_not_end_has_its_times_of_arrival(unended: float) -> None:
    """A write whose byte count was damaged: the end of the wait for it is nobody's time."""
    line = Listener()
    line.pairing = Pairing(KeyTable(LIFE), lambda unit: TIMEOUT, unended)
    line.asks(0.2, LONGER)
    line.hear(1.0, bytes.fromhex("02 14 F0"))  # the head of a question of 245 bytes
    line.hear(1.1, VOLTAGE.frame)
    line.hear(1.12, reply(VOLTAGE, 1))
    assert [e.question for e in line.events if isinstance(e, Exchange)] == [LONGER]
    line.events += line.pairing.expire(1.0 + unended)
    (pair,) = [e for e in line.events if isinstance(e, Exchange) and e.question == VOLTAGE]
    assert (pair.refused, pair.asked, pair.ended) == (None, 1.1, 1.12)


def test_a_write_to_all_units_has_no_answer_and_keeps_step() -> None:
    line = Listener()
    line.hear(1.0, framed("00 06 00 10 00 03"))
    assert line.events == [Write(0, 6, 16, 1.0)]
    assert line.asks(1.1, VOLTAGE).refused is None


def test_three_bytes_of_bits_that_could_be_a_question_are_no_pair() -> None:
    bits = Request(1, 2, 0, 24)
    line = Listener()
    line.hear(1.0, bits.frame, framed("01 02 03 10 00 18"))
    line.hear(1.1, OTHER.frame, reply(OTHER, 4))
    assert line.taken == [(OTHER, 4)]
    line = Listener()
    line.hear(1.0, bits.frame, framed("01 02 03 10 FF FF"))  # no question asks for so many
    assert line.taken == [(bits, 0x10)]


@pytest.mark.parametrize("pieces", [17, 8, 1])
def test_a_question_that_is_asked_again_and_a_stray_byte_are_no_answer(pieces: int) -> None:
    """`01 04 04 00 00 02` + CRC + 00 is a whole answer of four bytes, check value and all."""
    line, question = Listener(), Request(1, 4, 0x0400, 2)
    stream = 2 * question.frame + b"\x00"
    for place in range(0, len(stream), pieces):
        line.hear(1.0 + place / 10_000, stream[place : place + pieces])
    line.hear(1.5, OTHER.frame, reply(OTHER, 4))
    line.hear(1.6, question.frame, reply(question, 5))
    assert line.taken == [(OTHER, 4)]


@pytest.mark.parametrize("cut", range(9))
def test_an_answer_that_arrives_in_pieces_is_whole_though_its_beginning_has_a_check_value(cut: int) -> None:
    body = bytes.fromhex("01 04 04 43 66 33")
    answer = framed((body + crc(body)[:1]).hex())
    assert answer[:8] == body + crc(body)
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, answer[:cut])
    line.hear(1.01, answer[cut:])
    assert line.taken == [(VOLTAGE, 0x43)]


def test_lost_bytes_may_have_been_any_question() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame)
    line.events += line.pairing.lost(1.1)
    assert line.asks(1.2, OTHER).refused is DOUBTFUL
    assert line.asks(4.2, OTHER).refused is None


def test_what_is_not_understood_is_not_kept_for_units_that_nobody_asks_any_more() -> None:
    table = KeyTable(LIFE)
    owed = OwedAnswers(table)
    line = Listener()
    line.pairing = Pairing(table, lambda unit: TIMEOUT, UNENDED, owed=owed)
    line.asks(0.1, OTHER)
    sizes = []
    for n in range(1000):
        line.hear(1.0 + n, b"\x55" * 12)
        line.asks(1.1 + n, VOLTAGE)
        sizes.append(len(pickle.dumps(owed)) if n in (499, 999) else 0)
    assert line.pairing.counts["stray"] == 12_000
    assert 0 < sizes[999] < 1.1 * sizes[499]


def test_garbage_is_passed_over_and_does_not_grow() -> None:
    line = Listener()
    for n in range(2_000):
        line.hear(1.0 + n / 100, bytes((n * 7 + k * 13) % 256 for k in range(50)))
    assert line.taken == []
    line.pairing.expire(30.0)
    assert line.asks(40.0, VOLTAGE).refused is None
    assert line.pairing.counts["stray"] > 90_000


def shifted(line: Listener, first: float, *, rounds: int, between: Request | None = OTHER) -> list[Exchange]:
    """Unit 1 is asked for voltage and power in turn, and each answer is that to the question before."""
    exchanges, questions = [], (VOLTAGE, POWER)
    line.hear(first, VOLTAGE.frame)
    for n in range(1, rounds):
        at = first + n * 0.4
        if between is not None:
            exchanges.append(line.asks(at - 0.05, between))
        exchanges.append(line.asks(at, questions[n % 2], n))
    return exchanges


def test_what_other_units_answer_never_ends_the_doubt_of_one() -> None:
    line = Listener()
    exchanges = shifted(line, 1.0, rounds=50)
    assert {e.refused for e in exchanges if e.question.unit == 1} == {DOUBTFUL}
    assert {e.refused for e in exchanges if e.question.unit == 2} == {None}


def test_an_answer_of_another_key_ends_it() -> None:
    line = Listener()
    shifted(line, 1.0, rounds=10)  # to 4.6
    assert line.asks(4.8, LONGER).refused is None
    assert line.asks(5.0 + LIFE, VOLTAGE).refused is None


def test_a_write_that_is_asked_again_is_no_answer_and_ends_nothing() -> None:
    line, write = Listener(), framed("01 06 00 10 00 03")
    shifted(line, 1.0, rounds=10)
    line.hear(4.65, write, write)
    assert line.asks(4.8 + LIFE - 0.3, VOLTAGE).refused is DOUBTFUL


def test_a_late_answer_that_is_heard_alone_ends_it_if_no_more_are_owed() -> None:
    line = Listener()
    shifted(line, 1.0, rounds=10, between=None)
    line.hear(4.7, reply(POWER, 10))
    assert [line.asks(4.8 + n * 0.4, VOLTAGE).refused for n in range(8)] == [DOUBTFUL] * 8  # it rests for its life
    assert line.asks(4.7 + LIFE + 0.4, VOLTAGE).refused is None
    line = Listener()
    line.hear(0.9, POWER.frame)
    shifted(line, 1.0, rounds=10, between=None)
    line.hear(4.7, reply(POWER, 10))
    refusals = [line.asks(4.8 + n * 0.4, VOLTAGE).refused for n in range(40)]
    assert set(refusals) == {DOUBTFUL}  # two were owed


def test_a_copy_of_an_answer_pays_nothing() -> None:
    line = Listener()
    shifted(line, 1.0, rounds=10, between=None)
    line.hear(4.7, reply(POWER, 9))
    assert {line.asks(4.9 + n * 0.4, VOLTAGE).refused for n in range(40)} == {DOUBTFUL}


def test_a_gateway_that_got_no_answer_may_get_it_yet() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, framed("01 84 0B"))
    assert {line.asks(1.1 + n * 0.4, POWER).refused for n in range(40)} == {DOUBTFUL}
    line.hear(18.0, framed("01 84 0B"))
    assert line.asks(18.1, POWER).refused is DOUBTFUL


def test_a_damaged_answer_is_an_answer() -> None:
    line, answer = Listener(), reply(VOLTAGE)
    for n, damaged in enumerate((broken(answer), answer[:-1] + b"\x00", b"\x71" + answer[1:])):
        at = 1.0 + n * 2 * LIFE
        line.hear(at, VOLTAGE.frame, damaged)
        line.asks(at + 0.1, OTHER)
        refusals = [line.asks(at + 0.2 + k * 0.4, VOLTAGE).refused for k in range(10)]
        assert refusals[0] is DOUBTFUL
        assert refusals[-1] is None, n


def test_the_rest_of_a_write_s_answer_and_of_a_question_is_no_damaged_answer_of_the_write() -> None:
    line = Listener()
    line.hear(1.0, framed("01 10 0050 0001 02 0000"), framed("01 10 0050 0001")[:4])
    line.hear(1.1, VOLTAGE.frame[:4])
    line.hear(1.7, POWER.frame, reply(VOLTAGE, 1))
    assert line.taken == []


@pytest.mark.parametrize("noise", [b"\x00", b"\x00\xff\x01"])
def test_an_answer_behind_noise_is_the_answer_of_the_question_before_the_noise(noise: bytes) -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame, noise, reply(VOLTAGE))
    assert line.taken == []
    results = [line.asks(1.2 + k * 0.4, VOLTAGE).refused for k in range(10)]
    assert results[0] is DOUBTFUL
    assert results[-1] is None


def test_an_answer_behind_the_rest_of_a_question_settles_nothing_of_another_key() -> None:
    line = Listener()
    line.hear(1.0, VOLTAGE.frame)
    line.hear(1.6, LONGER.frame, POWER.frame[:3], reply(VOLTAGE, 1))
    results = [line.asks(1.8 + k * 0.4, VOLTAGE).refused for k in range(10)]
    assert set(results) == {DOUBTFUL}


@pytest.mark.parametrize("deaf_s", [0.1, 2 * LIFE])
def test_what_was_owed_when_bytes_were_lost_is_owed_behind_it(deaf_s: float) -> None:
    line = Listener()
    shifted(line, 1.0, rounds=10)
    start = 4.8 + deaf_s
    line.events += line.pairing.lost(4.7 + deaf_s)
    refusals = [line.asks(start + n * 0.4, (VOLTAGE, LONGER)[n % 2]).refused for n in range(40)]
    assert set(refusals) == {DOUBTFUL}
    assert [line.asks(start + 0.05 + LIFE + n * 0.4, OTHER).refused for n in range(2)] == [None, None]
    assert line.asks(start + 40 * 0.4 + LIFE, VOLTAGE).refused is None
