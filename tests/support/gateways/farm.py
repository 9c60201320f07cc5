"""A farm of Modbus TCP meters on raw sockets, in a process of its own: fast, so that it is the reader that is measured.

Every endpoint (a port of 127.0.0.1) is one meter. Each answers any read of registers at once with values that change
from read to read, and ``SERIAL`` with a serial number of its own. Started as ``python -m tests.support.gateways.farm
COUNT``; prints its ports and ends when its standard input does.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.support.gateways.weight import cpu_s

SERIAL = 900
"""Address of the two registers that hold a meter's serial number."""
TURNS = 64
"""Different register images that each read takes its answer from in turn."""


@dataclass(frozen=True, slots=True)
class Farm:
    """A running farm: its process and the port of each meter."""

    pid: int
    ports: tuple[int, ...]

    def cpu_s(self) -> float:
        """CPU seconds that its process has used."""
        return cpu_s(self.pid)


@contextmanager
def farm(count: int) -> Iterator[Farm]:
    """``count`` meters, for the time of a ``with``."""
    command = [sys.executable, "-m", "tests.support.gateways.farm", str(count)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Farm(process.pid, tuple(json.loads(process.stdout.readline())))
    finally:
        process.stdin.close()
        process.wait()


class _Meters:
    """The serving side: one epoll over all endpoints and connections."""

    def __init__(self, count: int) -> None:
        self.poll = select.epoll()
        self.listeners: dict[int, tuple[socket.socket, int]] = {}
        self.connections: dict[int, tuple[socket.socket, int]] = {}
        self.images = [_image(turn) for turn in range(TURNS)]
        self.served = 0
        self.ports = []
        for number in range(count):
            listener = socket.create_server(("127.0.0.1", 0), backlog=16)
            listener.setblocking(False)
            self.listeners[listener.fileno()] = listener, number
            self.poll.register(listener, select.EPOLLIN)
            self.ports.append(listener.getsockname()[1])

    def serve(self, until: int) -> None:
        """Until the descriptor ``until`` has something to say, or has ended."""
        self.poll.register(until, select.EPOLLIN)
        while True:
            for fd, _ in self.poll.poll():
                if fd == until:
                    return
                if fd in self.listeners:
                    self._accept(fd)
                else:
                    self._answer(fd)

    def _accept(self, fd: int) -> None:
        listener, number = self.listeners[fd]
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections[connection.fileno()] = connection, number
        self.poll.register(connection, select.EPOLLIN)

    def _answer(self, fd: int) -> None:
        """Each request in what has come; a client sends one at a time, so that none is ever split here."""
        connection, number = self.connections[fd]
        try:
            data = connection.recv(4096)
        except ConnectionError:
            data = b""
        if not data:
            del self.connections[fd]
            connection.close()
            return
        for at in range(0, len(data) - 11, 12):
            head, unit, function, address, count = struct.unpack_from(">4sxxBBHH", data, at)
            self.served += 1
            size = 2 * count
            body = self.images[self.served % TURNS][:size] if address != SERIAL else struct.pack(">I", 70_000 + number)
            with suppress(ConnectionError):  # who asked has gone, while this process was held up: the next recv ends it
                connection.send(head + struct.pack(">HBBB", 3 + size, unit, function, size) + body)


def _image(turn: int) -> bytes:
    """Registers 0 to 124 as 32-bit floats."""
    return struct.pack(">63f", *(230.0 + point + turn / TURNS for point in range(63)))


if __name__ == "__main__":
    meters = _Meters(int(sys.argv[1]))
    print(json.dumps(meters.ports), flush=True)
    meters.serve(sys.stdin.fileno())
