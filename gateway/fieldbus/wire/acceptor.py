"""Acceptors: the connections of DTUs that dial in, each given to the line that it is of.

Lines of one address share its listening socket: a connection is the line's with one of whose ``hello`` texts it begins.
Which connection of a line counts is dialed.py's.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.fieldbus.wire.dialed import Dialed
from gateway.fieldbus.wire.framing import Texts
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.listener import BACKLOG, listening_socket, within

log = logging.getLogger("meterseal.fieldbus")

HELLO_S, LOOK_S = 10.0, 0.05
"""Seconds after which a connection whose device is still unknown is closed, and between two looks at it."""
MOST_UNKNOWN = 64
"""Most connections whose device is still unknown; one more takes the place of the oldest of the address that has most
of them."""
FULL_S = 1.0
"""Seconds without accepting, once this process may open no more files."""


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A connection whose device is not known yet."""

    sock: socket.socket
    host: str
    tcp_port: int


class Acceptors:
    """The listening sockets of one process, by address. Event loop only."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], _Listener] = {}

    def join(self, spec: LineSpec) -> Dialed:
        """Listen for the connections of a line with ``listen``, until ``leave``. Raises PortError."""
        assert spec.listen is not None
        listener = self._listeners.get(spec.listen)
        if listener is None or listener.closed:
            listener = self._listeners[spec.listen] = _Listener(listening_socket(*spec.listen))
        dialed = Dialed(spec.name, spec.where, spec.networks, spec.hello, listener.leave)
        listener.lines.append(dialed)
        return dialed


class _Listener:
    """One listening socket and its lines."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines: list[Dialed] = []
        self.closed = False
        self._socket, self._loop = sock, asyncio.get_running_loop()
        self._unknown: dict[asyncio.Task[None], _Unknown] = {}
        self._listen()

    def _listen(self) -> None:
        if not self.closed:
            self._loop.add_reader(self._socket.fileno(), self._accept)

    def leave(self, line: Dialed) -> None:
        if line in self.lines:
            self.lines.remove(line)
        if not self.lines and not self.closed:
            self.closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            for task in self._unknown:
                task.cancel()

    def _accept(self) -> None:
        """Take the connections that wait; some at a time, for the lines must go on."""
        for _ in range(BACKLOG):
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # it went away again, or there are too many open files
                log.warning("%s: a connection was not accepted: %s", self.lines[0].where, error)
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._loop.remove_reader(self._socket.fileno())
                    self._loop.call_later(FULL_S, self._listen)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted(_Unknown(connection, str(address[0]), int(address[1])))

    def _accepted(self, new: _Unknown) -> None:
        lines = [line for line in self.lines if not line.networks or within(new.host, line.networks)]
        if not lines:
            self._refuse(new, "it is not in any network of `from`")
            return
        if len(lines) == 1 and not lines[0].hello:
            self._give(new, lines[0])
            return
        if len(self._unknown) >= MOST_UNKNOWN:
            self._make_room()
        task = self._loop.create_task(self._identify(new, lines))
        self._unknown[task] = new
        task.add_done_callback(self._known)

    def _make_room(self) -> None:
        """Close the oldest connection of the address that has most connections of unknown devices."""
        [(most, _)] = Counter(unknown.host for unknown in self._unknown.values()).most_common(1)
        task, oldest = next((task, unknown) for task, unknown in self._unknown.items() if unknown.host == most)
        text = "%s: too many connections have not said whose they are; the oldest of %s is closed"
        log.warning(text, self.lines[0].where, most)
        del self._unknown[task]
        task.cancel()
        oldest.sock.close()

    def _known(self, task: asyncio.Task[None]) -> None:
        unknown = self._unknown.pop(task, None)
        if unknown is not None and task.cancelled():
            unknown.sock.close()

    async def _identify(self, new: _Unknown, lines: Sequence[Dialed]) -> None:
        """Find the line by the first bytes, which are its hello; what follows it is left to the line."""
        connection = new.sock
        of = {text: line for line in lines for text in line.hello}
        hellos, longest, end = Texts(of), max(map(len, of)), self._loop.time() + HELLO_S
        while True:
            head = _peek(connection, longest)
            if head is None:
                connection.close()
                return
            length = hellos.length(head) if head else None
            if length is None and self._loop.time() >= end:
                length = max((len(text) for text in of if head.startswith(text)), default=0)
            if length is not None:
                break
            await asyncio.sleep(LOOK_S)
        line = of.get(head[:length])
        if line is None or line not in self.lines:
            self._refuse(new, "it does not begin with a `hello` of any line")
            return
        connection.recv(length)
        self._give(new, line)

    def _give(self, new: _Unknown, line: Dialed) -> None:
        beside = line.take(new.sock, new.host, new.tcp_port)
        form = "%s: %s has connected to %s, beside another connection" if beside else "%s: %s has connected to %s"
        log.info(form, line.name, new.host, line.where, extra={"line": line.name})

    def _refuse(self, new: _Unknown, why: str) -> None:
        log.warning("%s: connection from %s refused: %s", self.lines[0].where, new.host, why)
        new.sock.close()


def _peek(connection: socket.socket, most: int) -> bytes | None:
    """The first bytes, which stay there; None: it is closed."""
    try:
        return connection.recv(most, socket.MSG_PEEK) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
