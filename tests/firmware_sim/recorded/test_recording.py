"""Recording: the gate that knows reads only, the blocks that are read, whose answer it is, and the file."""

from __future__ import annotations

import ast
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from firmware_sim.cli.recording import write
from firmware_sim.errors import ScenarioError, WireError
from firmware_sim.meters import pdu as frames
from firmware_sim.meters.pdu import Read
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec, Mismatch
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.recorded import client, recorder
from firmware_sim.recorded.client import NotARead, SerialWire, TcpWire, answer_in, permitted, request_of
from firmware_sim.recorded.read_blocks import blocks
from firmware_sim.recorded.recorder import Recorder
from firmware_sim.recorded.recording import Answer, Head, read_recording
from gateway.devices.profile import Profile, catalog, load_profile

HEAD = Head("eastron-sdm630", 1, {"host": "plc", "port": 502}, 1000, "2026-06-21T04:00:00.000+08:00")
VOLTAGE = Read(4, 0, 2)
ANSWERS = (
    Answer(0, VOLTAGE, bytes.fromhex("4365ffca")),
    Answer(130, Read(1, 16, 10), bytes.fromhex("cd02")),
    Answer(130, Read(3, 64512, 2), exception=2),
    Answer(1000, VOLTAGE, timeout_ms=500),
)


@pytest.mark.parametrize("function", [0, 5, 6, 7, 8, 11, 15, 16, 17, 20, 21, 22, 23, 24, 43, 0x83, 0x90])
def test_the_gate_knows_reads_only(function: int) -> None:
    for body in (b"\0\0\0\1", b"\0\0\0\1\2\0\0", b""):
        with pytest.raises(NotARead):
            permitted(bytes([function]) + body)


def test_the_gate_knows_the_form_of_a_read() -> None:
    assert [permitted(request_of(Read(fc, 7, 2)))[0] for fc in (1, 2, 3, 4)] == [1, 2, 3, 4]
    for pdu in (b"", b"\3", b"\3\0\0\0\1\0"):
        with pytest.raises(NotARead):
            permitted(pdu)


def test_bytes_leave_through_two_places_that_ask_the_gate() -> None:
    sending = {"write", "writelines", "sendall", "send", "sendto", "sendmsg", "sock_sendall"}
    folder = Path(recorder.__file__).parent
    functions = {
        (path.name, function.name): ast.unparse(function)
        for path in folder.glob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        and any(isinstance(node, ast.Attribute) and node.attr in sending for node in ast.walk(function))
        and "looking.send(" not in ast.unparse(function)  # into a generator, which asks for the next read
    }
    assert sorted(functions) == [("client.py", "_asked"), ("client.py", "ask")]
    assert all("permitted(request_of(read))" in text for text in functions.values())


@pytest.mark.parametrize("wire", [SerialWire("none", client.Line(9600, "N", 1)), TcpWire("127.0.0.1", 1)])
def test_what_is_no_read_does_not_even_reach_a_wire(wire: client.Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "request_of", lambda read: b"\6\0\0\0\1")
    monkeypatch.setattr(wire, "_port" if isinstance(wire, SerialWire) else "_socket", Fails())
    with pytest.raises(NotARead):
        wire.ask(1, VOLTAGE, 0.1)


