"""Each alarm once when it begins and once when it ends, with what, where and the way out."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace

from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Shape
from gateway.fieldbus.polling.line_alarms import LineAlarms
from gateway.fieldbus.polling.line_monitor import NOISY, LineMonitor
from gateway.fieldbus.polling.meter_state import MeterState
from gateway.fieldbus.polling.poll import AttemptResult
from gateway.fieldbus.polling.schedule import Schedule
from gateway.fieldbus.specs import Alarm, BlockAnswer, BlockFailure, Poll
from gateway.fieldbus.wire.errors import not_connected
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import NO_FRAME, ObservedFrame
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import meter, tcp_line
from tests.gateway.fieldbus.polling.test_meter_state import Meter, Moved


class Watch:
    """The alarms of a line of meters, and its schedule."""

    def __init__(self, names: Sequence[str]) -> None:
        self.reported: list[Alarm] = []
        self.schedule = Schedule(dict.fromkeys(names, 1000), 0)
        meters = [meter(name, unit, 1000) for unit, name in enumerate(names, start=1)]
        self.spec = tcp_line(502, *meters)
        self.alarms = LineAlarms(self.spec, self.reported.append)
        self.readers = {m.name: MeterState(self.spec, m, Moved(), lambda: False) for m in meters}

    def polled(self, name: str, alive: bool) -> None:
        self.schedule.finished(name, 0, alive, 50)
        self.alarms.polled(self.readers[name], AttemptResult(Poll(name, 0), alive), self.schedule)

    @property
    def codes(self) -> list[tuple[str, str | None, bool]]:
        return [(a.code, a.meter, a.raised) for a in self.reported]


def test_a_meter_is_lost_once_others_were_heard_after_it() -> None:
    line = Watch(["a", "b"])
    for _ in range(4):
        line.polled("a", False)
    assert line.codes == [], "it may be the line"
    for _ in range(3):
        line.polled("b", True)
    line.polled("a", False)
    assert line.codes == [("comms-lost", "a", True)]
    assert line.reported[0].sentence == Message("meter-not-responding", line="line", meter="a")
    line.polled("a", True)
    line.polled("b", True)
    assert line.codes[1:] == [("comms-lost", "a", False)]


def test_when_all_are_silent_it_is_the_line_alone() -> None:
    line = Watch(["a", "b"])
    for _ in range(3):
        line.polled("a", False)
        line.polled("b", False)
    assert line.codes == [("line-down", None, True)]
    assert "127.0.0.1:502" in line.reported[0].text
    line.alarms.port_gone("reading failed")
    assert len(line.reported) == 1, "already told"
    line.polled("a", True)
    assert line.codes[1:] == [("line-down", None, False)]


def test_a_line_that_cannot_be_opened() -> None:
    line = Watch(["a"])
    line.alarms.port_gone(missing := Message("port-missing-none"))
    line.alarms.port_gone("no permission to read and write it")
    assert line.codes == [("line-down", None, True)]
    where = line.spec.where
    assert line.reported[0].sentence == Message("line-port-failed", line="line", where=where, why=missing)


def test_the_alarm_of_a_connection_is_flat_enough_to_be_signed_with_its_code() -> None:
    line = Watch(["a", "b"])
    line.alarms.port_gone(not_connected(ConnectionRefusedError(errno.ECONNREFUSED, "")).sentence)
    signed = Message("alarm-of-meters", what=line.reported[0].sentence, meters=("a", "b"))
    assert Message.from_fields(signed.to_fields()) == signed
    refused = Message("errno-econnrefused")
    where = line.spec.where
    assert line.reported[0].sentence == Message("line-port-failed", line="line", where=where, why=refused)


def test_another_device_that_answers() -> None:
    one = Meter()
    raised: list[Alarm] = []
    alarms = LineAlarms(one.reader.line, raised.append)

    def poll() -> None:
        alarms.polled(one.reader, one.poll(), Schedule({"one": 1000}, 0))

    poll()
    one.link.generation, one.link.serial = 2, 7002
    poll()
    poll()
    assert [(a.code, a.meter, a.raised) for a in raised] == [("meter-exchanged", "one", True)]
    replaced = Message("meter-replaced", line="line", meter="one", stranger="serial=7002", identity="serial=7001")
    assert raised[0].sentence == replaced
    assert "meterseal accept" in raised[0].text
    one.reader.accept("serial=7002")
    poll()
    assert [(a.code, a.raised) for a in raised[1:]] == [("meter-exchanged", False)]


def test_strangers_and_damaged_frames() -> None:
    clock = Moved()
    raised: list[Alarm] = []
    spec = tcp_line(502, meter("one", 1))
    for shared, expected in ((False, ["stranger", "stranger"]), (True, [])):
        monitor = LineMonitor("line", KeyTable(3.0), clock.monotonic, lambda unit, latency: None, shared=shared)
        alarms = LineAlarms(replace(spec, shared=shared), raised.append)
        monitor.opened()
        clock.now += 4
        for _ in range(3):
            monitor.see(ObservedFrame("foreign", bytes.fromhex("0903")))
            alarms.heard(monitor)
        assert monitor.flags == (0 if shared else Quality.SHARED_LINE)
        clock.now += 3601
        alarms.heard(monitor)
        assert [a.code for a in raised] == expected
        assert not raised or ("09 03" in raised[0].text and raised[0].raised and not raised[1].raised)
        raised.clear()
    for _ in range(4):
        monitor.see(ObservedFrame("damaged", b""))
        alarms.heard(monitor)
    assert monitor.flags == NOISY
    monitor.answered(1000, 1)
    alarms.heard(monitor)
    assert [(a.code, a.raised) for a in raised] == [("crc-rate", True), ("crc-rate", False)]
    assert "terminators" in raised[0].text


def refused_poll(*points: int, code: int = 2, answered: bool = False) -> Poll:
    """A poll of which blocks of so many points each were refused."""
    found = meter("a", 1).points[0]
    blocks = [RegisterBlock(3, 300 * n, 2, (found,) * count, (0,) * count) for n, count in enumerate(points, start=1)]
    failures = tuple(BlockFailure(block, "refused", refused(code, 3).sentence, refused(code, 3)) for block in blocks)
    answers = (BlockAnswer(RegisterBlock(3, 0, 2, (found,), (0,)), (0, 1), 0),) if answered else ()
    return Poll("a", 0, answers, failures, None if answered else "refused")


def test_a_meter_that_refuses_is_an_alarm_with_code_and_block() -> None:
    line = Watch(["a"])

    def polled(poll: Poll) -> None:
        line.alarms.polled(line.readers["a"], AttemptResult(poll, True), line.schedule)

    polled(refused_poll(5, 2))
    assert line.codes == [("meter-refuses", "a", True)]
    assert isinstance(line.reported[0].sentence, Message)
    block = Message("block-registers", function=3, first=300, last=301)
    why = Message("meter-refuses-blocks", block=block, n=1, detail=Message("exception-address", function=3, instead=4))
    assert line.reported[0].sentence == Message("meter-refuses", line="line", meter="a", why=why)
    assert line.reported[0].sentence.to_fields() != {}, "flat enough to be signed with its code"
    polled(refused_poll(5, answered=True))  # its reads are being cut, until it gives all but what it lacks
    assert line.codes[1:] == [("meter-refuses", "a", False)]
    polled(refused_poll(1, answered=True))
    assert line.codes[2:] == [("meter-refuses", "a", True)]
    polled(refused_poll(answered=True))
    polled(refused_poll(1, code=6, answered=True))  # it is only busy
    assert line.codes[3:] == [("meter-refuses", "a", False)]


def test_a_line_that_is_noise_says_so() -> None:
    line = Watch(["a"])
    for _ in range(3):
        line.schedule.finished("a", 0, False, 50)
        poll = Poll("a", 0, missed="timeout", detail=NO_FRAME)
        line.alarms.polled(line.readers["a"], AttemptResult(poll, False), line.schedule)
    assert line.codes == [("line-down", None, True)]
    assert line.reported[0].sentence == Message("line-not-responding-garbage", line="line", where=line.spec.where)


class Noise:
    """The alarms of a line of two meters, one of which a test damages."""

    def __init__(self) -> None:
        self.reported: list[Alarm] = []
        clock, spec = Moved(), tcp_line(502, meter("one", 1), meter("two", 2))
        self.monitor = LineMonitor("line", KeyTable(3.0), clock.monotonic, lambda unit, latency: None)
        self.alarms = LineAlarms(spec, self.reported.append)

    def frames(self, unit: int, whole: int, damaged: int) -> None:
        for _ in range(damaged):
            self.monitor.see(ObservedFrame("damaged", b"", Shape(unit, 3, 4)))
        self.monitor.answered(whole, unit)
        self.alarms.heard(self.monitor)

    @property
    def codes(self) -> list[tuple[str, str | None, bool]]:
        return [(a.code, a.meter, a.raised) for a in self.reported]


def test_all_damage_on_one_unit_asks_for_two_devices_with_its_address() -> None:
    line = Noise()
    line.frames(1, 100, 0)
    line.frames(2, 100, 9)
    assert line.codes == [("crc-rate", "two", True)]
    assert line.reported[0].sentence == Message("frames-damaged-meter", line="line", meter="two", unit=2)
    assert (line.monitor.flags_of(1), line.monitor.flags_of(2)) == (0, NOISY)
    line.frames(2, 1000, 0)
    assert line.codes[1:] == [("crc-rate", "two", False)]
    assert line.monitor.flags_of(2) == 0


def test_damage_on_several_units_is_the_lines_and_stays_so() -> None:
    line = Noise()
    line.frames(2, 100, 9)
    assert line.codes == [("crc-rate", None, True)], "no other unit was heard: it may be the cable"
    line.frames(1, 100, 0)
    line.frames(1, 100, 9)
    assert len(line.codes) == 1
    assert (line.monitor.flags_of(1), line.monitor.flags_of(2)) == (NOISY, NOISY)
    assert "terminators" in line.reported[0].text
    line.frames(1, 1000, 0)
    assert line.codes[1:] == [("crc-rate", None, False)]


def test_damage_that_spreads_to_others_becomes_the_lines() -> None:
    line = Noise()
    line.frames(1, 100, 0)
    line.frames(2, 100, 9)
    line.frames(1, 100, 9)
    assert line.codes == [("crc-rate", "two", True), ("crc-rate", "two", False), ("crc-rate", None, True)]


def test_implausible_by_damage_is_that_units_and_not_the_lines() -> None:
    """One damaged frame in a thousand is nobody's fault, also beside a unit that has many."""
    line = Noise()
    line.frames(1, 400, 1)
    line.frames(2, 300, 20)
    assert line.codes == [("crc-rate", None, True)]
    assert (line.monitor.flags_of(1), line.monitor.flags_of(2)) == (0, NOISY)


def test_nobody_needs_to_listen() -> None:
    LineAlarms(tcp_line(502, meter("one", 1)), None).port_gone("unplugged")


def test_a_meter_that_answers_what_it_was_not_asked_is_named_and_is_not_silent() -> None:
    line = Watch(["a", "b"])
    for _ in range(3):
        line.polled("a", False)
    line.polled("b", True)
    line.alarms.wrong_answers("a", "01 04 04")
    line.polled("a", False)
    line.polled("b", True)
    line.polled("b", False)
    line.polled("b", False)
    line.alarms.wrong_answers("b", "02 04 04")
    line.polled("b", False)
    assert line.codes == [
        ("comms-lost", "a", True), ("wrong-answer", "a", True), ("comms-lost", "a", False),
        ("line-down", None, True), ("wrong-answer", "b", True),
    ]  # fmt: skip
    assert line.reported[1].sentence == Message("wrong-answers", line="line", meter="a", frame="01 04 04")
    line.alarms.wrong_answers("a", "")
    assert line.codes[-1] == ("wrong-answer", "a", False)
