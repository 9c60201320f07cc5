"""Asleep is not dead: which silence of a device that may sleep is sleep, and which is a fault."""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import replace
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from gateway.clock import Clock
from gateway.fieldbus.modbus import tcp_link
from gateway.fieldbus.polling import open_line
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.polling.line_alarms import LineAlarms
from gateway.fieldbus.polling.meter_state import MeterState
from gateway.fieldbus.polling.poll import AttemptResult
from gateway.fieldbus.polling.schedule import Schedule
from gateway.fieldbus.polling.sleep import NOTHING, Ending, PowerRecord, Sleeper, Sleepers, why_awake
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.errors import LineDown, Unreachable, not_connected
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from gateway.night import Night
from ledger_client.messages import Fact
from tests.gateway.fieldbus.devices import (
    Pty,
    addresses,
    answer,
    bus,
    free_port,
    meter,
    rtu_line,
    running,
    serving,
    tcp_line,
)

H = 3_600_000
UTC = ZoneInfo("UTC")
HOURS = Night(UTC, hours=(20 * 60, 6 * 60))
"""From 20:00 to 06:00 of the days of 1970."""
LOW, FULL = PowerRecord(20.0, 8400.0), PowerRecord(8400.0, 8400.0)
MAY = "may_sleep = true"


def sleeper(name: str = "pv", unit: int = 1, period_ms: int = 100, night: Night | None = None) -> MeterSpec:
    return replace(meter(name, unit, period_ms, extra=MAY), night=night)


# — the rule —


@pytest.mark.parametrize(
    ("now", "fell", "night", "power", "why"),
    [
        (22, 21, None, NOTHING, "its sleeping hours are unknown"),
        (12, 11, None, FULL, "its last power was 100 % of its greatest"),
        (12, 11, None, LOW, None),
        (12, 11, None, PowerRecord(84.0, 8400.0), "its last power was 1 % of its greatest"),
        (12, 11, None, PowerRecord(0.0, 0.0), "its sleeping hours are unknown"),
        (22, 21, HOURS, NOTHING, None),
        (22, 21, HOURS, FULL, None),
        (22, 19, HOURS, NOTHING, "it stopped responding by day"),
        (22, 19, HOURS, FULL, "its last power was 100 % of its greatest"),
        (29, 19, HOURS, NOTHING, "it stopped responding by day"),
        (22, 19, HOURS, LOW, None),
        (19, 18, HOURS, LOW, "it is day"),
        (31, 21, HOURS, NOTHING, "it is day"),
        (45, 21, HOURS, LOW, "it has been silent for more than 16 h"),
        (28, 12, None, LOW, None),
        (28.01, 12, None, LOW, "it has been silent for more than 16 h"),
    ],
)
def test_which_silence_is_sleep(
    now: float, fell: float, night: Night | None, power: PowerRecord, why: str | None
) -> None:
    found = why_awake(round(now * H), round(fell * H), night, power)
    assert (found and str(found)) == why


def test_a_night_longer_than_16_hours_may_be_slept_through_but_no_second_one() -> None:
    stockholm = Night(UTC, place=(59.33, 18.06))
    fell = 355 * 24 * H + 14 * H  # 14:00 UTC in December; the next night begins at 12:49
    for after, why in ((18.2, None), (19.0, "it is day")):
        found = why_awake(fell + round(after * H), fell, stockholm, NOTHING)
        assert (found and str(found)) == why
    too_long = why_awake(fell + 26 * H, fell, stockholm, NOTHING)
    assert too_long is not None
    assert too_long.code == "awake-too-long"
    assert too_long.facts["longest_ms"] == pytest.approx(19.9 * H, abs=0.1 * H)


def test_what_fell_silent_by_day_is_not_asleep_all_night_and_a_new_day_begins_anew() -> None:
    one = Sleeper(sleeper(night=HOURS), lambda: FULL)
    for hour in (12, 13, 21, 23, 29):
        one.unanswered(hour * H, "timeout")
        assert (one.asleep, bool(one.why_awake)) == (False, True), hour
    one.answered()
    for late, asleep in ((45.0, False), (45.1, True), (53.0, True), (54.0, False)):  # 21:00, the next day to 06:00
        one.unanswered(round(late * H), "timeout")
        assert one.asleep is asleep, late


