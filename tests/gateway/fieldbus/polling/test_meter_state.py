"""One meter's polls over a link of the test's own making, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from gateway.clock import Clock
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.polling.meter_state import MeterState
from gateway.fieldbus.polling.poll import AttemptResult, PollAttempt
from gateway.fieldbus.specs import BlockAnswer
from gateway.fieldbus.wire.errors import LineDown
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.fieldbus.wire.link import Answer, Manners, Outcome, Refusal, Silence
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import meter, tcp_line
from tests.support.register_points import register_point, registers_of


class Moved(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.started_monotonic

    def monotonic(self) -> float:
        return self.now


class Scripted:
    """A link whose answers the test decides; registers hold their address, 900 the serial number."""

    def __init__(self, clock: Moved) -> None:
        self.clock, self.generation, self.renewals, self.voided = clock, 1, 0, set[int]()
        self.serial, self.serial_at = 7001, 900
        self.asked: list[Request] = []
        self.manners: list[Manners] = []
        self.silent: Callable[[Request], bool] = lambda request: False
        self.refused: Callable[[Request], bool] = lambda request: False
        self.down: Callable[[Request], bool] = lambda request: False
        self.double: Callable[[Request], bool] = lambda request: False
        self.young: Callable[[Request], float | None] = lambda request: None

    async def read(self, questions: Sequence[Question], manners: Manners) -> Outcome:
        request = cast(Request, questions[len(self.asked) % len(questions)])
        if (until := self.young(request)) is not None:
            return Silence("no-shape", "younger than its answer life", until=until)
        self.asked.append(request)
        self.manners.append(manners)
        number = len(self.asked)
        if self.down(request):
            raise LineDown("pulled out")
        if self.silent(request):
            return Silence("timeout", Message("answer-none"), request)
        if self.refused(request):
            return Refusal(request, refused(2, 3))
        if self.double(request):
            self.voided.add(number)
        places = range(request.address, request.address + request.count)
        words = [self.serial if place == self.serial_at else place for place in places]
        return Answer(request, struct.pack(f">{request.count}H", *words), self.clock.now, number)

    async def quiet(self) -> None:
        pass

    def close(self) -> None:
        pass

    @property
    def addresses(self) -> list[int]:
        """What was asked since the last look."""
        asked, self.asked = self.asked, []
        return [request.address for request in asked]


class Meter:
    """A reader with its link and clock."""

    def __init__(self, spec: MeterSpec | None = None, *, identity: str | None = None, stop: bool = False) -> None:
        self.clock = Moved()
        self.link = Scripted(self.clock)
        spec = spec or meter("one", 1, 1000, identity="serial")
        self.others_in = math.inf
        others_at = lambda: self.clock.now + self.others_in  # noqa: E731
        self.reader = MeterState(tcp_line(502, spec), spec, self.clock, lambda: stop, identity, others_at=others_at)

    def shared(self) -> Meter:
        """The same meter on a line that the site knows to be shared."""
        line = replace(self.reader.line, shared=True)
        self.reader = MeterState(line, self.reader.spec, self.clock, lambda: False)
        return self

    def poll(self, after: float = 1.0, *, probe: bool = False) -> AttemptResult:
        self.clock.now += after
        attempt = asyncio.run(self.turn(probe=probe).run())
        assert isinstance(attempt, AttemptResult)
        return attempt

    def turn(self, *, probe: bool = False) -> PollAttempt:
        return PollAttempt(self.reader, self.link, self.clock.schedule_ms(), probe=probe)


def test_who_it_is_is_read_first_then_hourly_and_after_an_outage() -> None:
    one = Meter()
    assert one.poll().poll.identity == "serial=7001"
    assert one.link.addresses == [900, 100, 300]
    for _ in range(3598):
        one.poll()
        assert one.link.addresses == [100, 300]
    one.poll(1.5)
    assert one.link.addresses == [100, 300]
    one.poll()
    assert one.link.addresses == [900, 100, 300], "an hour later"
    one.link.silent = lambda request: True
    for _ in range(50):
        one.poll()
    assert one.link.addresses == [100, 300, *[900] * 49], "once silent, it has to say first who it is"
    one.link.silent = lambda request: False
    one.poll(12.0)
    assert one.link.addresses == [900, 100, 300], "after an outage of over a minute"


def test_who_it_is_is_read_again_on_another_connection() -> None:
    one = Meter()
    one.poll()
    one.link.generation = 2
    one.link.serial = 7002
    assert one.link.addresses == [900, 100, 300]
    attempt = one.poll()
    assert attempt.poll.missed == "exchanged"
    assert attempt.poll.flags == Quality.METER_EXCHANGED
    assert attempt.alive is True
    assert one.link.addresses == [900]
    one.reader.accept("serial=7002")
    assert one.poll().poll.answers
    one.link.serial = 7001
    one.link.generation = 3
    assert one.poll().poll.missed == "exchanged"
    one.link.serial = 7002
    assert one.poll().poll.answers, "the accepted one is back"


def test_an_identity_that_cannot_be_read_is_unproven_and_values_count() -> None:
    one = Meter()
    one.link.refused = lambda request: request.address == 900
    attempt = one.poll()
    assert len(attempt.poll.answers) == 2
    assert attempt.poll.flags == Quality.IDENTITY_UNPROVEN
    one.link.refused = lambda request: False
    one.link.generation = 2
    assert one.poll().poll.flags == 0


def test_a_silent_identity_ends_the_poll() -> None:
    one = Meter()
    one.link.silent = lambda request: request.address == 900
    attempt = one.poll()
    assert (attempt.poll.missed, attempt.alive) == ("timeout", False)
    assert one.link.addresses == [900]


def test_two_silences_in_a_row_are_enough_and_one_for_a_probe() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.silent = lambda request: True
    attempt = one.poll()
    assert one.link.addresses == [100, 300]
    assert attempt.alive is False
    attempt = one.poll(probe=True)
    assert one.link.addresses == [100]
    assert [f.reason for f in attempt.poll.failures] == ["timeout", "timeout"]


def test_one_block_that_answers_makes_a_reading_of_the_poll() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.silent = lambda request: request.address == 100
    attempt = one.poll()
    assert attempt.poll.missed is None
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [300]
    assert [registers_of(f.block).address for f in attempt.poll.failures] == [100]
    assert attempt.alive is True


def test_an_answer_that_was_doubled_before_the_next_request_is_taken_out() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.double = lambda request: request.address == 100
    attempt = one.poll()
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [300]
    assert "two answers" in str(attempt.poll.failures[0].detail)
    assert one.link.voided == set()


def test_an_identity_that_was_doubled_proves_nothing() -> None:
    one = Meter()
    one.link.double = lambda request: request.address == 900
    attempt = one.poll()
    assert attempt.poll.missed == "timeout"
    assert one.link.addresses == [900]
    one.link.double = lambda request: False
    assert one.poll().poll.identity == "serial=7001"


def test_a_line_that_goes_down_in_mid_poll_keeps_what_was_read() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.down = lambda request: request.address == 300
    attempt = one.poll()
    assert attempt.down == "pulled out"
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [100]
    assert [f.reason for f in attempt.poll.failures] == ["line-down"]
    one.link.down = lambda request: True
    attempt = one.poll()
    assert (attempt.poll.missed, attempt.alive) == ("line-down", None)


def test_stopping_ends_the_poll_after_the_read_in_flight() -> None:
    one = Meter(meter("one", 1, 1000), stop=True)
    attempt = one.poll()
    assert attempt.poll.missed == "stopped"
    assert one.link.addresses == []


def test_late_answers_lengthen_the_time_out_up_to_twice_and_never_shorten_it() -> None:
    one = Meter(meter("one", 1, 1000))
    for latency, timeout in ((0.04, 0.060), (0.08, 0.100), (0.01, 0.100), (5.0, 0.120)):
        one.reader.learn(latency)
        one.poll()
        assert abs(one.link.manners[-1].timeout_s - timeout) < 1e-9


def test_a_learned_time_out_takes_idle_time_only_and_never_less_than_the_configured_one() -> None:
    one = Meter(meter("one", 1, 1000))
    one.reader.learn(0.08)
    for others_in, timeout in ((1.0, 0.100), (0.08, 0.080), (0.01, 0.060), (-5.0, 0.060)):
        one.others_in = others_in
        one.poll()
        assert abs(one.link.manners[-1].timeout_s - timeout) < 1e-9


def test_a_meter_that_answers_late_and_is_silent_once_leaves_the_line_to_one_that_is_due() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.silent = lambda request: True
    one.others_in = 0.01
    one.poll()
    assert one.link.addresses == [100, 300], "it has never answered late"
    one.reader.learn(0.08)
    one.poll()
    assert one.link.addresses == [100]
    one.others_in = 0.5
    one.poll()
    assert one.link.addresses == [100, 300], "there is time"


def witnessed() -> MeterSpec:
    """A meter whose serial number can be read along with a and b, but not with c."""
    spec = meter("one", 1, 1000)
    near = register_point("near", 3, 110, "uint16", 1, kind="status", record=False)
    return replace(spec, profile=replace(spec.profile, points=(*spec.profile.points, near), identity=("near",)))


def test_on_a_shared_line_a_block_counts_with_two_shapes_and_the_same_witness_in_both() -> None:
    one = Meter(witnessed()).shared()
    one.link.serial_at = 110
    attempt = one.poll()
    assert [[p.name for p in a.block.points] for a in attempt.poll.answers] == [["a", "b"]]
    assert [(f.reason, [p.name for p in f.block.points if p.name != "near"]) for f in attempt.poll.failures] == [
        ("shared", ["c"])
    ]
    reads = [(r.address, r.count) for r in one.link.asked if r.address <= 101 and r.count > 2]
    assert len(reads) == len(set(reads)) == 2


def test_on_a_shared_line_two_answers_of_two_meters_do_not_count() -> None:
    one = Meter(witnessed()).shared()
    one.link.serial_at = 110
    one.poll()

    def change(request: Request) -> bool:
        one.link.serial += 1
        return False

    one.link.silent = change
    attempt = one.poll()
    assert attempt.poll.missed == "shared"
    assert attempt.alive is True


def counting() -> MeterSpec:
    """A meter of which one block holds a counter."""
    spec = meter("one", 1, 1000)
    points = tuple(replace(p, kind="counter") if p.name == "b" else p for p in spec.points)
    return replace(spec, points=points, period_ms=60_000)


def test_a_doubted_block_is_read_again_at_once_in_another_shape_and_both_answers_are_kept() -> None:
    one = Meter(counting())
    asked: list[BlockAnswer] = []

    def doubts(answer: BlockAnswer) -> bool:
        asked.append(answer)
        return any(p.name == "b" for p in answer.block.points)

    one.reader.doubts = doubts
    attempt = one.poll()
    assert [[p.name for p in a.block.points] for a in attempt.poll.answers] == [["a", "b"], ["a", "b"], ["c"]]
    assert [a.block.points[0].name for a in asked] == ["a", "c"], "the second look is not doubted again"
    plan = asyncio.run(one.reader.plan(lambda requests: one.link.read(requests, one.reader.manners)))
    assert [(len(b.questions), len(b.again)) for b in plan.blocks] == [(1, 2), (1, 1)], (
        "K, and one spare for the counter"
    )
    assert plan.blocks[0].again[0].key != plan.blocks[0].questions[0].key


def test_a_second_look_that_fails_is_no_failure_of_the_poll() -> None:
    one = Meter(counting())
    one.reader.doubts = lambda answer: True
    count = 0

    def every_second(request: Request) -> bool:
        nonlocal count
        count += 1
        return count % 2 == 0

    one.link.silent = every_second
    attempt = one.poll()
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [100, 300]
    assert attempt.poll.failures == ()
    assert attempt.alive is True


def test_a_read_without_a_shape_waits_for_one_if_there_is_one_within_the_period() -> None:
    one = Meter(meter("one", 1, 1000))
    began = one.clock.now
    one.link.young = lambda request: began + 0.5 if request.address == 100 and one.clock.now < began + 0.5 else None
    turn = one.turn()
    assert asyncio.run(turn.run()) == began + 0.5
    assert one.link.addresses == [300], "what can be asked is asked at once"
    one.clock.now += 0.5
    attempt = asyncio.run(turn.run())
    assert isinstance(attempt, AttemptResult)
    assert one.link.addresses == [100]
    assert sorted(registers_of(a.block).address for a in attempt.poll.answers) == [100, 300]
    assert attempt.poll.failures == ()


def test_a_read_whose_shape_comes_too_late_is_missed_and_is_the_first_of_the_next_poll() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.young = lambda request: one.clock.now + 1.0 if request.address == 300 else None
    attempt = one.poll()
    assert [(registers_of(f.block).address, f.reason) for f in attempt.poll.failures] == [(300, "no-shape")]
    one.link.young = lambda request: None
    one.link.addresses.clear()
    one.poll()
    assert one.link.addresses == [300, 100]


def test_a_probe_does_not_wait() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.young = lambda request: one.clock.now + 0.1
    assert one.poll(probe=True).poll.missed == "no-shape"


def test_a_poll_that_waited_does_not_go_on_over_another_connection() -> None:
    one = Meter(meter("one", 1, 1000))
    one.link.young = lambda request: one.clock.now + 0.5 if request.address == 100 else None
    turn = one.turn()
    assert not isinstance(asyncio.run(turn.run()), AttemptResult)
    one.link.generation += 1
    attempt = asyncio.run(turn.run())
    assert isinstance(attempt, AttemptResult)
    assert [registers_of(a.block).address for a in attempt.poll.answers] == [300]
    assert [(registers_of(f.block).address, f.reason) for f in attempt.poll.failures] == [(100, "line-down")]
    assert attempt.down is None


def test_who_it_is_is_asked_anew_over_another_connection() -> None:
    one = Meter()
    one.link.young = lambda request: one.clock.now + 0.5
    turn = one.turn()
    assert not isinstance(asyncio.run(turn.run()), AttemptResult)
    assert isinstance(abandoned := turn.abandon("stopped", "the gateway is stopping"), AttemptResult)
    assert (abandoned.poll.missed, abandoned.alive) == ("stopped", None)
    one.link.young = lambda request: None
    one.link.generation += 1
    attempt = asyncio.run(turn.run())
    assert isinstance(attempt, AttemptResult)
    assert one.link.addresses == [900, 100, 300]
    assert attempt.poll.identity == "serial=7001"


def test_where_another_master_uses_the_only_shape_of_who_it_is_no_point_can_be_asked() -> None:
    one, avoided = Meter(), set[tuple[int, int]]()
    one.reader._avoided = lambda now: frozenset(avoided)
    one.poll()
    avoided.add((3, 2))
    one.poll()
    assert list(one.reader.unasked) == [], "it is known who it is, and the blocks have other shapes"
    one.link.generation += 1
    one.link.young = lambda request: math.inf if request.address == 900 else None
    assert one.poll().poll.missed == "no-shape"
    assert list(one.reader.unasked) == ["a", "b", "c"]
    avoided.clear()
    one.link.young = lambda request: None
    assert one.poll().poll.answers
    assert list(one.reader.unasked) == []
