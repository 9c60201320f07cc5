"""Line set: the field lines of one epoch, opened, stopped and renewed.

A line that ends hands its endpoint to the next one of the same device: what was asked there may still be answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from gateway.acquisition.line_use import latest, noted_ms
from gateway.agent.meters import MeterSet
from gateway.agent.task_group import EpochTaskGroup
from gateway.alarms.board import AlarmBoard
from gateway.clock import Clock
from gateway.fieldbus.endpoints import endpoint_of
from gateway.fieldbus.listening.listen_line import ListenLine
from gateway.fieldbus.listening.sources import source_kind
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.specs import FieldLine
from gateway.fieldbus.wire.acceptor import Acceptors
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.recording.recorder import Recorder
from gateway.records import News, SignedRecord, sentence_fields
from gateway.runtime.recent_polls import RecentPolls
from gateway.startup.line_specs import lag_ms
from gateway.startup.preflight import Ready

DOUBTFUL = AlarmCode.ANSWERS_DOUBTFUL
STOP_WITHIN_S = 3.0
"""Seconds in which a read in flight has to end; with the last commit a stop then takes less than 5 s."""


class LineSet:
    """The lines of the configuration in force, each with its task. Event loop only."""

    def __init__(
        self,
        lines: dict[str, FieldLine],
        ready: Ready,
        meters: MeterSet,
        board: AlarmBoard,
        recorder: Recorder,
        clock: Clock,
        group: EpochTaskGroup,
    ) -> None:
        """``lines``: empty, and filled and kept here alone; others look at it."""
        self._lines, self._specs, self._data = lines, ready.specs, ready.config.data
        self._meters, self._board, self._recorder = meters, board, recorder
        self._clock, self._group, self._acceptors = clock, group, Acceptors()
        self.recent_polls = RecentPolls(lines, clock)
        self._anchors: dict[str, int] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        used_until_ms = recorder.lines_used_until_ms()
        for spec in ready.specs:
            lines[spec.name] = self._make(spec, latest(used_until_ms, self._by_hand_ms(spec)))

    @property
    def by_name(self) -> Mapping[str, FieldLine]:
        """Each line by its name."""
        return self._lines

    def start(self, anchor_ms: int) -> None:
        """Start every line, under schedules anchored at ``anchor_ms``."""
        for name in self._lines:
            self._start(name, anchor_ms)

    async def stop(self, names: Collection[str]) -> None:
        """Finish the reads in flight and end these lines; a poll that takes too long is cut off and counted."""
        tasks = [task for name in names if (task := self._tasks.pop(name, None))]
        for name in names:
            self._lines[name].request_stop()
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
            for task in unfinished:
                task.cancel()
            await asyncio.wait(tasks)

    @asynccontextmanager
    async def stopped(self, names: Collection[str]) -> AsyncIterator[None]:
        """Stop these lines for a block; if it fails, they go on under their schedules of before."""
        specs = [line.spec for name, line in self._lines.items() if name in names]
        await self.stop(names)
        try:
            yield
        except Exception:
            meters = [meter.name for spec in specs for meter in spec.meters]
            from_ms = await asyncio.wrap_future(self._recorder.skip(meters))
            self._open(specs, None, from_ms)
            raise

    def renew(self, ready: Ready, opened: Iterable[LineSpec], removed: Iterable[str], anchor_ms: int) -> None:
        """Take another configuration over, behind ``stopped``: open these lines under schedules anchored at
        ``anchor_ms``, and forget the removed ones."""
        self._specs = ready.specs
        self._open(opened, anchor_ms)
        for name in removed:
            del self._lines[name]

    def closing(self) -> list[dict[str, Any]]:
        """The lines whose device closes each connection behind an answer: ``line``, ``connect_ms``, and as in events
        ``text``, ``message``, ``facts``."""
        habits = [
            (name, line.endpoint.connections.habit) for name, line in self._lines.items() if isinstance(line, Line)
        ]
        return [
            {
                "line": name,
                "connect_ms": habit.connect_s * 1000,
                **sentence_fields(Message("line-closes-connections", line=name, how=how)),
            }
            for name, habit in habits
            if (how := habit.message) is not None
        ]

    def hear(self, news: Sequence[News]) -> None:
        """Reply to the senders of messages that came unasked what has become of them. A listener of the hub."""
        self.recent_polls.hear(news)
        for item in news:
            if (token := item.token) is None:
                continue
            meter = item.row.meter if isinstance(item, SignedRecord) else item.meter
            for line in self._lines.values():
                if isinstance(line, ListenLine) and line.has(meter):
                    (line.replied if isinstance(item, SignedRecord) else line.not_recorded)(meter, token)

    def listening(self) -> dict[str, Any]:
        """Of each line that is listened to: its ``messages`` by meter, and what its source saw beside them."""
        lines = {name: line for name, line in self._lines.items() if isinstance(line, ListenLine)}
        return {name: {**line.facts.as_json(), "messages": line.messages()} for name, line in lines.items()}

    def refused(self) -> dict[str, Any]:
        """Of each line that is listened to: what it refused last."""
        return {name: line.facts.refusals() for name, line in self._lines.items() if isinstance(line, ListenLine)}

    def _open(self, specs: Iterable[LineSpec], anchor_ms: int | None, from_ms: int | None = None) -> None:
        """Begin lines anew. ``anchor_ms``: of their schedules, None: that of before. An endpoint that was none of ours
        may have been asked until now."""
        now_ms = self._clock.now_ms()
        known = {_device(line.spec): line for line in self._lines.values()}
        for spec in specs:
            self._board.line_replaced(spec.name)
            before = known.get(_device(spec))
            used_until_ms = self._by_hand_ms(spec) if isinstance(before, Line) else now_ms
            self._lines[spec.name] = self._make(spec, used_until_ms, before)
            self._start(spec.name, self._anchors[spec.name] if anchor_ms is None else anchor_ms, from_ms)

    def _make(self, spec: LineSpec, used_until_ms: int | None, before: FieldLine | None = None) -> FieldLine:
        """The line of a spec. ``before``: what it takes the place of."""
        if (kind := source_kind(spec)) is not None:
            return ListenLine(
                spec,
                kind,
                self._clock,
                self._meters.commissioning.poll,
                on_alarm=self._board.line_alarm,
                standing=self._recorder.standing,
                moments=self._recorder.last_moment,
                facts=before.facts if isinstance(before, ListenLine) else None,
                identities=self._meters.identities,
                happened=self._recorder.happened,
                doubted=[m.name for m in spec.meters if self._board.is_active(m.name, DOUBTFUL, spec.name)],
            )
        line = Line(
            spec,
            self._clock,
            self._meters.commissioning.poll,
            on_alarm=self._board.line_alarm,
            doubts=self._meters.poller.doubts,
            identities=self._meters.identities,
            power=self._meters.power.record,
            used_until_ms=used_until_ms,
            lag_ms=lag_ms(self._specs.index(spec), spec),
            endpoint=before.endpoint if isinstance(before, Line) else None,
        )
        line.endpoint.acceptors = self._acceptors  # lines of one address share its listening socket
        return line

    def _start(self, name: str, anchor_ms: int, from_ms: int | None = None) -> None:
        self._anchors[name] = anchor_ms
        work = partial(self._lines[name].run, anchor_ms, from_ms)
        self._tasks[name] = self._group.begin_loop(work, f"line {name}")

    def _by_hand_ms(self, spec: LineSpec) -> int | None:
        """Until when a command has used the line, as far as is known."""
        return noted_ms(self._data, endpoint_of(spec), self._clock.now_ms())


def asleep(lines: Mapping[str, FieldLine], name: str) -> bool:
    """Whether all meters of a line sleep."""
    return name in lines and lines[name].asleep


def host(lines: Mapping[str, FieldLine], name: str) -> str | None:
    """Where a line leads over the network; None for a serial port."""
    return lines[name].spec.host if name in lines else None


def _device(spec: LineSpec) -> tuple[str, str]:
    """What two lines have in common whose questions and answers may meet."""
    return spec.type, endpoint_of(spec)