def test_one_silence_makes_no_sleeper_but_a_restart_that_knows_of_more_does() -> None:
    one = Sleeper(sleeper(), lambda: LOW)
    one.unanswered(0, "timeout")
    assert not one.asleep
    one.unanswered(1000, "timeout")
    assert one.asleep
    after = Sleeper(sleeper(night=HOURS), lambda: PowerRecord(silent_since_ms=21 * H))
    after.unanswered(23 * H, "timeout")
    assert after.asleep
    by_day = Sleeper(sleeper(night=HOURS), lambda: PowerRecord(silent_since_ms=15 * H))
    for _ in range(3):
        by_day.unanswered(23 * H, "timeout")
    assert not by_day.asleep, "before the restart it fell silent by day"


def test_once_it_was_heard_what_was_before_this_process_says_nothing() -> None:
    one = Sleeper(sleeper(night=HOURS), lambda: PowerRecord(silent_since_ms=15 * H))
    one.answered()
    for _ in range(2):
        one.unanswered(22 * H, "timeout")
    assert one.asleep


@pytest.mark.parametrize(
    ("endings", "asleep"),
    [
        (("timeout", "timeout"), True),
        (("unreachable",), True),
        (("line-down",), False),
        (("timeout", "timeout", "line-down"), False),
        (("line-down", "timeout"), True),
        (("timeout", "unreachable", "line-down", "unreachable"), True),
    ],
)
def test_the_last_question_that_was_sent_decides(endings: tuple[Ending, ...], asleep: bool) -> None:
    one = Sleeper(sleeper(), lambda: LOW)
    for at, ending in enumerate(endings):
        one.unanswered(at * 1000, ending)
    assert one.asleep is asleep


def test_a_device_that_may_not_sleep_never_does() -> None:
    one = Sleeper(replace(meter("one", 1), night=HOURS), lambda: LOW)
    for _ in range(3):
        one.unanswered(22 * H, "unreachable")
    assert (one.asleep, one.why_awake) == (False, None)


@pytest.mark.parametrize(
    ("error", "quiet"),
    [
        (TimeoutError(), True),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), True),
        (OSError(errno.ECONNREFUSED, "Connection refused"), False),
        (OSError(errno.ECONNRESET, "Connection reset by peer"), False),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
    ],
)
def test_who_does_not_take_the_connection_has_no_power_and_who_refuses_it_has(error: OSError, quiet: bool) -> None:
    found = not_connected(error)
    assert isinstance(found, LineDown)
    assert isinstance(found, Unreachable) is quiet
    assert found.message == Message("device-no-connection") or str(found) == error.strerror


# — its alarms —


class Watch:
    """The alarms of a line of sleepers with this power, at a time that the test sets."""

    def __init__(self, power: PowerRecord, *meters: MeterSpec) -> None:
        self.reported: list[Alarm] = []
        self.now, self.power = 12 * H, power
        spec = tcp_line(502, *meters)
        self.schedule = Schedule({one.name: 1000 for one in meters}, 0)
        self.sleepers = Sleepers(meters, lambda name: self.power)
        self.alarms = LineAlarms(spec, self.reported.append, self.sleepers)
        self.readers = {one.name: MeterState(spec, one, Clock(), lambda: False) for one in meters}

    def polled(self, name: str, alive: bool) -> None:
        attempt = AttemptResult(Poll(name, 0), alive)
        self.schedule.finished(name, 0, alive, 50)
        self.sleepers.polled(self.now, attempt)
        self.alarms.polled(self.readers[name], attempt, self.schedule)

    @property
    def codes(self) -> list[tuple[str, str | None, bool]]:
        return [(a.code, a.meter, a.raised) for a in self.reported]


def awake(alarm: Alarm) -> tuple[str, Fact]:
    """What an alarm says of ``pv``, which may sleep: its code, and why it is not taken to be asleep."""
    assert isinstance(alarm.sentence, Message)
    what, (why,) = alarm.sentence.facts["what"], cast("tuple[Message, ...]", alarm.sentence.facts["awake"])
    assert isinstance(what, Message)
    assert (why.code, why.facts["meter"]) == ("meter-not-asleep", "pv")
    return what.code, why.facts["why"]


