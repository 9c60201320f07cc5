"""What a line learns from frames that nobody waited for."""

from __future__ import annotations

import logging

import pytest

from gateway.fieldbus.modbus.frames import Request, Shape
from gateway.fieldbus.polling.line_monitor import DamagedFrames, LineMonitor
from gateway.fieldbus.wire.connections import OtherMaster
from gateway.fieldbus.wire.keys import KeyTable, Unit
from gateway.fieldbus.wire.link import ObservedFrame
from ledger_client.formats.senml import Quality

SHAPE = Shape(9, 3, 4)
HOUR = 3600


class Listening:
    """An monitor with a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.learned: list[tuple[Unit, float]] = []
        self.table = KeyTable(3.0)
        self.monitor = LineMonitor(
            "line", self.table, lambda: self.now, lambda unit, latency: self.learned.append((unit, latency))
        )

    def foreign(self, after: float, latency: float | None = None) -> int:
        self.now += after
        self.monitor.see(ObservedFrame("foreign", b"\x09\x03", SHAPE, latency))
        return self.monitor.flags


def test_a_stranger_flags_the_line_while_it_comes_and_an_hour_more_and_its_shape_is_avoided() -> None:
    line = Listening()
    line.monitor.opened()
    for _ in range(3):
        assert line.foreign(HOUR - 1) == Quality.SHARED_LINE
    line.now += HOUR - 1
    assert line.monitor.flags == Quality.SHARED_LINE
    assert line.table.choose([Request(9, 3, 0, 2)], line.now) is None
    line.now += 2
    assert line.monitor.flags == 0
    assert line.table.choose([Request(9, 3, 0, 2)], line.now) is not None


def test_a_stranger_that_is_off_the_line_is_forgotten_until_it_is_heard_again() -> None:
    line = Listening()
    line.monitor.opened()
    assert line.monitor.clear_shared() == ""
    line.foreign(3.1)
    assert line.monitor.clear_shared() == "09 03"
    assert line.monitor.flags == 0
    assert line.table.choose([Request(9, 3, 0, 2)], line.now) is None, "its last answer may still be on its way"
    line.now += 3.1
    assert line.table.choose([Request(9, 3, 0, 2)], line.now) is not None
    assert line.monitor.clear_shared() == ""
    assert line.foreign(0.1) == Quality.SHARED_LINE


def test_soon_after_the_start_it_may_be_for_an_earlier_process() -> None:
    line = Listening()
    assert line.foreign(1.0) == 0
    line.monitor.opened()
    assert line.foreign(2.9) == 0
    line.monitor.opened()
    assert line.foreign(0.2) == Quality.SHARED_LINE, "reopening starts no new grace"


def test_an_answer_older_than_its_life_lengthens_the_life(caplog: pytest.LogCaptureFixture) -> None:
    line = Listening()
    line.monitor.opened()
    with caplog.at_level(logging.WARNING):
        assert line.foreign(10.0, latency=5.0) == Quality.SHARED_LINE
    assert "answer_life" in caplog.text
    assert line.table.life(9, line.now) == 7.5
    assert line.table.choose([Request(9, 3, 0, 2)], line.now + 7.4) is None
    assert line.table.choose([Request(9, 3, 0, 2)], line.now + 7.6) is not None
    line.foreign(1.0, latency=80.0)
    assert line.table.life(9, line.now) == 90.0


def test_a_unit_whose_address_is_a_text_is_named_too(caplog: pytest.LogCaptureFixture) -> None:
    line = Listening()
    line.monitor.opened()
    line.now += 10.0
    line.monitor.see(ObservedFrame("foreign", b"\x68", ("000000000161", "00030000"), 5.0))
    assert [record.args for record in caplog.records] == [("line", "000000000161", 5.0)]
    assert line.table.life("000000000161", line.now) == 7.5


def late(line: Listening, after: float, latency: float) -> None:
    line.now += after
    line.monitor.see(ObservedFrame("late", b"", SHAPE, latency))


def test_a_lengthened_life_is_the_configured_one_again_an_hour_after_the_last_answer_that_needed_more() -> None:
    line = Listening()
    line.monitor.opened()
    line.foreign(10.0, latency=5.0)
    late(line, HOUR - 10, 3.1)
    late(line, HOUR - 10, 2.9)
    line.now += 9
    assert line.table.life(9, line.now) == 7.5
    line.table.use(SHAPE, line.now)
    line.now += 2
    assert line.table.life(9, line.now) == 3.0
    question = Request(9, 3, 0, 2)
    assert line.table.choose([question], line.now + 5.4) is None, "what was asked before rests for the longer life"
    assert line.table.choose([question], line.now + 5.6) == question
    late(line, 1, 4.0)
    assert line.table.life(9, line.now) == 7.5, "to a question of that time an answer came so late after all"


def test_clear_shared_ends_lengthened_lives_at_once_and_what_was_asked_before_rests_for_them() -> None:
    line = Listening()
    line.monitor.opened()
    line.foreign(10.0, latency=40.0)
    assert line.table.life(9, line.now) == 60.0
    assert line.monitor.clear_shared() == "09 03"
    question = Request(9, 3, 0, 2)
    assert line.table.choose([question], line.now + 59) is None
    line.now += 61
    assert line.table.choose([question], line.now) == question
    line.table.use(SHAPE, line.now)
    assert line.table.choose([question], line.now + 3.1) == question


def test_clear_shared_frees_the_shapes_of_a_line_that_is_known_to_be_shared() -> None:
    line = Listening()
    line.monitor = LineMonitor("line", line.table, lambda: line.now, lambda unit, latency: None, shared=True)
    line.monitor.opened()
    assert line.foreign(10.0) == 0
    assert line.table.avoids(line.now)
    assert line.monitor.clear_shared() == "09 03"
    assert not line.table.avoids(line.now)
    assert line.monitor.clear_shared() == ""


def test_our_own_question_that_came_back_is_counted_and_flags_nothing() -> None:
    line = Listening()
    line.monitor.opened()
    line.now += 10
    line.monitor.see(ObservedFrame("echo", Request(9, 3, 0, 2).frame, SHAPE))
    assert (line.monitor.flags, line.monitor.counters) == (0, {"echo": 1})
    assert line.table.choose([Request(9, 3, 0, 2)], line.now) is not None


def test_late_answers_teach_how_late_they_come() -> None:
    line = Listening()
    line.monitor.see(ObservedFrame("late", b"", SHAPE, 0.7))
    line.monitor.see(ObservedFrame("late", b""))
    assert line.learned == [(9, 0.7)]
    assert line.monitor.counters == {"late": 2}


def test_a_noisy_line_is_uncertain_from_more_than_one_percent_on() -> None:
    line = Listening()
    line.monitor.answered(1000, 1)
    for _ in range(10):
        line.monitor.see(ObservedFrame("damaged", b""))
    assert line.monitor.flags == 0
    line.monitor.see(ObservedFrame("damaged", b""))
    assert line.monitor.flags == Quality.IMPLAUSIBLE
    line.monitor.answered(1000, 1)
    assert line.monitor.flags == 0


def test_one_or_two_damaged_frames_are_chance() -> None:
    rate = DamagedFrames()
    rate.add(1, damaged=True)
    rate.add(1, damaged=True)
    assert not rate.high
    rate.add(1, damaged=True)
    assert rate.high


def test_answers_of_wrong_function_or_length_are_that_units_and_no_strangers() -> None:
    line = Listening()
    line.monitor.opened()
    line.now += 10
    wrong = ObservedFrame("mismatched", bytes.fromhex("09 04 04"), Shape(9, 4, 4))
    line.monitor.see(wrong)
    assert line.monitor.wrong_answer(9) == "", "one may be chance"
    line.now += HOUR - 1
    line.monitor.see(wrong)
    assert (line.monitor.wrong_answer(9), line.monitor.wrong_answer(8), line.monitor.flags) == ("09 04 04", "", 0)
    assert not line.table.avoids(line.now)
    line.now += 1
    assert line.monitor.wrong_answer(9) == ""
    line.monitor.see(wrong)
    assert line.monitor.wrong_answer(9) == "09 04 04"
    assert line.foreign(1.0) == Quality.SHARED_LINE
    assert line.monitor.wrong_answer(9) == "", "they may have been the stranger's"
    line.monitor.see(wrong)
    line.monitor.see(wrong)
    assert line.monitor.wrong_answer(9) == ""
    assert line.monitor.stranger == "09 04 04"


def test_what_is_known_of_another_master_outlives_the_line_on_its_endpoint() -> None:
    line, other = Listening(), OtherMaster()
    for shared in (False, True):
        line.monitor = LineMonitor(
            "line", line.table, lambda: line.now, lambda unit, latency: None, other_master=other, shared=shared
        )
        assert line.monitor.flags == 0
        other.frame, other.until = "09 04 04", line.now + 5
        assert line.monitor.flags == (0 if shared else Quality.SHARED_LINE)
        assert line.monitor.clear_shared() == "09 04 04"
        assert line.monitor.flags == 0
