"""P1 port that pushes its meter's telegrams: on a pseudo-terminal, or to whoever connects (a converter)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from firmware_sim.clock import SimClock
from firmware_sim.errors import WireError
from firmware_sim.meters.p1_meter import P1Meter
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.tap import Tap


class P1Bus:
    """One port; ``open`` and ``close`` belong to one event loop. ``tap`` counts what somebody sent into its terminal.

    Args:
        name: of the bus.
        meter: what it sends.
        every_ms: how often.
        clock: the plant's.
        log: where telegrams are written.
        path: of the terminal's link; None: it listens on ``host`` and ``port``.
        seven_bits: 7 data bits and even parity, as read with 8 data bits.
    """

    def __init__(
        self,
        name: str,
        meter: P1Meter,
        every_ms: float,
        clock: SimClock,
        log: AnswerLog,
        *,
        path: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seven_bits: bool = False,
    ) -> None:
        self._name, self._meter, self._every_s, self._clock, self._log = name, meter, every_ms / 1000, clock, log
        self.host, self.port, self._seven_bits = host, port, seven_bits
        self.tap = Tap(path) if path is not None else None
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.sent = 0

    async def open(self) -> None:
        """Start to send. Raises ``WireError`` when path or address is taken."""
        if self.tap is not None:
            self.tap.open()
        else:
            try:
                self._server = await asyncio.start_server(self._connected, self.host, self.port)
            except OSError as error:
                reason = error.strerror or error
                raise WireError(
                    f"bus {self._name}: cannot listen on {self.host}:{self.port}: {reason}",
                    f"use another port (--port {self._name}=0 takes a free one)",
                ) from None
            self.port = self._server.sockets[0].getsockname()[1]
        self._task = asyncio.get_running_loop().create_task(self._push())

    def close(self) -> None:
        """Stop."""
        self._task.cancel()
        if self.tap is not None:
            self.tap.close()
        if self._server is not None:
            self._server.close()
        for writer in self._connections:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        with suppress(OSError):
            while await reader.read(4096):
                pass
        self._connections.discard(writer)
        writer.transport.abort()

    def _write_down(self, at_ms: int, text: bytes) -> None:
        """A line for each meter in a telegram; the bytes stand in that of the meter itself."""
        sent: dict[str, object] = {"sent": text.hex()}
        for name, values in self._meter.values(text).items():
            moment = {"t_ms": self._clock.unix_ms(), "at_ms": at_ms, "meter": name, "line": self._name}
            self._log.write_entry({**moment, **sent, "values": values})
            sent = {}

    async def _push(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            at_ms = self._clock.now_ms()
            text = self._meter.telegram(at_ms)
            self._write_down(at_ms, text)
            self.sent += 1
            data = bytes(byte | byte.bit_count() % 2 << 7 for byte in text) if self._seven_bits else text
            if self.tap is not None:
                self.tap.carry(data)
            for writer in self._connections:
                writer.write(data)
            due += self._every_s
            await asyncio.sleep(max(0.0, due - loop.time()))
