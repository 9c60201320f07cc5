"""Port of a scan: a serial port of this machine or of a device server, whose settings change from try to try.

Every frame leaves through the read-only gate of its protocol. What comes in waits in ``heard``.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.commissioning.scan.settings import Settings
from gateway.config.wire_texts import is_rfc2217, rfc2217_address
from gateway.fieldbus.wire import serial_port
from gateway.fieldbus.wire.device_server import DeviceServerPort
from gateway.fieldbus.wire.errors import LineDown, PortError
from gateway.fieldbus.wire.framing import Framing
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.line_spec import NETWORK_LIFE_MS, SERIAL_LIFE_MS
from gateway.fieldbus.wire.serial_port import LineErrors
from gateway.fieldbus.wire.serial_time import char_seconds, t35_seconds
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

BATCH_S = 0.02
"""A frame that has begun may go on so much later: USB adapters deliver in batches of up to 16 ms."""
LATELY = 16
_BY_ID = Path("/dev/serial/by-id")
NETWORK_S = 0.015
"""So much later may a byte come that went over a network."""


def answer_life_s(target: str) -> float:
    """How long an answer may still come after the last question on such a port, in seconds: so long nothing else may be
    asked there."""
    return (NETWORK_LIFE_MS if is_rfc2217(target) else SERIAL_LIFE_MS) / 1000


def lasting_name(target: str) -> str:
    """The port as a configuration should name it, wherever that lies and however adapters are plugged in."""
    if is_rfc2217(target):
        return target
    device = os.path.realpath(target)
    known = (str(link) for link in sorted(_BY_ID.glob("*")) if os.path.realpath(link) == device)
    return next(known, os.path.abspath(target))


class ScanPort:
    """One open port. Event loop only.

    ``heard``: bytes that came and were not taken yet. ``last_byte``: the loop time of the last one. ``sent``: the
    last questions, whose echo may still come; ``sent_bytes``: all that was sent. ``parity``: the port has one.
    """

    def __init__(
        self,
        target: str,
        fd: int,
        close: Callable[[], None],
        change: Callable[[int, str, int], None],
        errors: Callable[[], LineErrors | None],
        *,
        parity: bool,
        late_s: float,
    ) -> None:
        """``change`` sets the port, and may block. ``errors`` counts damaged bytes."""
        self.target, self.parity, self.heard = target, parity, bytearray()
        self.settings, self._is_set = Settings(9600), True
        self.sent: deque[bytes] = deque(maxlen=LATELY)
        self.sent_bytes, self.last_byte, self.free_at = 0, float("-inf"), 0.0
        self._fd, self._close, self._change, self.errors, self._late_s = fd, close, change, errors, late_s
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None
        self._lost: LineDown | None = None
        self._loop.add_reader(fd, self._readable)

    @property
    def char_s(self) -> float:
        """Time of one character on the wire."""
        return char_seconds(*self.settings)

    @property
    def gap_s(self) -> float:
        """After so long a silence nothing more comes of what has begun."""
        return max(t35_seconds(self.settings.baudrate), BATCH_S) + self._late_s

    async def set(self, settings: Settings) -> bool:
        """Set the port otherwise; what was heard before is dropped. False: the port does not do it. Raises LineDown."""
        if settings != self.settings or not self._is_set:
            self._is_set = False
            try:
                await self._loop.run_in_executor(None, self._change, *settings)
            except PortError:
                return False
            self.settings, self._is_set = settings, True
        self._readable()
        self.heard.clear()
        return True

    def send(self, question: Question, framing: Framing) -> float:
        """Ask; gives the loop time at which the question has left in full."""
        frame = framing.permit(framing.sent(question))
        try:
            written = os.write(self._fd, frame)
        except OSError as error:
            raise LineDown(Message("line-write-failed", error=os_error(error))) from None
        self.sent_bytes += written
        self.sent.append(frame)
        self.free_at = max(self._loop.time(), self.free_at) + written * self.char_s
        return self.free_at

    async def listen(self, until: float) -> bool:
        """Wait until a loop time, or until bytes come: True then. Raises LineDown."""
        self._readable()
        known = len(self.heard)
        while len(self.heard) == known and self._loop.time() < until:
            self._wake = self._loop.create_future()
            timer = self._loop.call_at(until, self._notify)
            try:
                await self._wake
            finally:
                timer.cancel()
                self._wake = None
        if self._lost is not None:
            raise self._lost
        return len(self.heard) > known

    async def hear_out(self, until: float) -> None:
        """Wait until a loop time, and then for the end of what has begun by then. Raises LineDown."""
        while self._loop.time() < (end := max(until, self.last_byte + self.gap_s)):
            await self.listen(end)

    def close(self) -> None:
        """Release it."""
        self._loop.remove_reader(self._fd)
        self._close()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, 65_536)
        except BlockingIOError:
            return
        except OSError as error:
            return self._lose(LineDown(Message("line-read-failed", error=os_error(error))))
        if not data:
            return self._lose(LineDown(Message("line-other-end-gone")))
        self.heard += data
        self.last_byte = self._loop.time()
        self._notify()

    def _lose(self, error: LineDown) -> None:
        self._lost = self._lost or error
        self._loop.remove_reader(self._fd)
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


async def open_scan_port(target: str) -> ScanPort:
    """Open what is to be scanned: a serial port, exclusively, or ``rfc2217://HOST:PORT``.

    Raises:
        PortError: there is no such port, it is none, or another process has it, which is named; the device server
            cannot be connected to, or speaks another protocol.
    """
    loop, first = asyncio.get_running_loop(), Settings(9600)
    if is_rfc2217(target):
        if (server := rfc2217_address(target)) is None:
            raise PortError(target, Message("config-rfc2217-form"))
        try:
            remote = await loop.run_in_executor(None, DeviceServerPort, *server, first.baudrate)
        except LineDown as error:
            raise PortError(target, Message("scan-no-device-server", why=error.sentence)) from None
        return ScanPort(
            target, remote.port().fd, remote.close, remote.change, lambda: remote.errors, parity=True, late_s=NETWORK_S
        )
    local = await loop.run_in_executor(None, serial_port.open_port, target, *first)
    return ScanPort(
        target,
        local.fd,
        local.close,
        partial(serial_port.change, target, local.fd),
        partial(serial_port.line_errors, local.fd),
        parity=serial_port.has_parity(target),
        late_s=0.0,
    )