def test_a_sleeper_that_falls_silent_at_full_power_is_lost_and_one_at_no_power_sleeps() -> None:
    for power, expected in ((LOW, []), (FULL, [("comms-lost", "pv", True)])):
        line = Watch(power, sleeper(), meter("other", 2))
        for _ in range(3):
            line.polled("pv", False)
            line.polled("other", True)
        assert line.codes == expected
    assert awake(line.reported[0]) == ("meter-not-responding", Message("awake-power", share_percent=100))


def test_a_sleeper_silent_for_more_than_16_hours_is_an_alarm() -> None:
    line = Watch(LOW, sleeper(), meter("other", 2))
    for hour in (18, 19, 34, 34.1):
        line.now = round(hour * H)
        line.polled("pv", False)
        line.polled("other", True)
        assert line.codes == ([] if hour <= 34 else [("comms-lost", "pv", True)])
    assert awake(line.reported[0]) == ("meter-not-responding", Message("awake-too-long", longest_ms=16 * H))


def test_a_sleeper_silent_by_day_is_an_alarm_where_hours_are_given_and_none_at_night() -> None:
    line = Watch(LOW, sleeper(night=HOURS), meter("other", 2))
    for hour, standing in ((18, False), (19, True), (20, False), (29, False), (30.5, True)):
        line.now = round(hour * H)
        line.polled("pv", False)
        line.polled("other", True)
        assert (bool(line.reported) and line.reported[-1].raised) is standing, hour
    assert awake(line.reported[-1]) == ("meter-not-responding", Message("awake-by-day"))


def test_a_line_is_down_unless_all_of_its_meters_sleep() -> None:
    for power, others, expected in (
        (LOW, (), []),
        (FULL, (), [("line-down", None, True)]),
        (LOW, (meter("other", 2),), [("line-down", None, True)]),
    ):
        line = Watch(power, sleeper(), *others)
        for _ in range(3):
            for name in line.readers:
                line.polled(name, False)
        assert line.codes == expected


def test_a_meter_that_was_lost_by_day_and_sleeps_at_night_is_lost_no_more_though_nobody_else_answers() -> None:
    line = Watch(LOW, sleeper(night=HOURS), sleeper("pv-2", 2, night=HOURS))
    line.now = 18 * H
    for _ in range(3):
        line.polled("pv", False)
        line.polled("pv-2", True)
    assert line.codes == [("comms-lost", "pv", True)]
    line.now = 21 * H
    for _ in range(3):
        line.polled("pv-2", False)
        line.polled("pv", False)
    assert line.codes[1:] == [("comms-lost", "pv", False)]
    assert "asleep" in line.reported[-1].text


# — a line at work —


async def asleep_by(spec: LineSpec, power: PowerRecord, missed: str, count: int = 3) -> tuple[Line, list[Alarm]]:
    """Run a line until so many polls were missed for this reason."""
    raised: list[Alarm] = []
    async with running(spec, power=lambda name: power, on_alarm=raised.append) as (line, polls):
        await polls.until(lambda poll: poll.missed == missed, count=count)
        assert line.up is (missed == "asleep")
        assert line.asleep is (missed == "asleep")
    return line, [alarm for alarm in raised if alarm.raised]


def test_refused_is_line_down_even_at_night() -> None:
    """It has power: it answers the connection with a refusal."""
    _, alarms = asyncio.run(asleep_by(tcp_line(free_port(), sleeper()), LOW, "line-down"))
    assert [alarm.code for alarm in alarms] == ["line-down"]
    assert "refused" in alarms[0].text.lower()


def test_a_port_that_is_gone_is_line_down_even_at_night(tmp_path: Path) -> None:
    _, alarms = asyncio.run(asleep_by(rtu_line(tmp_path / "none", sleeper()), LOW, "line-down"))
    assert [alarm.code for alarm in alarms] == ["line-down"]