class Fails:
    """A port that takes no byte."""

    def reset_input_buffer(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        raise AssertionError(data)

    sendall = write


@pytest.mark.parametrize("name", [name for name in catalog() if not name.startswith(("dlt645", "hj212", "p1"))])
def test_each_point_lies_in_one_read_that_its_device_answers(name: str) -> None:
    profile = load_profile(name)
    if profile.protocol != "modbus":
        return
    reads = blocks(profile, profile.points)
    for point in profile.points:
        assert any(r.fc == point.fc and r.address <= point.address and point.end <= r.address + r.count for r in reads)
    assert all(read.count <= (profile.max_registers if read.fc > 2 else profile.max_bits) for read in reads)
    spec = MeterSpec("m", profile, 1, serial="1", factors=dict.fromkeys(profile.factors, 1))  # type: ignore[arg-type]
    try:
        meter = Meter(spec, Plant(PlantSpec()))
    except Mismatch:  # what is not simulated
        return
    for read in reads:
        assert len(meter.read(read.fc, read.address, read.count, 0).registers) == read.count


@pytest.mark.parametrize(
    ("heard", "is_taken"),
    [
        (lambda right: right, True),
        (lambda right: b"\0\xff" + right, True),
        (lambda right: right[:-1], False),
        (lambda right: right[:-1] + b"\0", False),
        (lambda right: frames.rtu(2, frames.answer(4, (1, 2))), False),
        (lambda right: frames.rtu(1, frames.answer(3, (1, 2))), False),
        (lambda right: frames.rtu(1, frames.answer(4, (1, 2, 3))), False),
        (lambda right: frames.rtu(1, frames.exception(3, 2)), False),
        (lambda right: frames.rtu(2, frames.answer(4, (1, 2))) + right, True),
    ],
)
def test_an_answer_is_that_of_this_unit_function_and_length(heard: Callable[[bytes], bytes], is_taken: bool) -> None:
    pdu = frames.answer(4, (0x4365, 0xFFCA))
    assert answer_in(heard(frames.rtu(1, pdu)), 1, VOLTAGE) == (pdu if is_taken else None)


class Answering:
    """A wire with a device on which each read takes a time of the clock; it is silent at some turns."""

    def __init__(self, takes_ms: int, silent: tuple[int, ...] = ()) -> None:
        self.settings: Mapping[str, str | int] = {}
        self._takes_ms, self._silent = takes_ms, silent
        self.now_ms = self.asked = 0

    def clock(self) -> float:
        return self.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    def ask(self, unit: int, read: Read, timeout_s: float) -> bytes | None:
        self.now_ms += self._takes_ms
        self.asked += 1
        return None if self.asked - 1 in self._silent else frames.answer(read.fc, (0,) * read.count)

    def open(self) -> None: ...

    def close(self) -> None: ...


def recorded(wire: Answering, profile: Profile, every_ms: int, length_ms: int) -> list[Answer]:
    made = Recorder(wire, profile, 1, every_ms, length_ms, 500, wire.clock, wire.sleep)
    return list(made.answers())


def test_rounds_begin_at_each_interval_or_without_a_pause_where_the_line_is_slower() -> None:
    profile = load_profile("vaisala-gmp252")
    each = len(blocks(profile, profile.points))
    times = [answer.at_ms for answer in recorded(Answering(10), profile, 1000, 3000)]
    pause = 10 + profile.pause_ms
    assert times == [start + n * pause for start in (0, 1000, 2000) for n in range(each)]
    times = [answer.at_ms for answer in recorded(Answering(2000 - profile.pause_ms), profile, 1000, 2000 * each + 1)]
    assert times == [2000 * n for n in range(2 * each)]
    assert len(recorded(Answering(10), profile, 1000, 0)) == each


def test_a_device_that_is_silent_in_its_first_round_is_none() -> None:
    profile = load_profile("eastron-sdm630")
    each = len(blocks(profile, profile.points))
    assert each > 1
    with pytest.raises(WireError):
        recorded(Answering(10, silent=tuple(range(each))), profile, 1000, 9000)
    found = recorded(Answering(10, silent=(0, each, each + 1)), profile, 1000, 1500)
    assert [n for n, answer in enumerate(found) if answer.timeout_ms == 500] == [0, each, each + 1]


def test_a_recording_is_read_as_it_was_written_and_what_is_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "meter.jsonl"
    text = HEAD.line() + "".join(answer.line() for answer in ANSWERS)
    path.write_text(text)
    found = read_recording(path)
    assert (found.head, found.answers, found.is_cut) == (HEAD, ANSWERS, False)
    assert ANSWERS[0].words == (0x4365, 0xFFCA)
    assert ANSWERS[1].words == (1, 0, 1, 1, 0, 0, 1, 1, 0, 1)
    path.write_text(text[:-1])
    found = read_recording(path)
    assert (found.answers, found.is_cut) == (ANSWERS[:-1], True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_recording_in_order(number: signal.Signals, tmp_path: Path) -> None:
    def answers() -> Iterator[Answer]:
        yield from ANSWERS[:3]
        os.kill(os.getpid(), number)
        yield ANSWERS[3]

    path = tmp_path / "meter.jsonl"
    assert write(path, HEAD, answers()) == {"answers": 2, "exceptions": 1}
    assert read_recording(path).answers == ANSWERS[:3]


def _one(**changes: object) -> str:
    return json.dumps({"at_ms": 5, "fc": 4, "address": 0, "count": 2, "registers": "4365ffca", **changes}) + "\n"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", ""),
        (HEAD.line()[:-1], ""),
        (HEAD.line(), ""),
        ("[1]\n", "line 1"),
        (_one(), "line 1"),
        (HEAD.line().replace('"v": 1', '"v": 2') + _one(), "line 1"),
        (HEAD.line().replace('"unit": 1', '"unit": 256') + _one(), "line 1"),
        (HEAD.line() + _one() + "power failure\n", "line 3"),
        (HEAD.line() + _one() + "\n", "line 3"),
        (HEAD.line() + _one() + _one(at_ms=4), "line 3"),
        (HEAD.line() + _one(fc=6), "line 2"),
        (HEAD.line() + _one(count=3), "line 2"),
        (HEAD.line() + _one(address=65535), "line 2"),
        (HEAD.line() + _one(registers="4365ffcx"), "line 2"),
        (HEAD.line() + _one(exception=2), "line 2"),
        (HEAD.line() + _one().replace("registers", "bits"), "line 2"),
        (HEAD.line() + _one(at_ms=True), "line 2"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_its_line(text: str, key: str, tmp_path: Path) -> None:
    path = tmp_path / "meter.jsonl"
    path.write_text(text)
    with pytest.raises(ScenarioError) as refused:
        read_recording(path)
    assert (refused.value.file, refused.value.key) == (str(path), key)
