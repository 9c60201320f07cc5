"""A pseudo-terminal whose far end is this process. Nobody holds the near end but the process that reads: a port that
somebody else holds is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import tty
from pathlib import Path

from tests.gateway.fieldbus.devices import Device, Responder


class Terminal:
    """A device at the far end of a terminal, which a link leads to. Watched edge-triggered: Linux reports a hang-up for
    as long as nobody has the near end open."""

    def __init__(self, link: Path, device: Device) -> None:
        self.link = link
        self._master, near = os.openpty()
        tty.setraw(near)
        link.symlink_to(os.ttyname(near))
        os.close(near)
        os.set_blocking(self._master, False)
        self._edges = select.epoll()
        self._edges.register(self._master, select.EPOLLIN | select.EPOLLET)
        self._responder = Responder(device, self.write)
        asyncio.get_running_loop().add_reader(self._edges.fileno(), self._readable)

    def write(self, data: bytes) -> None:
        """Put bytes on the line; a line that nobody listens to loses them."""
        with contextlib.suppress(OSError):
            os.write(self._master, data)

    def close(self) -> None:
        """The terminal is gone."""
        asyncio.get_running_loop().remove_reader(self._edges.fileno())
        self._edges.close()
        master, self._master = self._master, -1
        os.close(master)
        self.link.unlink()

    def _readable(self) -> None:
        self._edges.poll(0)
        with contextlib.suppress(OSError):
            while True:
                self._responder.receive(os.read(self._master, 4096))
