"""Each alarm once when it begins and once when it ends, with what, where and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.fieldbus.alarms import Alarms
from gateway.fieldbus.ear import NOISY, Ear
from gateway.fieldbus.link import Seen
from gateway.fieldbus.meter import MeterReader
from gateway.fieldbus.schedule import Schedule
from gateway.fieldbus.shapes import ShapeTable
from gateway.fieldbus.spec import Alarm, Poll
from gateway.fieldbus.turn import Attempt
from ledger_client.record import Quality
from tests.fieldbus.devices import meter, tcp_line
from tests.fieldbus.test_meter_reader import Meter, Moved


class Watch:
    """The alarms of a line of meters, and its schedule."""

    def __init__(self, names: Sequence[str], extra: str = "") -> None:
        self.told: list[Alarm] = []
        self.schedule = Schedule(dict.fromkeys(names, 1000), 0)
        meters = [meter(name, unit, 1000, extra=extra) for unit, name in enumerate(names, start=1)]
        self.spec = tcp_line(502, *meters)
        self.alarms = Alarms(self.spec, self.told.append)
        self.readers = {m.name: MeterReader(self.spec, m, Moved(), lambda: False) for m in meters}

    def polled(self, name: str, alive: bool) -> None:
        self.schedule.finished(name, 0, alive, 50)
        self.alarms.polled(self.readers[name], Attempt(Poll(name, 0), alive), self.schedule)

    @property
    def codes(self) -> list[tuple[str, str | None, bool]]:
        return [(a.code, a.meter, a.raised) for a in self.told]


def test_a_meter_is_lost_once_others_were_heard_after_it() -> None:
    line = Watch(["a", "b"])
    for _ in range(4):
        line.polled("a", False)
    assert line.codes == [], "it may be the line"
    for _ in range(3):
        line.polled("b", True)
    line.polled("a", False)
    assert line.codes == [("comms-lost", "a", True)]
    assert "line: a does not answer" in line.told[0].text
    line.polled("a", True)
    line.polled("b", True)
    assert line.codes[1:] == [("comms-lost", "a", False)]


def test_when_all_are_silent_it_is_the_line_alone() -> None:
    line = Watch(["a", "b"])
    for _ in range(3):
        line.polled("a", False)
        line.polled("b", False)
    assert line.codes == [("line-down", None, True)]
    assert "127.0.0.1:502" in line.told[0].text
    line.alarms.port_gone("reading failed")
    assert len(line.told) == 1, "already told"
    line.polled("a", True)
    assert line.codes[1:] == [("line-down", None, False)]


def test_devices_that_may_sleep_raise_no_alarm_by_it() -> None:
    line = Watch(["a", "b"], extra="may_sleep = true")
    for _ in range(3):
        line.polled("a", False)
    line.polled("b", True)
    for _ in range(3):
        line.polled("b", False)
    line.alarms.port_gone("connection refused")
    assert line.codes == []


def test_a_line_that_cannot_be_opened() -> None:
    line = Watch(["a"])
    line.alarms.port_gone("there is no such port")
    line.alarms.port_gone("no permission to read and write it")
    assert line.codes == [("line-down", None, True)]
    assert "there is no such port" in line.told[0].text


def test_another_device_that_answers() -> None:
    one = Meter()
    told: list[Alarm] = []
    alarms = Alarms(one.reader.line, told.append)

    def poll() -> None:
        alarms.polled(one.reader, one.poll(), Schedule({"one": 1000}, 0))

    poll()
    one.link.generation, one.link.serial = 2, 7002
    poll()
    poll()
    assert [(a.code, a.meter, a.raised) for a in told] == [("meter-exchanged", "one", True)]
    assert "serial=7002 answers in place of serial=7001" in told[0].text
    assert "meterseal accept" in told[0].text
    one.reader.accept("serial=7002")
    poll()
    assert [(a.code, a.raised) for a in told[1:]] == [("meter-exchanged", False)]


def test_strangers_and_damaged_frames() -> None:
    clock = Moved()
    told: list[Alarm] = []
    spec = tcp_line(502, meter("one", 1))
    for shared, expected in ((False, ["stranger", "stranger"]), (True, [])):
        ear = Ear("line", ShapeTable(3.0), clock.monotonic, lambda unit, latency: None, shared=shared)
        alarms = Alarms(replace(spec, shared=shared), told.append)
        ear.opened()
        clock.now += 4
        for _ in range(3):
            ear.see(Seen("foreign", bytes.fromhex("0903")))
            alarms.heard(ear, ear.flags)
        assert ear.flags == (0 if shared else Quality.SHARED_LINE)
        clock.now += 3601
        alarms.heard(ear, ear.flags)
        assert [a.code for a in told] == expected
        assert not told or ("09 03" in told[0].text and told[0].raised and not told[1].raised)
        told.clear()
    for _ in range(4):
        ear.see(Seen("damaged", b""))
        alarms.heard(ear, ear.flags)
    assert ear.flags == NOISY
    ear.answered(1000)
    alarms.heard(ear, ear.flags)
    assert [(a.code, a.raised) for a in told] == [("crc-rate", True), ("crc-rate", False)]
    assert "terminators" in told[0].text


def test_nobody_needs_to_listen() -> None:
    Alarms(tcp_line(502, meter("one", 1)), None).port_gone("unplugged")
