"""Serial line on a pseudo-terminal, which a gateway opens like any other.

The slave side is closed after the set-up, so that whoever holds it is a real user of the line. Linux then reports a
permanent hang-up on the master; it is watched edge-triggered, which tells each change once and needs no polling.
The pty stays the same over any number of clients.
"""

from __future__ import annotations

import errno
import os
import select
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from firmware_sim.errors import WireError
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line_noise import Disturbance
from firmware_sim.wire.rtu_wire import RTU, Frames, Line, RtuWire


class RtuBus(RtuWire):
    """One pseudo-terminal line; ``open`` publishes it as a symbolic link.

    Args:
        units: the devices on it.
        line: its settings.
        path: of the link.
        disturbances: what else happens on the line.
        frames: what is spoken on it.
    """

    def __init__(
        self,
        units: Units,
        line: Line,
        path: Path,
        disturbances: Sequence[Disturbance] = (),
        frames: Frames = RTU,
    ) -> None:
        super().__init__(units, line, disturbances, frames)
        self.path = path
        self._master = -1
        self._events = select.epoll()

    async def open(self) -> None:
        """Start to serve. Raises ``WireError`` when the path is taken."""
        refuse_taken(self.path)
        self._publish()
        self._start()
        self._loop.add_reader(self._events.fileno(), self._woken)

    def close(self) -> None:
        """Stop, and take the link away if it is still ours."""
        self._is_open = False
        self._loop.remove_reader(self._events.fileno())
        self._events.close()
        with suppress(OSError):
            if os.readlink(self.path) == self._slave_name:
                self.path.unlink()
        os.close(self._master)
        self._master = -1

    def _publish(self) -> None:
        self._master, slave = os.openpty()
        self._slave_name = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)
        os.set_blocking(self._master, False)
        self._events.register(self._master, select.EPOLLIN | select.EPOLLHUP | select.EPOLLET)
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            fresh.symlink_to(self._slave_name)
            fresh.replace(self.path)
        except OSError as error:
            os.close(self._master)
            self._master = -1
            raise WireError(
                f"{self.path}: {error.strerror}",
                "set port of the bus to a path in an existing folder that you can write to",
            ) from None

    def _woken(self) -> None:
        """Read all there is; the edge is reported only once."""
        self._events.poll(0)
        while True:
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

    def _has_listener(self) -> bool:
        poll = select.poll()
        poll.register(self._master, 0)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    def _understood(self) -> bool:
        if not self.line.check_settings:
            return True
        settings = termios.tcgetattr(self._master)
        speed = getattr(termios, f"B{self.line.baudrate}", settings[5])
        two = bool(settings[2] & termios.CSTOPB)
        return bool(settings[5] == speed) and two == (self.line.stopbits == 2)


def refuse_taken(path: Path) -> None:
    """``WireError`` unless the path is free or a link that a dead simulator left behind, which is taken away."""
    if not path.is_symlink():
        if path.exists():
            raise WireError(
                f"{path}: already exists and is not a link to a terminal",
                "move it away, or set another port for the bus",
            )
        return
    if path.exists():
        target = os.readlink(path)
        served = _server_of(target) or "in use"
        raise WireError(
            f"{path}: leads to {target}, which is {served}", "stop that process, or set another port for the bus"
        )
    path.unlink()


def _server_of(terminal: str) -> str:
    """Who serves a pseudo-terminal, as far as /proc tells: 'served by process 12 (command)', or nothing."""
    number = f"tty-index:\t{Path(terminal).name}\n"
    for fd in Path("/proc").glob("[0-9]*/fdinfo/*"):
        with suppress(OSError):
            if number in fd.read_text():
                command = (fd.parents[1] / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return f"served by process {fd.parents[1].name} ({command})"
    return ""
