"""Who answers is read again, once and before values count, whenever something befell that another device could be
behind; and along with a block, or every minute, where that costs next to nothing."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.fieldbus.modbus.frames import Request, Shape
from gateway.fieldbus.polling.line_monitor import LineMonitor
from gateway.fieldbus.polling.meter_state import IDENTITY_EVERY_S, MeterState
from gateway.fieldbus.read_budget import identity_every_s
from gateway.fieldbus.wire.keys import KeyTable, Unit
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.link import ObservedFrame
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import Pty, Sent, answer, meter, rtu_line, running, tcp_line
from tests.gateway.fieldbus.polling.test_meter_state import Meter, counting
from tests.support.register_points import register_point, registers_of

WHO = 900
"""Where the serial number of the test profile stands; its blocks are at 100 and 300."""


def silent_at(*addresses: int) -> Callable[[Request], bool]:
    return lambda request: request.address in addresses


def met() -> Meter:
    """A meter that was read once."""
    one = Meter()
    one.poll()
    one.link.asked.clear()
    return one


def test_after_a_time_out_who_it_is_is_read_once_and_before_its_next_values_count() -> None:
    one = met()
    one.link.silent = silent_at(300)
    assert len(one.poll().poll.answers) == 1
    assert one.link.addresses == [100, 300]
    one.link.silent = silent_at()
    one.poll()
    one.poll()
    assert one.link.addresses == [WHO, 100, 300, 100, 300], "once"


def test_another_device_behind_a_time_out_is_found_before_a_value_of_it_counts() -> None:
    one = met()
    one.link.silent = silent_at(300)
    one.poll()
    one.link.silent = silent_at()
    one.link.serial = 7002
    attempt = one.poll()
    assert (attempt.poll.missed, attempt.poll.answers, attempt.poll.flags) == ("exchanged", (), Quality.METER_EXCHANGED)
    assert one.reader.stranger == "serial=7002"
    one.reader.accept("serial=7002")
    assert one.poll().poll.answers


def test_what_answers_behind_a_time_out_in_the_same_poll_counts_once_it_is_known_whose_it_is() -> None:
    one = met()
    one.link.silent = silent_at(100)
    attempt = one.poll()
    assert one.link.addresses == [100, 300, WHO]
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [300]
    one.link.serial = 7002
    assert one.poll().poll.missed == "exchanged"


def test_values_behind_a_time_out_do_not_count_when_who_it_is_stays_unknown() -> None:
    one = met()
    one.link.silent = silent_at(100, WHO)
    attempt = one.poll()
    assert (attempt.poll.missed, attempt.poll.answers) == ("timeout", ())
    assert one.link.addresses == [100, 300, WHO]
    one.link.silent = silent_at()
    assert one.poll().poll.answers
    assert one.link.addresses == [WHO, 100, 300]


def test_a_meter_that_never_answers_the_read_behind_its_serial_number_is_not_asked_for_that_for_ever() -> None:
    one = met()
    behind_identity = False

    def too_soon(request: Request) -> bool:
        nonlocal behind_identity
        silent, behind_identity = behind_identity, request.address == WHO
        return silent

    one.link.silent = silent_at(100)
    one.poll()
    one.link.silent = too_soon
    polls = [one.poll().poll for _ in range(6)]
    assert all(any(registers_of(a.block).address == 100 for a in poll.answers) for poll in polls[1:])


@pytest.mark.parametrize("kind", ["damaged", "doubled"])
def test_a_damaged_or_doubled_frame_of_a_meter_is_told(kind: str) -> None:
    doubted: list[Unit] = []
    monitor = LineMonitor("line", KeyTable(3.0), lambda: 0.0, lambda unit, latency: None, doubted.append)
    monitor.see(ObservedFrame(kind, b"", Shape(7, 3, 4)))
    monitor.see(ObservedFrame("late", b"", Shape(8, 3, 4), 0.5))
    monitor.see(ObservedFrame("noise", b""))
    assert doubted == [7]


class Swapped:
    """A meter on a line that sends one answer in a given way and is another device from then on, without a silence."""

    def __init__(self, spoil: Callable[[bytes], list[bytes]]) -> None:
        self.spoil, self.serial, self.asked = spoil, 7001, list[int]()

    def __call__(self, request: Request) -> Sent:
        self.asked.append(request.address)
        places = range(request.address, request.address + request.count)
        data = struct.pack(f">{request.count}H", *(self.serial if place == WHO else place for place in places))
        if self.asked.count(300) == 2 and request.address == 300:
            self.serial = 7002
            return [(0.0, frame) for frame in self.spoil(answer(request, data))]
        return [(0.0, answer(request, data))]


@pytest.mark.parametrize(
    "spoil",
    [lambda frame: [frame[:-1] + bytes([frame[-1] ^ 1])], lambda frame: [frame, frame], lambda frame: []],
    ids=["damaged", "doubled", "lost"],
)
def test_another_device_gives_no_value_on_the_wire(tmp_path: Path, spoil: Callable[[bytes], list[bytes]]) -> None:
    async def read() -> list[str | None]:
        device = Swapped(spoil)
        pty = Pty(tmp_path / "line", device)
        spec = rtu_line(pty.link, meter("one", 1, 400, identity="serial"), life_ms=150)
        async with running(spec) as (_, polls):
            await polls.until(lambda poll: poll.missed == "exchanged")
        pty.unplug()
        return [poll.missed for poll in polls if poll.missed not in ("stopped", "timeout")]

    missed = asyncio.run(read())  # a poll that a busy machine answers too late says nothing here
    first = missed.index("exchanged")
    assert 1 <= first <= 2, "a copy that comes at once is known in the poll itself"
    assert set(missed[:first]) == {None}
    assert set(missed[first:]) == {"exchanged"}


def falling(one: Meter) -> None:
    """Its counter is doubted from now on."""
    one.reader.doubts = lambda found: any(p.name == "b" for p in found.block.points)


def test_a_counter_that_fell_counts_once_it_is_known_whose_it_is() -> None:
    one = Meter(replace(counting(), profile=meter("one", 1, identity="serial").profile))
    one.poll()
    one.link.asked.clear()
    falling(one)
    attempt = one.poll()
    assert one.link.addresses == [100, 100, 300, WHO], "a second look, the rest, and who it is"
    assert len(attempt.poll.answers) == 3
    one.link.serial = 7002
    attempt = one.poll()
    assert (attempt.poll.missed, attempt.poll.answers) == ("exchanged", ())


def test_a_poll_whose_counter_fell_waits_for_a_shape_to_read_who_it_is_and_is_dropped_without_one() -> None:
    one = Meter(replace(counting(), profile=meter("one", 1, identity="serial").profile))
    one.poll()
    falling(one)
    until = one.clock.now + 3
    one.link.young = lambda request: until if request.address == WHO and one.clock.now < until else None
    turn = one.turn()
    assert asyncio.run(turn.run()) == until
    assert turn.abandon("line-down", "unplugged").poll.answers == ()
    turn = one.turn()
    asyncio.run(turn.run())
    one.clock.now = until
    ended = asyncio.run(turn.run())
    assert not isinstance(ended, float)
    assert len(ended.poll.answers) == 3


def every_minute(spec: MeterSpec | None = None) -> Meter:
    one = Meter(spec)
    line = one.reader.line
    one.reader = MeterState(line, one.reader.spec, one.clock, lambda: False, identity_every_s=60.0)
    return one


def test_who_it_is_is_read_every_minute_where_that_costs_little() -> None:
    one = every_minute()
    for _ in range(180):
        one.poll()
    assert one.link.addresses.count(WHO) == 3
    one.link.serial = 7002
    missed = [one.poll().poll.missed for _ in range(61)]
    assert "exchanged" in missed


def test_a_read_of_who_it_is_that_is_only_due_costs_no_poll_where_it_has_no_key() -> None:
    one = every_minute()
    one.poll()
    one.link.young = lambda request: one.clock.now + 9999 if request.address == WHO else None
    assert all(one.poll(30.0).poll.answers for _ in range(int(IDENTITY_EVERY_S / 30) - 1))
    assert one.poll(61.0).poll.missed == "no-shape", "for an hour"


def test_how_often_who_it_is_is_read_follows_from_what_it_costs() -> None:
    def of(count: int, line: LineSpec | None = None, extra: str = "") -> float:
        meters = tuple(meter(f"m{n}", n + 1, 1000, identity="serial", extra=extra) for n in range(count))
        line = line or LineSpec("line", "modbus-rtu", (), port="/dev/ttyS0", baudrate=9600)
        return identity_every_s(replace(line, meters=meters))

    assert of(10) == 60.0
    assert of(40) == IDENTITY_EVERY_S, "a read of 46 ms each"
    assert of(5, extra="pause_ms = 500") == IDENTITY_EVERY_S
    assert of(20, tcp_line(502)) == 60.0
    assert of(1, replace(tcp_line(502), tunnel=True)) == IDENTITY_EVERY_S


NEAR = 104


def beside(identity: tuple[str, ...] = ("near",), at: int = NEAR, period_ms: int = 1000) -> MeterSpec:
    """A meter whose serial number stands beside its first block."""
    spec = meter("one", 1, period_ms)
    near = register_point("near", 3, at, "uint16", 1, kind="status", record=False)
    return replace(spec, profile=replace(spec.profile, points=(*spec.profile.points, near), identity=identity))


def test_who_it_is_is_read_along_with_a_block_where_that_fits() -> None:
    one = every_minute(beside())
    one.link.serial_at = NEAR
    attempt = one.poll()
    assert [[p.name for p in a.block.points] for a in attempt.poll.answers] == [["a", "b"], ["c"]], "it is no value"
    one.link.asked.clear()
    for _ in range(120):
        assert len(one.poll().poll.answers) == 2
    assert {r.address for r in one.link.asked} <= {100, 101, 300}, "no read of its own"
    one.link.serial = 7002
    attempt = one.poll()
    assert (attempt.poll.missed, attempt.poll.answers) == ("exchanged", ())
    assert one.link.asked[-1].address == NEAR, "read for itself before it is believed"


def test_a_block_with_another_serial_number_than_the_meters_own_is_dropped_alone() -> None:
    one = every_minute(beside())
    one.link.serial_at = NEAR
    one.poll()

    def glitch(request: Request) -> bool:
        one.link.serial = 7002 if request.address == 100 else 7001
        return False

    one.link.silent = glitch
    attempt = one.poll()
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [300]
    assert attempt.poll.failures[0].detail == Message("poll-other-serial")
    assert one.reader.stranger is None


@pytest.mark.parametrize("at", [150, 250, WHO], ids=["far", "in no readable span", "apart"])
def test_who_it_is_is_not_read_along_where_that_costs_a_read_or_much_time(at: int) -> None:
    spec = beside(at=at)
    line = LineSpec("line", "modbus-rtu", (spec,), port="/dev/ttyS0", baudrate=9600)
    one = Meter(spec)
    one.reader = MeterState(line, spec, one.clock, lambda: False)
    plan = asyncio.run(one.reader.plan(lambda requests: one.link.read(requests, one.reader.manners)))
    assert [(registers_of(b.block).address, registers_of(b.block).count, b.who) for b in plan.blocks] == [
        (100, 3, ()),
        (300, 1, ()),
    ]


def test_a_device_that_refuses_who_it_is_along_with_a_block_is_asked_without() -> None:
    one = every_minute(beside())
    one.link.serial_at = NEAR
    one.link.refused = lambda request: request.address <= 101 and request.address + request.count > NEAR
    for _ in range(3):
        one.poll()
    attempt = one.poll()
    assert [[p.name for p in a.block.points] for a in attempt.poll.answers] == [["a", "b"], ["c"]]


def test_a_point_that_is_read_along_only_to_tell_who_answers_is_no_missing_value_of_a_block_that_failed() -> None:
    one = every_minute(beside())
    one.link.serial_at = NEAR
    one.poll()
    one.link.silent = lambda request: request.address != NEAR
    failures = one.poll().poll.failures
    one.link.down = lambda request: request.address != NEAR
    failures += one.poll().poll.failures
    assert [[p.name for p in f.block.points] for f in failures] == [["a", "b"], ["c"]] * 2
