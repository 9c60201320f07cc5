"""A line that is listened to, over real sockets: each due message is reported once, and answered once it is durable."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.devices.blocks import Decoder, Raw, number
from gateway.devices.points import Point
from gateway.fieldbus.listening import listen_line
from gateway.fieldbus.listening.listen_line import ListenLine, Standing
from gateway.fieldbus.listening.sources import Place
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.records import Token
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import SAFETY_S, Polls, meter
from tests.gateway.fieldbus.listening.json_source import JsonFacts, JsonKind

SHORT, LONG = 200, 3_600_000


@dataclass(frozen=True)
class MessageBlock:
    """Text by point name."""

    cn: str
    points: tuple[Point, ...]
    key: int = field(default_factory=number, compare=False)

    def only(self, wanted: Container[str]) -> MessageBlock:
        return MessageBlock(self.cn, tuple(point for point in self.points if point.name in wanted))

    def label(self) -> Message:
        return Message("test-block", cn=self.cn)

    def decoder(self, factors: Mapping[str, Any]) -> Decoder:
        raise NotImplementedError

    def shown(self, raw: Raw) -> dict[str, str]:
        assert isinstance(raw, Mapping)
        return {point.name: raw[point.name] for point in self.points if point.name in raw}


POINTS = meter("m", 1).points[:3]
U, C, P = (point.name for point in POINTS)


@dataclass
class Listened:
    """A line with what it reported, and a way to send to it. ``recorded`` is what the database holds."""

    line: ListenLine
    polls: Polls
    alarms: list[Alarm]
    recorded: set[tuple[str, Token]]
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def facts(self) -> JsonFacts:
        assert isinstance(self.line.facts, JsonFacts)
        return self.line.facts

    async def connect(self) -> tuple[asyncio.StreamReader, Callable[..., None]]:
        """A connection: what it receives, and a function that sends a message."""
        assert self.line.spec.listen is not None
        await until(lambda: self.facts.opened)
        reader, writer = await asyncio.open_connection(*self.line.spec.listen)
        self.writers.append(writer)

        def send(**fields: Any) -> None:
            writer.write(json.dumps({"unit": "A", "values": {U: "1"}, **fields}).encode() + b"\n")

        return reader, send

    @property
    def codes(self) -> list[tuple[str, str | None, bool]]:
        return [(alarm.code, alarm.meter, alarm.raised) for alarm in self.alarms]


def names(block: Any) -> list[str]:
    return [point.name for point in block.points]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(SAFETY_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def kind_of(places: Mapping[tuple[str, str], str], *, series: bool = True) -> JsonKind:
    """Meters by unit and kind of message."""
    blocks = {cn: MessageBlock(cn, POINTS) for _, cn in places}
    named: dict[Place, str] = {(unit, blocks[cn].label()): name for (unit, cn), name in places.items()}
    return JsonKind({place: blocks[str(place[1].facts["cn"])] for place in named}, named, series)


@asynccontextmanager
async def listened(
    periods_ms: Mapping[str, int],
    kind: JsonKind,
    *,
    standing: Callable[[str, Token], Standing] | None = None,
    moment_ms: Callable[[Clock], int | None] = lambda clock: None,
    port: int | None = None,
    from_ms: int | None = None,
) -> AsyncIterator[Listened]:
    """A running line."""
    meters = tuple(meter(name, 1, period_ms) for name, period_ms in periods_ms.items())
    spec = LineSpec("push", "json", meters, listen=("127.0.0.1", port or free_port()))
    polls, alarms, clock = Polls(), list[Alarm](), Clock()
    recorded: set[tuple[str, Token]] = set()
    reported: set[tuple[str, Token]] = set()

    def known(name: str, token: Token) -> Standing:
        if (name, token) in recorded:
            return "recorded"
        standing = "waiting" if (name, token) in reported else "new"
        reported.add((name, token))
        return "waiting" if standing == "waiting" else "new"

    line = ListenLine(
        spec,
        kind,
        clock,
        polls.take,
        on_alarm=alarms.append,
        standing=standing or known,
        moments=lambda name: moment_ms(clock),
    )
    found = Listened(line, polls, alarms, recorded)
    task = asyncio.create_task(line.run(clock.schedule_ms(), from_ms))
    try:
        yield found
    finally:
        line.request_stop()
        async with asyncio.timeout(SAFETY_S):
            await task
        for writer in found.writers:
            writer.close()


ONE = {("A", "message"): "a"}


def test_a_message_is_reported_once_and_answered_when_it_is_durable_each_time_it_was_sent() -> None:
    async def work() -> None:
        async with listened({"a": LONG}, kind_of(ONE)) as found:
            reader, send = await found.connect()
            send(label="1")
            send(label="1")
            poll = await found.polls.until(lambda poll: bool(poll.answers))
            await until(lambda: found.line.counters["repeated"] == 1)
            assert poll.token is not None
            assert poll.token[:2] == ("1", 1)
            assert found.line.messages()["a"]["unreplied"] == 1
            found.recorded.add(("a", poll.token))
            found.line.replied("a", poll.token)
            assert [await reader.readline(), await reader.readline()] == [b'"1"\n', b'"1"\n']
            send(label="1")
            assert await reader.readline() == b'"1"\n'
            send(label="2")
            await found.polls.until(lambda poll: poll.token is not None and poll.token.label == "2")
            assert len(found.polls) == 2, "what is known is reported no second time"
            assert found.line.messages()["a"]["unreplied"] == 1

    asyncio.run(work())


def test_a_record_is_due_when_it_came_by_the_clock_of_the_schedule() -> None:
    async def work() -> None:
        async with listened({"a": LONG}, kind_of(ONE)) as found:
            _, send = await found.connect()
            send()
            poll = await found.polls.until(lambda poll: bool(poll.answers))
            assert poll.due_ms == poll.answers[0].completed_ms  # of a clock that was never corrected
            assert found.line.last_answered("a") is poll

    asyncio.run(work())


def test_a_meter_is_found_by_its_unit_and_the_kind_of_its_messages() -> None:
    async def work() -> None:
        places = {("A", "message"): "a", ("A", "hourly"): "b", ("B", "hourly"): "c"}
        async with listened({"a": LONG, "b": LONG, "c": LONG}, kind_of(places)) as found:
            _, send = await found.connect()
            send(kind="hourly")
            send(unit="B", kind="hourly")
            send(unit="B")
            send()
            await found.polls.until(lambda poll: True, count=3)
            assert [poll.meter for poll in found.polls] == ["b", "c", "a"]
            assert found.line.counters["unknown"] == 1

    asyncio.run(work())


def test_a_part_holds_its_own_points_and_the_last_one_names_those_that_none_held() -> None:
    async def work() -> None:
        async with listened({"a": LONG}, kind_of(ONE)) as found:
            _, send = await found.connect()
            send(label="1", part=1, values={U: "230"})
            send(label="1", part=2, values={C: "5"}, missing=[P])
            await found.polls.until(lambda poll: True, count=2)
            first, second = found.polls
            assert [names(poll.answers[0].block) for poll in (first, second)] == [[U], [C]]
            assert first.failures == ()
            (failure,) = second.failures
            assert names(failure.block) == [P]
            assert failure.flag == Quality.NOT_FOUND
            send(label="2", part=1, values={U: "231"})
            third = await found.polls.until(lambda poll: True, count=3)
            assert third.answers[0].block is first.answers[0].block, "what is prepared for it is found by its key"

    asyncio.run(work())


def test_a_part_with_nothing_to_record_is_answered_at_once_and_is_no_poll() -> None:
    """Its sender may wait for that before it sends the next part."""

    async def work() -> None:
        async with listened({"a": LONG}, kind_of(ONE)) as found:
            reader, send = await found.connect()
            send(label="1", part=1, values={"another": "1"})
            assert await reader.readline() == b'"1"\n'
            assert found.line.counters["empty"] == 1
            send(label="1", part=2, values={"another": "2"}, missing=[P])
            poll = await found.polls.until(lambda poll: True)
            assert names(poll.failures[0].block) == [P]

    asyncio.run(work())


def test_a_silent_meter_is_missed_each_period_and_its_line_is_down_until_it_sends() -> None:
    async def work() -> None:
        async with listened({"a": SHORT}, kind_of(ONE)) as found:
            _, send = await found.connect()
            send()
            await found.polls.until(lambda poll: poll.missed == "timeout", count=3)
            assert {b.due_ms - a.due_ms for a, b in pairwise(found.polls[-3:])} == {SHORT}
            assert found.line.silent == ["a"]
            assert not found.line.up
            down = found.codes.index(("line-down", None, True))
            spec = found.line.spec
            assert found.alarms[down].sentence == Message("line-sends-nothing", line=spec.name, where=spec.where)
            send()
            await found.polls.until(lambda poll: bool(poll.answers), count=2)
            assert found.line.silent == []
            assert found.line.up
            assert found.codes[-1] == ("line-down", None, False)


def test_a_miss_while_no_connection_of_the_meter_is_open_has_that_reason() -> None:
    async def work() -> None:
        async with listened({"a": SHORT, "b": LONG}, kind_of(ONE | {("B", "message"): "b"})) as found:
            _, other = await found.connect()
            other(unit="B")
            await found.polls.until(lambda poll: poll.missed == "line-down")
            _, send = await found.connect()
            send()
            await found.polls.until(lambda poll: poll.missed == "timeout")
            found.writers[1].close()
            here = len(found.polls)
            await found.polls.until(lambda poll: poll.missed == "line-down" and poll in found.polls[here:])

    asyncio.run(work())


def test_one_silent_meter_among_others_is_lost() -> None:
    async def work() -> None:
        async with listened({"a": SHORT, "b": LONG}, kind_of(ONE | {("B", "message"): "b"})) as found:
            _, send = await found.connect()
            send(unit="B")
            await until(lambda: found.codes)
            assert found.codes == [("comms-lost", "a", True)]
            send()
            await until(lambda: len(found.codes) > 1)
            assert found.codes[1] == ("comms-lost", "a", False)

    asyncio.run(work())


def test_a_line_that_broke_off_is_opened_again_and_what_it_missed_meanwhile_has_that_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listen_line, "FIRST_REOPEN_S", 0.7)

    async def work() -> None:
        async with listened({"a": SHORT}, kind_of(ONE)) as found:
            _, send = await found.connect()
            send()
            await found.polls.until(lambda poll: bool(poll.answers))
            send(**{"break": True})
            down = await found.polls.until(lambda poll: poll.missed == "line-down")
            assert down.detail != ""
            assert not found.line.up
            await until(lambda: found.facts.opened == 2)
            _, send = await found.connect()
            send()
            await found.polls.until(lambda poll: bool(poll.answers), count=2)
            assert [code for code in found.codes if code[0] == "line-down"][:2] == [
                ("line-down", None, True), ("line-down", None, False),
            ]  # fmt: skip

    asyncio.run(work())


def test_a_port_in_use_is_tried_again_until_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_line, "FIRST_REOPEN_S", 0.05)

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = int(other.getsockname()[1])
            async with listened({"a": SHORT}, kind_of(ONE), port=port) as found:
                await found.polls.until(lambda poll: poll.missed == "line-down", count=2)
                assert found.codes == [("line-down", None, True)]
                other.close()
                _, send = await found.connect()
                send()
                await found.polls.until(lambda poll: bool(poll.answers))

    asyncio.run(work())


def test_a_message_of_long_ago_is_late_and_one_from_the_future_has_another_clock() -> None:
    async def work() -> None:
        async with listened({"a": 60_000}, kind_of(ONE)) as found:
            _, send = await found.connect()
            now_ms = Clock().now_ms()
            for label, offset_ms in enumerate((-419_000, -425_000, 299_000, 305_000)):
                send(label=str(label), at=now_ms + offset_ms)
            await found.polls.until(lambda poll: True, count=4)
            assert [poll.flags for poll in found.polls] == [0, Quality.LATE, 0, Quality.CLOCK_UNSYNC]
            assert next(poll.label_ms for poll in found.polls) == now_ms - 419_000

    asyncio.run(work())


def test_what_an_epoch_before_has_left_unsettled_is_missed_as_stopped() -> None:
    """Its moment lies before the anchor, and was still waited for then."""

    async def work() -> None:
        def moment_ms(clock: Clock) -> int:
            return clock.started_ms - SHORT - SHORT // 4

        async with listened({"a": SHORT}, kind_of(ONE), moment_ms=moment_ms) as found:
            await found.polls.until(lambda poll: poll.missed == "line-down")
            assert found.polls[0].missed == "stopped"
            assert found.polls[1].due_ms - found.polls[0].due_ms == SHORT

    asyncio.run(work())


def test_what_will_not_be_recorded_is_released_and_not_answered() -> None:
    async def work() -> None:
        async with listened({"a": LONG}, kind_of(ONE)) as found:
            reader, send = await found.connect()
            send(label="1")
            poll = await found.polls.until(lambda poll: bool(poll.answers))
            assert poll.token is not None
            found.line.not_recorded("a", poll.token)
            assert found.facts.released == {poll.token: 1}
            assert found.line.messages()["a"]["unreplied"] == 0
            found.line.replied("a", Token("1", 1, b"another"))
            send(label="2")
            second = await found.polls.until(lambda poll: True, count=2)
            assert second.token is not None
            found.line.replied("a", second.token)
            assert await reader.readline() == b'"2"\n'

    asyncio.run(work())


def test_while_nobody_can_tell_whether_a_message_is_recorded_it_is_neither_taken_nor_answered() -> None:
    async def work() -> None:
        async with listened({"a": LONG}, kind_of(ONE), standing=lambda name, token: "unknown") as found:
            _, send = await found.connect()
            send(label="1")
            await until(lambda: found.facts.released)
            assert found.polls == []

    asyncio.run(work())


def test_another_interval_than_the_configured_one_is_an_alarm_with_the_value_to_set() -> None:
    async def work() -> None:
        async with listened({"a": 60_000}, kind_of(ONE)) as found:
            _, send = await found.connect()
            now_ms = Clock().now_ms()
            for n in range(6):
                send(label=str(n), at=now_ms + 15_000 * n)
            await until(lambda: found.codes)
            assert found.codes == [("interval", "a", True)]
            line = found.line.spec.name
            other = Message("interval-another", line=line, meter="a", found_ms=15_000, every_ms=60_000)
            assert found.alarms[0].sentence == other
            assert 'every = "15s"' in other.way_out
            for n in range(5):
                send(label=f"later {n}", at=now_ms + 75_000 + 60_000 * (n + 1))
            await until(lambda: len(found.codes) > 1)
            assert found.codes[1] == ("interval", "a", False)

    asyncio.run(work())


def test_of_a_state_the_first_message_of_a_window_is_the_poll_and_another_device_is_no_silence() -> None:
    async def work() -> None:
        async with listened({"a": SHORT}, kind_of(ONE, series=False)) as found:
            _, send = await found.connect()
            unit = "A"

            async def tell() -> None:
                while True:
                    send(unit=unit)
                    send(unit=unit)
                    await asyncio.sleep(0.01)

            telling = asyncio.create_task(tell())
            await found.polls.until(lambda poll: bool(poll.answers), count=4)
            assert {b.due_ms - a.due_ms for a, b in pairwise(found.polls)} == {SHORT}
            unit = "Z"
            poll = await found.polls.until(lambda poll: poll.missed == "exchanged")
            assert poll.flags == Quality.METER_EXCHANGED
            telling.cancel()

    asyncio.run(work())
