"""Serial line on a pseudo-terminal, which a gateway opens like any other.

The slave side is closed after the set-up, so that whoever holds it is a real user of the line. Linux then reports a
permanent hang-up on the master; it is watched edge-triggered, which tells each change once and needs no polling.
The pty stays the same over any number of clients.
"""

from __future__ import annotations

import errno
import os
import re
import select
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from firmware_sim.errors import WireError
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import RTU, Frames, Line
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.rtu_wire import RtuWire
from firmware_sim.wire.tap import Tap
from firmware_sim.wire.terminal_link import publish, refuse_taken
from firmware_sim.wire.uart import Uart

SPEEDS: dict[int, int] = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if re.fullmatch("B[1-9][0-9]*", name)
}
"""Speeds in baud by their number in termios."""


class RtuBus(RtuWire):
    """One pseudo-terminal line; ``open`` publishes it as a symbolic link.

    Args:
        units: the devices on it.
        line: its settings.
        path: of the link.
        disturbances: what else happens on the line.
        tap: gets a copy of the line.
        frames: what is spoken on it.
        settings: what each device's UART is set to, in their order; None: all understand each other.
    """

    def __init__(
        self,
        units: Units,
        line: Line,
        path: Path,
        disturbances: Sequence[Disturbance] = (),
        frames: Frames = RTU,
        tap: Tap | None = None,
        settings: Sequence[Uart] | None = None,
    ) -> None:
        super().__init__(units, line, disturbances, frames, tap, settings)
        self.path = path
        self._master = -1
        self._events = select.epoll()

    async def open(self) -> None:
        """Start to serve. Raises ``WireError`` when the path is taken."""
        self.come()
        self._start()
        self._loop.add_reader(self._events.fileno(), self._woken)

    def close(self) -> None:
        """Stop, and take the link away if it is still ours."""
        self._stop()
        self._loop.remove_reader(self._events.fileno())
        self.go()
        self._events.close()

    def go(self) -> None:
        """Take the link away if it is still ours, and hang up on whoever has the terminal open."""
        if self._master < 0:
            return
        with suppress(OSError):
            if os.readlink(self.path) == self._slave_name:
                self.path.unlink()
        os.close(self._master)
        self._master = -1
        self._received.clear()

    def come(self) -> None:
        """Publish the link anew, to another terminal. Raises ``WireError`` when the path is taken."""
        refuse_taken(self.path)
        self._publish()

    def _publish(self) -> None:
        self._master, slave = os.openpty()
        self._slave_name = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._events.register(self._master, select.EPOLLIN | select.EPOLLHUP | select.EPOLLET)
        try:
            publish(self.path, self._slave_name)
        except WireError:
            os.close(self._master)
            self._master = -1
            raise

    def _woken(self) -> None:
        """Read all there is; the edge is reported only once."""
        self._events.poll(0)
        while self._master >= 0:
            try:
                data = os.read(self._master, 4096)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._received.clear()  # nobody has the line open any more: what was begun will not be finished
                return
            self.hear(data)

    def _write(self, data: bytes) -> None:
        with suppress(BlockingIOError, OSError):  # a client that reads nothing loses bytes, as on a wire
            os.write(self._master, data)

    def has_listener(self) -> bool:
        if self._master < 0:
            return False
        poll = select.poll()
        poll.register(self._master, 0)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def master_uart(self) -> Uart:
        """Speed and stop bits of the terminal; it keeps no parity, and has that of the line."""
        if self._master < 0:
            return self.line.uart
        settings = termios.tcgetattr(self._master)
        speed = SPEEDS.get(settings[5], self.line.baudrate)
        return Uart(speed, self.line.parity, 2 if settings[2] & termios.CSTOPB else 1)

    def _understood(self) -> bool:
        if not self.line.check_settings:
            return True
        settings = termios.tcgetattr(self._master)
        speed = getattr(termios, f"B{self.line.baudrate}", settings[5])
        two = bool(settings[2] & termios.CSTOPB)
        return bool(settings[5] == speed) and two == (self.line.stopbits == 2)
