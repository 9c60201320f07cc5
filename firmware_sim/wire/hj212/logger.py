"""HJ 212 data logger on its connection: uploads each message until it is answered, stores what cannot be uploaded.

New messages go first, stored ones follow when none waits. A resend is the same bytes; a stored message is uploaded as
new packets, with QNs of their own and the same label.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from firmware_sim.clock import SimClock
from firmware_sim.meters.answer_faults import Before, Strike
from firmware_sim.meters.answers import Delivery
from firmware_sim.meters.armed import Armed
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.logger_faults import Offline, acts_on_message, acts_on_packet
from firmware_sim.meters.wire_faults import PowerCut, has
from firmware_sim.wire.answer_log import AnswerLog, injected, untrue
from firmware_sim.wire.hj212.messages import (
    LABEL_PLACE,
    Manners,
    Message,
    Messages,
    Struck,
    strike,
    to_local,
    written,
)
from firmware_sim.wire.hj212.packets import VERSION_2017, WANTS_ANSWER, Inbox, Packet

HEARTBEAT, CLOCK_NOTICE, NOTICE_TAKEN, DATA_TAKEN = "9015", "1013", "9013", "9014"
SYSTEM_ST = "91"
LOOK_S = 0.2
"""Seconds between two looks at whether the logger is to be offline, while nothing else happens."""


class Logger:
    """One station on its way to one host; ``open`` and ``close`` belong to one event loop.

    Args:
        station: what it measures.
        manners: how it uploads.
        faults: in the order of the file.
        clock: the plant's.
        log: where packets and answers are written.
        bus: its name.
        there: host and port that it dials.
    """

    def __init__(
        self,
        station: Station,
        manners: Manners,
        faults: Sequence[Armed],
        clock: SimClock,
        log: AnswerLog,
        bus: str,
        there: tuple[str, int],
    ) -> None:
        self._spec, self._manners, self._faults = station.spec, manners, faults
        self._clock, self._log, self._bus, self._there = clock, log, bus, there
        self._messages = Messages(station, manners, self._faults, clock, self._take)
        self._fresh: deque[Message] = deque()
        self._stored: deque[Message] = deque()
        self._waiting: dict[str, str] = {}
        self._last_qn_ms, self._lost = 0, False
        self._before = Before()
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.sent = 0

    def open(self) -> None:
        """Begin to make messages, and to dial."""
        self._news, loop = asyncio.Event(), asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._messages.make(cn)) for cn in self._manners.every_ms]
        self._tasks.append(loop.create_task(self._upload()))

    def counted(self) -> dict[str, object]:
        """It, whom nobody asks, and the packets that it has sent so far."""
        return {"name": self._spec.name, "unit": self._spec.mn, "requests": None, "answers": self.sent}

    def close(self) -> None:
        """End; what is stored is gone."""
        for task in self._tasks:
            task.cancel()
        self._hang_up()

    def _take(self, message: Message) -> None:
        self._fresh.append(message)
        self._news.set()

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._writer = None

    def _is_offline(self) -> bool:
        now = self._clock.now_ms()
        return has(self._faults, Offline, now) or has(self._faults, PowerCut, now)

    async def _upload(self) -> None:
        """Connect again and again."""
        while True:
            if self._is_offline():
                await asyncio.sleep(LOOK_S)
                continue
            try:
                reader, self._writer = await asyncio.open_connection(*self._there)
            except OSError:
                await asyncio.sleep(self._manners.reconnect_ms / 1000)
                continue
            self._lost = False
            listening = asyncio.get_running_loop().create_task(self._listen(reader))
            try:
                await self._serve()
            except ConnectionError:
                await asyncio.sleep(self._manners.reconnect_ms / 1000)
            finally:
                listening.cancel()
                self._hang_up()

    async def _serve(self) -> None:
        """Upload what there is. Raises ConnectionError when the connection is gone, or is not to be."""
        beat_ms = self._clock.unix_ms()
        if self._manners.clock_notice:
            await self._until_answered([self._notice(CLOCK_NOTICE, self._spec.st)], None)
        while True:
            if queue := self._fresh or self._stored:
                await self._deliver(queue.popleft())
            elif self._manners.heartbeat_ms and self._clock.unix_ms() - beat_ms >= self._manners.heartbeat_ms:
                beat_ms = self._clock.unix_ms()
                await self._until_answered([self._notice(HEARTBEAT, SYSTEM_ST)], None)
            else:
                await self._news_within(LOOK_S)

    async def _deliver(self, message: Message) -> None:
        """Upload a message; it is stored if it is not answered."""
        is_done = False
        try:
            packets = self._messages.packets(message, lambda: self._qn(message.stuck_ms))
            groups = [[packet] for packet in packets] if self._manners.waits_for_part else [packets]
            for group in groups:
                if not await self._until_answered(group, message):
                    return
            is_done = True
        finally:
            if not is_done:
                self._stored.append(message)

    async def _until_answered(self, packets: Sequence[Packet], message: Message | None) -> bool:
        """Send packets, and again those that are not answered in time; False when some never were."""
        is_asking = self._manners.wants_answer and not self._spec.old_style
        wanted = NOTICE_TAKEN if message is None else DATA_TAKEN
        self._waiting = {packet.qn or "": wanted for packet in packets}
        for attempt in range(1, 1 + (self._manners.resends + 1 if is_asking else 1)):
            for number, packet in enumerate(packets):
                if (packet.qn or "") in self._waiting:
                    is_first = message is not None and attempt == 1 and number == 0
                    struck = message.struck if message and is_first else strike(self._faults, self._clock.now_ms())
                    self._send(packet, message, attempt, struck)
            await self._drained()
            if not is_asking:
                return True
            end_ms = self._clock.unix_ms() + self._manners.timeout_ms
            while self._waiting and (left_ms := end_ms - self._clock.unix_ms()) > 0:
                await self._news_within(min(LOOK_S, left_ms / 1000))
            if not self._waiting:
                return True
        return False

    async def _drained(self) -> None:
        if self._writer is None:
            raise ConnectionError
        await self._writer.drain()

    async def _news_within(self, seconds: float) -> None:
        """Wait for anything new. Raises ConnectionError when the connection is gone, or is not to be."""
        if self._lost or self._is_offline():
            raise ConnectionError
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        inbox = Inbox()
        with suppress(OSError):
            while data := await reader.read(4096):
                for packet in inbox.feed(data):
                    self._answered(packet)
        self._lost = True
        self._news.set()

    def _answered(self, packet: Packet) -> None:
        is_wanted = packet.mn == self._spec.mn and self._waiting.get(packet.qn or "") == packet.cn
        entry = {"meter": self._spec.name, "line": self._bus, "qn": packet.qn, "received": packet.cn}
        self._log.write_entry({"t_ms": self._clock.unix_ms(), **entry, "wanted": is_wanted})
        if is_wanted:
            del self._waiting[packet.qn or ""]
            self._news.set()

    def _notice(self, cn: str, st: str) -> Packet:
        """A packet without content that asks for 9013."""
        spec, flag = self._spec, VERSION_2017 | self._manners.wants_answer * WANTS_ANSWER
        return Packet(self._qn(None), st, cn, spec.password, spec.mn, flag)

    def _qn(self, stuck_ms: int | None) -> str:
        label_ms = self._clock.label_unix_at(self._clock.now_ms())
        now_ms = to_local(label_ms, self._manners.tz) if stuck_ms is None else stuck_ms
        self._last_qn_ms = max(now_ms, self._last_qn_ms + 1)
        return written(self._last_qn_ms)

    def _send(self, packet: Packet, message: Message | None, attempt: int, struck: Struck) -> None:
        frame, values = packet.frame(), dict(packet.values())
        deliveries = [Delivery(0.0, frame, dict(values))]
        struck = [met for met in struck if not met.armed.cleared]
        for _, choice, rng in struck:
            heard = choice.fault.hears(self._clock.now_ms())
            deliveries = choice.fault.send(deliveries, Strike(rng, self._before)) if heard else []
        self._before = Before(data=frame)
        deliveries = [each.ended() for each in deliveries]
        deliveries = [replace(d, values=dict(values)) if d.data.startswith(frame) else d for d in deliveries]
        made = [met.choice for met in message.struck] if message else []
        acted = [choice for choice in made if acts_on_message(choice.fault)]
        acted += [met.choice for met in struck if acts_on_packet(met.choice.fault)]
        entry = {
            "at_ms": message.at_ms if message else self._clock.now_ms(),
            "meter": self._spec.name,
            "line": self._bus,
            "cn": packet.cn,
            "qn": packet.qn,
            "label": message.label if message else None,
            "pnum": packet.pnum,
            "pno": packet.pno,
            "attempt": attempt,
            "faults": [choice.kind for choice in acted],
            **injected([choice.fault.id for choice in acted]),
        }
        true = _true(message, values) if message and (struck or message.true) else {}
        writer, loop, by = self._writer, asyncio.get_running_loop(), [met.armed for met in struck]
        for delivery in deliveries:
            if delivery.after_ms > 0:
                loop.call_later(delivery.after_ms / 1000, self._write, writer, delivery, entry, true, by)
            else:
                self._write(writer, delivery, entry, true, by)

    def _write(
        self,
        writer: asyncio.StreamWriter | None,
        delivery: Delivery,
        entry: dict[str, object],
        true: dict[str, str],
        by: Sequence[Armed],
    ) -> None:
        """Send bytes; what a fault has held back is not sent when it was cleared meanwhile."""
        if writer is None or writer.is_closing() or (delivery.after_ms and any(armed.cleared for armed in by)):
            return
        if not delivery.data:
            writer.close()
            return
        self.sent += 1
        more = {"sent": delivery.data.hex(), "values": delivery.values, **untrue(true, delivery.values)}
        self._log.write_entry({"t_ms": self._clock.unix_ms(), **entry, **more})
        size, loop = delivery.piece or len(delivery.data), asyncio.get_running_loop()
        for number, at in enumerate(range(0, len(delivery.data), size)):
            piece = delivery.data[at : at + size]
            if number and delivery.gap_ms:
                loop.call_later(number * delivery.gap_ms / 1000, writer.write, piece)
            else:
                writer.write(piece)
        if delivery.ends_after is not None:
            pieces = -(-len(delivery.data) // size)
            loop.call_later((pieces - 1) * delivery.gap_ms / 1000, writer.close)


def _true(message: Message, values: dict[str, str]) -> dict[str, str]:
    """What a packet of the message would show without faults; ``values``: what it shows. What the message lacks for
    them is true of each of its packets."""
    lacking = message.true.keys() - message.texts.keys() - {LABEL_PLACE}
    return {place: message.true.get(place, text) for place, text in values.items()} | {
        place: message.true[place] for place in message.true if place in lacking
    }


class LoggerBus:
    """The loggers that dial one host.

    Args:
        loggers: all of them.
        host: where the host is.
        port: its port.
    """

    def __init__(self, loggers: Sequence[Logger], host: str, port: int) -> None:
        self._loggers, self.host, self.port = tuple(loggers), host, port

    async def open(self) -> None:
        """Start all loggers."""
        for logger in self._loggers:
            logger.open()

    def close(self) -> None:
        """Stop all loggers."""
        for logger in self._loggers:
            logger.close()

    def counted(self) -> list[dict[str, object]]:
        """By logger: the packets that it has sent so far."""
        return [logger.counted() for logger in self._loggers]
