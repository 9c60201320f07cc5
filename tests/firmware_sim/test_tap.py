"""The tap of a line: a copy both ways, damaged only where asked for, and what comes back is counted."""

from __future__ import annotations

import os
from pathlib import Path

from firmware_sim.meters.pdu import crc
from tests.firmware_sim.sim_bench import Serial, running, scenario

QUESTION, SIZE = "01 04 0000 0006", 17


def test_a_tap_carries_both_ways_and_the_line_goes_on_without_a_listener(tmp_path: Path) -> None:
    with running(scenario(tmp_path, bus='tap = "tap"')) as bench, Serial(bench.serial) as line:
        line.ask(QUESTION, SIZE)
        with Serial(tmp_path / "tap") as tap:
            answer = line.ask(QUESTION, SIZE)
            copy = tap.receive(8 + SIZE)
            asked = bytes.fromhex(QUESTION)
            assert copy[-SIZE - 8 :] == asked + crc(asked) + answer
    assert not os.path.lexists(tmp_path / "tap")


def test_questions_are_damaged_in_the_copy_alone(tmp_path: Path) -> None:
    bus = 'tap = "tap"\ntap_damaged = 1.0'
    with running(scenario(tmp_path, bus=bus)) as bench, Serial(bench.serial) as line, Serial(tmp_path / "tap") as tap:
        answer = line.ask(QUESTION, SIZE)
        copy = tap.receive(8 + SIZE)
        asked = bytes.fromhex(QUESTION)
        whole = asked + crc(asked)
        assert sum((a ^ b).bit_count() for a, b in zip(copy[:8], whole, strict=True)) == 1
        assert copy[8:] == answer


def test_bytes_that_come_back_are_counted(tmp_path: Path) -> None:
    with running(scenario(tmp_path, bus='tap = "tap"')) as bench, Serial(bench.serial) as line:
        with Serial(tmp_path / "tap") as tap:
            line.ask(QUESTION, SIZE)
            assert bench.came_back() == {str(tmp_path / "tap"): 0}
            tap.send("01 02 03", check=False)
            tap.send("04", check=False)
            line.ask(QUESTION, SIZE)  # the loop has read them when it answers
        assert bench.came_back() == {str(tmp_path / "tap"): 4}
