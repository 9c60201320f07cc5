"""Alarms of values outside their limits and of bad ones, on a machine whose time the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateway.fieldbus.polling.line import Line
from gateway.messages.message import Message
from gateway.records import MissedPoll, PollResult, SignedRecord, StoredRecord, Timestamp
from gateway.runtime.alarm_inputs import AlarmInputs
from gateway.startup.line_specs import line_specs
from ledger_client.formats.senml import Number, Quality, Reading, Value
from tests.support.gateways.contexts import InForce, context
from tests.support.gateways.desk import Desk
from tests.support.samples import rewritten

A, BUS = "meter-a", "bus-1"
NONE, FAULT = Quality.DECODE_ERR, Quality.DEVICE_FAULT
LIMITS = 'profile = "sunspec-inverter"\nlimits = { voltage_ln = [207, 253] }'
GOOD: dict[str, tuple[Number | None, int]] = {
    "active_power": (4200, 0), "energy_export": (8_754_250, 0), "voltage_ln_l1": (230.4, 0),
    "voltage_ln_l2": (231.0, 0), "temperature_cabinet": (41.5, 0), "reactive_power": (None, NONE),
}  # fmt: skip
"""An inverter that leaves its reactive power empty."""


def bad(quality: Quality, *points: str) -> str:
    """The text of the alarm ``value-bad`` of points whose values are bad for that reason."""
    word = (quality.name or "").lower().replace("_", "-")
    values = (Message("points-of-quality", points=points, quality=word),)
    return str(Message("values-bad", meter=A, line=BUS, values=values))


class Shift(Desk):
    """A board with the alarms of values, and the readings of one meter every ten seconds."""

    def listen(self, profile: str = 'profile = "sunspec-inverter"') -> None:
        self.loaded = rewritten(self.loaded, ('profile = "sunspec-inverter"', profile))
        lines = {spec.name: Line(spec, self.clock, lambda _: None) for spec in line_specs(self.loaded)}
        self.in_force = InForce(self.loaded)
        self.site = context(self.in_force, self.clock, self.recorder, self.live, self.board, lines)
        self.sources = AlarmInputs(self.site)

    def values(self, seconds: int = 0, **changed: tuple[Number | None, int]) -> None:
        """Readings of these values, others as usual: one now, and one every ten seconds for so long."""
        for _ in range(0, seconds + 1, 10):
            now = Timestamp.now(self.clock)
            read = [Value(name, value, quality=int(flags)) for name, (value, flags) in (GOOD | changed).items()]
            row = StoredRecord(A, b"", 0, "reading", now.time_ms, b"")
            news = [SignedRecord(row, Reading(now.time_ms, tuple(read)), now)]
            self.live.hear(news)
            self.sources.hear(news)
            self.waits(10)

    def waits(self, seconds: int) -> None:
        for _ in range(seconds):
            self.passes(1)
            self.sources._values.look()
        self.board.tick()

    def alarms(self) -> list[tuple[str, bool, str]]:
        """(code, active, text) of what stands."""
        return [(row.code, row.active, row.text) for row in self.board.listed()]


Work = Callable[[Shift], Awaitable[None]]
Run = Callable[[Work], None]


@pytest.fixture
def shift(tmp_path: Path) -> Run:
    def run(work: Work) -> None:
        async def inside() -> None:
            made = Shift(tmp_path, {BUS: [A]})
            try:
                await work(made)
            finally:
                made.stop()

        asyncio.run(inside())

    return run


def test_a_value_outside_its_limits_until_it_is_inside_by_the_hysteresis(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen(LIMITS)
        shift.values(600)
        shift.values(10, voltage_ln_l1=(901, 0))
        assert shift.alarms() == [], "20 s of 30"
        shift.values(20, voltage_ln_l1=(901, 0))
        shift.values(10, voltage_ln_l1=(901, 0), voltage_ln_l2=(0, 0))
        (alarm,) = shift.alarms()
        assert alarm[:2] == ("limit", True)
        where, text = alarm[2].split(": ")
        assert where == f"{A} on {BUS}"
        above, below = text.split("; ")
        assert above.split(", ") == ["voltage_ln_l1 above 253 V", "at first 901 V"]
        assert below.split(", ") == ["voltage_ln_l2 below 207 V", "at first 0 V"]
        shift.values(120, voltage_ln_l1=(252.5, 0))
        assert shift.one().active, "inside, but not by the hysteresis"
        assert "voltage_ln_l2" not in shift.one().text
        shift.values(60)
        assert not shift.one().active
        assert shift.raised() == [("limit", True), ("limit", False)]

    shift(work)


def test_bad_values_of_a_meter_are_one_alarm_after_five_minutes_with_points_and_quality(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen()
        shift.values()
        bad = {"active_power": (None, NONE), "energy_export": (None, NONE), "temperature_cabinet": (41, FAULT)}
        shift.values(280, **bad)
        assert shift.alarms() == []
        shift.values(20, **bad)
        text = f"{A} on {BUS}: active_power, energy_export: no valid value; "
        text += "temperature_cabinet: the device reports a fault"
        assert shift.alarms() == [("value-bad", True, text)], "and not the reactive power, which never was good"
        shift.values(60)
        assert not shift.one().active
        shift.values(280, active_power=(None, NONE))
        shift.values(280, energy_export=(None, NONE))
        assert shift.raised() == [("value-bad", True), ("value-bad", False)], "each of them for less than five minutes"

    shift(work)


def test_a_power_or_counter_that_never_was_good_is_bad_and_a_block_without_an_answer(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen()
        empty = {name: (None, int(NONE)) for name in GOOD if name != "voltage_ln_l2"}
        shift.values(310, **empty)
        assert shift.alarms() == [("value-bad", True, bad(NONE, "active_power", "energy_export"))]
        lost = Quality.COMM_FAIL
        shift.values(70)
        assert not shift.one().active
        shift.values(310, voltage_ln_l1=(None, lost), voltage_ln_l2=(None, Quality.NOT_ASKED))
        assert shift.one().text == bad(lost, "voltage_ln_l1")
        assert "voltage_ln_l2" not in shift.one().text, "what is not asked has an alarm of its own"

    shift(work)


def test_where_no_number_is_any_good_and_of_what_a_device_calls_faulty_all_count(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen()
        shift.values(310, temperature_cabinet=(900, FAULT))
        found = [("value-bad", True, bad(FAULT, "temperature_cabinet"))]
        assert shift.alarms() == found, "it never was good, but it is not empty"
        shift.values(310, **{name: (None, int(NONE)) for name in GOOD})
        text = f"{A} on {BUS}: active_power, energy_export, temperature_cabinet, reactive_power and 2 more: "
        assert shift.one().text == f"{text}no valid value", "not one of six is good"

    shift(work)


@pytest.mark.parametrize("reason", ["timeout", "asleep"])
def test_of_a_meter_that_does_not_answer_no_value_is_bad(shift: Run, reason: str) -> None:
    async def work(shift: Shift) -> None:
        shift.listen(LIMITS)
        shift.values(200, active_power=(None, NONE), voltage_ln_l1=(901, 0))
        assert [code for code, *_ in shift.alarms()] == ["limit"]
        shift.live.hear([MissedPoll(A, shift.clock.now_ms(), reason)])
        shift.waits(400)
        assert [(code, active) for code, active, _ in shift.alarms()] == [("limit", False)], "its silence is the alarm"
        shift.values(280, active_power=(None, NONE))
        assert len(shift.alarms()) == 1, "five minutes begin anew"
        shift.values(10, active_power=(None, NONE))
        assert [code for code, active, _ in shift.alarms() if active] == ["value-bad"]

    shift(work)


def test_by_night_an_inverter_that_may_sleep_leaves_its_values_empty(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen('profile = "sunspec-inverter"\nsleeps = "07:00-09:00"')  # it is 08:00
        shift.values()
        shift.values(1200, active_power=(None, NONE), temperature_cabinet=(7, FAULT))
        assert shift.alarms() == [("value-bad", True, bad(FAULT, "temperature_cabinet"))]
        shift.machine.passes(3600)
        shift.values(310, active_power=(None, NONE))
        assert "active_power" in shift.one().text, "and by day they are bad"

    shift(work)


def test_a_restart_keeps_the_alarm_and_what_an_acknowledged_one_did_not_name_raises_it_again(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen(LIMITS)
        shift.values()
        bad = {"temperature_cabinet": (None, NONE)}
        shift.values(310, voltage_ln_l1=(901, 0), **bad)
        for row in shift.board.listed():
            await shift.board.operator.acknowledge(row.id, "ines")
        before = {row.code: row.since_ms for row in shift.board.listed()}
        shift.restart()
        shift.listen()
        shift.values(120, voltage_ln_l1=(901, 0), **bad)
        assert {row.code: row.since_ms for row in shift.board.listed() if row.active} == before
        assert shift.raised() == []
        shift.values(310, voltage_ln_l1=(901, 0), active_power=(None, NONE), **bad)
        assert ("value-bad", True) in shift.raised()
        row = next(row for row in shift.board.listed() if row.code == "value-bad")
        assert (row.acknowledged, "active_power" in row.text, "temperature_cabinet" in row.text) == (False, True, True)

    shift(work)


def test_a_reload_applies_other_limits(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        shift.listen(LIMITS)
        shift.values(60, voltage_ln_l1=(260, 0))
        assert "above 253 V" in shift.one().text
        shift.in_force.now = rewritten(shift.loaded, ("[207, 253]", "[207, 255]"))
        shift.sources.reloaded()
        shift.values(10, voltage_ln_l1=(260, 0))
        assert "above 255 V" in shift.one().text
        shift.in_force.now = rewritten(shift.loaded, ("limits = { voltage_ln = [207, 255] }", ""))
        shift.sources.reloaded()
        shift.waits(61)
        assert not shift.one().active

    shift(work)


def test_after_a_restart_the_database_tells_that_a_point_was_good(shift: Run) -> None:
    async def work(shift: Shift) -> None:
        anchor_ms = shift.clock.now_ms()
        for n in range(20):
            now, value = Timestamp.now(shift.clock), Value("temperature_cabinet", 41, "Cel", 0 if n < 15 else int(NONE))
            shift.recorder.put(PollResult(A, anchor_ms + n * 10_000, Reading(now.time_ms, (value,)), now))
            shift.machine.passes(10)
        shift.restart()
        shift.listen()
        shift.values(310, temperature_cabinet=(None, NONE), reactive_power=(None, NONE))
        assert shift.alarms() == []
        await shift.sources._look_at_past(shift.clock.now_ms())
        shift.waits(1)
        assert shift.alarms() == [("value-bad", True, bad(NONE, "temperature_cabinet"))]

    shift(work)