def test_a_connection_that_is_reset_is_line_down_even_at_night() -> None:
    async def test() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.transport.abort()

        async with serving(talk) as server:
            await asleep_by(tcp_line(server.port, sleeper()), LOW, "line-down", count=2)

    asyncio.run(test())


def no_route() -> LineSpec:
    return replace(tcp_line(502, sleeper()), host="127.255.255.255")  # Linux has no route for TCP to a broadcast


def test_no_route_to_a_device_without_power_is_sleep_and_at_full_power_a_fault() -> None:
    assert asyncio.run(asleep_by(no_route(), LOW, "asleep"))[1] == []
    _, alarms = asyncio.run(asleep_by(no_route(), FULL, "line-down"))
    assert [alarm.code for alarm in alarms] == ["line-down"]
    assert awake(alarms[0])[1] == Message("awake-power", share_percent=100)


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu-over-tcp"])
def test_a_connection_that_times_out_is_sleep(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue of connections is full, so that nobody answers the next."""
    for module in (tcp_link, open_line):
        monkeypatch.setattr(module, "CONNECT_S", 0.1)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.setblocking(False)
            assert one.connect_ex(full.getsockname()) == errno.EINPROGRESS
        spec = tcp_line(full.getsockname()[1], sleeper(), kind=kind)
        assert asyncio.run(asleep_by(spec, LOW, "asleep"))[1] == []


@pytest.mark.parametrize(("power", "unsent", "alarms"), [(LOW, "asleep", []), (FULL, "backoff", ["comms-lost"])])
def test_polls_that_are_not_sent_share_the_reason_of_the_last_that_was(
    power: PowerRecord, unsent: str, alarms: list[str], tmp_path: Path
) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({2: addresses}))
        # between two polls of the other there is no room for a probe, so that it is asked seldom
        spec = rtu_line(pty.link, sleeper(period_ms=250), meter("other", 2, 50), life_ms=100)
        raised: list[Alarm] = []
        async with running(spec, power=lambda name: power, on_alarm=raised.append) as (line, polls):
            await polls.until(lambda poll: poll.missed == unsent, count=4)
            await polls.until(lambda poll: bool(raised) == bool(alarms))
            assert line.up
            assert not line.asleep, "the other one answers"
        # a poll that a busy machine begins too late is skipped, and a probe may find room after all
        missed = [poll.missed for poll in polls if poll.meter == "pv" and poll.missed != "skipped"]
        assert missed[0] == "timeout", "one silence is none"
        assert set(missed[2:]) <= {unsent, "timeout"}
        assert len([request for _, request in pty.responder.asked if request.unit == 1]) < len(missed) * 2
        assert [alarm.code for alarm in raised if alarm.raised] == alarms
        pty.unplug()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("reason", "missed"),
    [
        ("timeout", "asleep"), ("line-down", "asleep"), ("backoff", "asleep"), ("skipped", "asleep"),
        ("no-shape", "asleep"), ("stopped", "stopped"), ("exchanged", "exchanged"), ("refused", "refused"),
    ],
)  # fmt: skip
def test_what_the_gateway_did_itself_or_a_device_said_is_no_sleep(reason: str, missed: str) -> None:
    polls: list[Poll] = []
    line = Line(tcp_line(502, sleeper()), Clock(), polls.append, power=lambda name: LOW)
    line._schedule = Schedule({"pv": 1000}, 0)
    line._sleepers.line_gone(0, unreachable=True)
    line._report(Poll("pv", 0, missed=reason))
    assert [poll.missed for poll in polls] == [missed]
    assert line.counters[missed] == 1


def test_a_sleeper_that_wakes_up_gives_readings_again(tmp_path: Path) -> None:
    async def test() -> None:
        asleep = False
        pty = Pty(tmp_path / "line", lambda request: [] if asleep else [(0.0, answer(request))])
        async with running(rtu_line(pty.link, sleeper()), power=lambda name: LOW) as (line, polls):
            await polls.until(lambda poll: bool(poll.answers))
            asleep = True
            await polls.until(lambda poll: poll.missed == "asleep")
            asleep = False
            polls.clear()
            await polls.until(lambda poll: bool(poll.answers))
            assert not line.asleep
        pty.unplug()

    asyncio.run(test())
