"""Acceptors: the connections of DTUs that dial in, each given to the line that it is of; the newest counts.

A DTU behind a modem redials without a word to its old connection, which may look open for minutes. Lines of one address
share its listening socket: a connection is the line's with one of whose ``hello`` texts it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence

from gateway.fieldbus.wire.errors import Unreachable
from gateway.fieldbus.wire.framing import Texts
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.listener import listening_socket, within
from gateway.messages.message import Message

log = logging.getLogger("meterseal.fieldbus")

HELLO_S, LOOK_S = 10.0, 0.05
"""A connection that has not said whose it is by then is closed; so often it is looked whether it has."""
MOST_UNKNOWN = 64
"""Connections that have not said yet whose they are; more are refused."""


class Dialed:
    """The connections of one line. Event loop only; made by ``Acceptors.join``."""

    def __init__(self, spec: LineSpec, listener: _Listener) -> None:
        self.where, self.networks, self.hello = spec.where, spec.networks, spec.hello
        self.name, self._listener = spec.name, listener
        self._next: socket.socket | None = None
        self._present: socket.socket | None = None
        self._news: asyncio.Future[None] | None = None

    async def connection(self, wait_s: float = 0.0) -> socket.socket:
        """The newest connection that was not given yet; whoever gets it closes it. It is shut down when a newer one
        comes.

        Args:
            wait_s: how long to wait for one.

        Raises:
            Unreachable: there is none.
        """
        if self._next is None and wait_s > 0:
            self._news = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._news], timeout=wait_s)
            self._news = None
        if self._next is None:
            raise Unreachable(Message("listen-nobody"))
        self._present, self._next = self._next, None
        return self._present

    @property
    def given(self) -> bool:
        """The connection that counts is open here."""
        return self._next is not None or (self._present is not None and self._present.fileno() >= 0)

    def take(self, connection: socket.socket) -> None:
        """A connection of this line has come: earlier ones count no more."""
        if self._next is not None:
            self._next.close()
        if self._present is not None:
            with contextlib.suppress(OSError):  # it is closed already, or was never more than half open
                self._present.shutdown(socket.SHUT_RDWR)
        self._next, self._present = connection, None
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def leave(self) -> None:
        """The line ends; with the last line of an address its listening socket is closed."""
        if self._next is not None:
            self._next.close()
            self._next = None
        self._listener.leave(self)


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
        dialed = Dialed(spec, listener)
        listener.lines.append(dialed)
        return dialed


class _Listener:
    """One listening socket and its lines."""

    def __init__(self, sock: socket.socket) -> None:
        self.lines: list[Dialed] = []
        self.closed = False
        self._socket, self._loop = sock, asyncio.get_running_loop()
        self._unknown: dict[asyncio.Task[None], socket.socket] = {}
        self._loop.add_reader(sock.fileno(), self._accept)

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
        """Take every connection that waits."""
        while not self.closed:
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # it went away again, or there are too many open files
                log.warning("%s: a connection was not accepted: %s", self.lines[0].where, error)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = str(address[0])
            lines = [line for line in self.lines if not line.networks or within(host, line.networks)]
            if not lines:
                self._refuse(connection, host, "it is not in any network of `from`")
            elif len(lines) == 1 and not lines[0].hello:
                self._give(connection, host, lines[0])
            elif len(self._unknown) >= MOST_UNKNOWN:
                self._refuse(connection, host, "too many connections have not said whose they are")
            else:
                task = self._loop.create_task(self._identify(connection, host, lines))
                self._unknown[task] = connection
                task.add_done_callback(self._known)

    def _known(self, task: asyncio.Task[None]) -> None:
        connection = self._unknown.pop(task)
        if task.cancelled():
            connection.close()

    async def _identify(self, connection: socket.socket, host: str, lines: Sequence[Dialed]) -> None:
        """Find the line by the first bytes, which are its hello; what follows it is left to the line."""
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
            self._refuse(connection, host, "it does not begin with a `hello` of any line")
            return
        connection.recv(length)
        self._give(connection, host, line)

    def _give(self, connection: socket.socket, host: str, line: Dialed) -> None:
        said = (
            "%s: %s has connected to %s, in place of the connection before"
            if line.given
            else "%s: %s has connected to %s"
        )
        log.info(said, line.name, host, line.where, extra={"line": line.name})
        line.take(connection)

    def _refuse(self, connection: socket.socket, host: str, why: str) -> None:
        log.warning("%s: connection from %s refused: %s", self.lines[0].where, host, why)
        connection.close()


def _peek(connection: socket.socket, most: int) -> bytes | None:
    """The first bytes, which stay there; None: it is closed."""
    try:
        return connection.recv(most, socket.MSG_PEEK) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
