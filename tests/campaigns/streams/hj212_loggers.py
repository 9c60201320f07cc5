"""HJ 212 loggers on raw sockets, in a process of their own: light, so that it is the gateway that is measured.

Each station makes one message every ``INTERVAL_MS``, the stations spread evenly over it; one is on the wire at a time.
It is sent again, as it was, after ``RESEND_MS`` without 9014, and on each new connection. Every packet and every answer
goes into a list; at the end the process waits until all is answered, or ``DRAIN_S``. Started as
``python -m tests.campaigns.streams.hj212_loggers PORT STATIONS SECONDS RESULTS [INTERVAL_MS LEAKED]``; a line on its
standard input ends it early. The first station opens ``LEAKED`` connections more in the first half of the time, sends a
heartbeat on each, and closes none.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from firmware_sim.wire.hj212.packets import Inbox, Packet
from gateway.process.open_files import allow

INTERVAL_MS, RESEND_MS, RECONNECT_S, DRAIN_S = 1000, 3000, 0.3, 30.0
FILES = 4096
"""This process may have open."""
CHINA = timedelta(hours=8)
FACTORS = ("a00000", "a01011", "a01012", "a01013", "a01014", "a19001", "a05001", "a21026", "a21002", "a34013")
PASSWORD = "123456"


def station(number: int) -> str:
    """A station's MN."""
    return f"BENCH{number:019}"


@dataclass(slots=True)
class Message:
    """One message of a station: its number and packet, when it was first and last sent and when answered (Unix s; 0:
    not)."""

    number: int
    qn: str
    frame: bytes
    first_s: float = 0.0
    sent_s: float = 0.0
    sendings: int = 0
    answered_s: float = 0.0


@dataclass
class Logger:
    """One station and its connection."""

    number: int
    port: int
    waiting: deque[Message] = field(default_factory=deque)
    done: list[Message] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    made: int = 0
    _transport: asyncio.Transport | None = None
    _inbox: Inbox = field(default_factory=Inbox)
    _timer: asyncio.TimerHandle | None = None

    def make(self, at_s: float) -> None:
        """A new message, whose values tell whose it is."""
        moment = datetime.fromtimestamp(at_s, UTC) + CHINA
        label, self.made = f"{moment:%Y%m%d%H%M%S}", self.made + 1
        values = (f"{code}-Rtd={self.made}.{self.number:03},{code}-Flag=N" for code in FACTORS)
        qn = f"{label}{self.number % 1000:03}"
        packet = Packet(qn, "31", "2011", PASSWORD, station(self.number), 5, ";".join([f"DataTime={label}", *values]))
        self.waiting.append(Message(self.made, qn, packet.frame()))
        if len(self.waiting) == 1:
            self.send()

    def send(self) -> None:
        """The first message that waits goes out, or goes out again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is None or self._transport.is_closing() or not self.waiting:
            return
        message = self.waiting[0]
        message.sent_s, message.sendings = time.time(), message.sendings + 1
        message.first_s = message.first_s or message.sent_s
        self._transport.write(message.frame)
        self._timer = asyncio.get_running_loop().call_later(RESEND_MS / 1000, self.send)

    async def stay_connected(self) -> None:
        """Connect whenever there is no connection."""
        loop = asyncio.get_running_loop()
        while True:
            gone = loop.create_future()
            with contextlib.suppress(OSError):
                await loop.create_connection(partial(_Wire, self, gone), "127.0.0.1", self.port)
                await gone
            await asyncio.sleep(RECONNECT_S)

    def connected(self, transport: asyncio.Transport) -> None:
        self._transport, self._inbox = transport, Inbox()
        self.send()

    def received(self, data: bytes) -> None:
        for packet in self._inbox.feed(data):
            if self.waiting and (packet.cn, packet.qn, packet.mn) == ("9014", self.waiting[0].qn, station(self.number)):
                message = self.waiting.popleft()
                message.answered_s = time.time()
                self.done.append(message)
                self.send()
            else:
                self.strays.append(f"{packet.cn} {packet.qn} {packet.mn}")


class _Wire(asyncio.Protocol):
    def __init__(self, logger: Logger, gone: asyncio.Future[None]) -> None:
        self._logger, self._gone = logger, gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._logger.connected(transport)

    def data_received(self, data: bytes) -> None:
        self._logger.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)


async def work(port: int, stations: int, seconds: float, interval_ms: int, leaked: int) -> list[Logger]:
    """Run the loggers for so long, and until all is answered."""
    loggers = [Logger(number, port) for number in range(stations)]
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    tasks = [loop.create_task(logger.stay_connected()) for logger in loggers]
    makers = [loop.create_task(_make(logger, stations, seconds, interval_ms)) for logger in loggers]
    makers.append(loop.create_task(_leak(port, leaked, seconds / 2)))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), seconds + interval_ms / 1000)
    for maker in makers:
        maker.cancel()
    end = time.monotonic() + DRAIN_S
    while any(logger.waiting for logger in loggers) and time.monotonic() < end and not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.05)
    for task in tasks:
        task.cancel()
    return loggers


async def _leak(port: int, leaked: int, seconds: float) -> None:
    """Connections of the first station that are never closed; they are given up as the process is."""
    heartbeat = Packet("1", "31", "9015", PASSWORD, station(0), 5, "").frame()
    kept = []
    for _ in range(leaked):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(heartbeat)
            kept.append((reader, writer))
        await asyncio.sleep(seconds / leaked)
    await asyncio.Event().wait()


async def _make(logger: Logger, stations: int, seconds: float, interval_ms: int) -> None:
    begin = -(-time.time() // 1) + logger.number / stations * interval_ms / 1000
    for turn in range(round(seconds * 1000 / interval_ms)):
        due = begin + turn * interval_ms / 1000
        await asyncio.sleep(due - time.time())
        logger.make(due)


def results(loggers: list[Logger]) -> dict[str, object]:
    """All messages by station: number, sendings, when first and last sent and when answered (0: not)."""
    return {
        "strays": [stray for logger in loggers for stray in logger.strays],
        "messages": {
            logger.number: [
                (message.number, message.sendings, message.first_s, message.sent_s, message.answered_s)
                for message in (*logger.done, *logger.waiting)
            ]
            for logger in loggers
        },
    }


if __name__ == "__main__":
    allow(FILES)
    interval_ms, leaked = map(int, sys.argv[5:] or (INTERVAL_MS, 0))
    made = asyncio.run(work(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), interval_ms, leaked))
    Path(sys.argv[4]).write_text(json.dumps(results(made)))
