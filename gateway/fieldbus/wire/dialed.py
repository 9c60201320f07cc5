"""Connections of devices that dial in to one line: which of them is asked.

A DTU behind a modem redials without a word to its old connection, which may look open for minutes; and two DTUs may by
mistake say one hello. Either way there are several connections, and only their answers tell them apart:

1. The one that is asked is kept as long as it answers. Others wait, of each address the newest.
2. At the first question without an answer the turn passes, to the one that last gave a poll if that waits, else to the
   one whose turn was the longest ago. Only the silence of a unit counts that answered here before: a dead meter says
   nothing of its connection. Where no unit ever did, any counts.
3. Whoever had to give way waits, and is closed only once another one has given a poll of the known meters. So neither
   one late answer nor a flood of connections takes the line from a device that answers.
4. Another address that connects more than twice in a minute while one is asked, or one that waits for a minute while
   another gives polls, is a second device: ``rivals``.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from gateway.fieldbus.wire.errors import Unreachable
from gateway.fieldbus.wire.keys import Unit
from gateway.messages.message import Message

RIVAL_S = 60.0
MOST_TURNS = 2
"""Connections of another address within ``RIVAL_S`` that are redials; one more is a second device."""
MOST_WAITING = 16
"""Addresses of which a connection may wait."""


@dataclass(eq=False, slots=True)
class Call:
    """One connection: its socket, the other end's address, and loop times in seconds.

    ``came``: since when this address has waited. ``read_at``: when it was last known that nothing waited to be read.
    ``tried``: when it was last asked, ``polled``: when it last gave a poll. ``answering``: the units that answer on it.
    """

    sock: socket.socket
    host: str
    tcp_port: int
    came: float
    read_at: float
    tried: float = float("-inf")
    polled: float = float("-inf")
    answering: set[Unit] = field(default_factory=set)

    @property
    def gone(self) -> bool:
        """The other end has closed it, or it is closed here."""
        if self.sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLRDHUP)
        return bool(poll.poll(0))


class Dialed:
    """See the module. Event loop only; made by ``Acceptors.join``.

    Args:
        where: the address that is listened on.
        networks, hello: of its line specification.
        leave: called when the line ends.
    """

    def __init__(
        self,
        name: str,
        where: str,
        networks: tuple[IPv4Network | IPv6Network, ...],
        hello: tuple[bytes, ...],
        leave: Callable[[Dialed], None],
    ) -> None:
        self.name, self.where, self.networks, self.hello = name, where, networks, hello
        self._leave, self._loop = leave, asyncio.get_running_loop()
        self._waiting: list[Call] = []
        self._present: Call | None = None
        self._polled: Call | None = None
        """The one that last gave a poll."""
        self._gave_way: Call | None = None
        self.turn_over = False
        """Another one is to be asked next: ``connection`` gives it."""
        self._others = deque[tuple[float, str, str]](maxlen=MOST_TURNS + 1)
        """When another address connected while one was asked, and both addresses; the last ones."""
        self._news: asyncio.Future[None] | None = None

    # — for the link —

    async def connection(self, wait_s: float = 0.0) -> Call:
        """The connection whose turn it is; whoever gets it gives it back to ``release``.

        Args:
            wait_s: how long to wait for one.

        Raises:
            Unreachable: there is none.
        """
        call = self._next()
        if call is None and wait_s > 0:
            self._news = self._loop.create_future()
            await asyncio.wait([self._news], timeout=wait_s)
            self._news, call = None, self._next()
        if call is None:
            raise Unreachable(Message("listen-nobody"))
        self._waiting.remove(call)
        self._present, self.turn_over, call.tried = call, False, self._loop.time()
        return call

    def release(self, call: Call) -> None:
        """It is not asked any more: closed, unless it only gave way to another one. Harmless if done before."""
        if call in self._waiting:
            call.read_at = self._loop.time()
            return
        call.sock.close()
        if call is self._present:
            self._present, self.turn_over = None, False

    def answered(self, unit: Unit) -> None:
        """A unit has answered on the connection that is asked."""
        if self._present is not None:
            self._present.answering.add(unit)

    def unanswered(self, unit: Unit) -> None:
        """A question to a unit had no answer: the turn passes if somebody waits, and the unit answered before."""
        call = self._present
        if call is None or (call.answering and unit not in call.answering):
            return
        if len(call.answering) > 1:
            call.answering.discard(unit)
        self.give_way()

    # — for the line —

    def give_way(self) -> None:
        """The turn of the connection that is asked is over, if there is another one."""
        if self._present is not None and not self.turn_over and self._next() is not None:
            self._waiting.append(self._present)
            self._gave_way, self.turn_over = self._present, True

    def polled(self) -> None:
        """It has given values of the known meter: whoever gave way to it is closed."""
        call = self._present
        if call is None or self.turn_over:
            return
        call.polled, self._polled = self._loop.time(), call
        if self._gave_way in self._waiting:
            self._drop(self._gave_way)
        self._gave_way = None

    @property
    def rivals(self) -> tuple[str, str] | None:
        """The addresses of two devices that both connect to this line; None: there is but one."""
        if len(self._others) > MOST_TURNS and self._loop.time() - self._others[0][0] <= RIVAL_S:
            return self._others[-1][1:]
        if (present := self._present) is None:
            return None
        long = [call for call in self._waiting if call is not present and call.came + RIVAL_S <= present.polled]
        return next((_names(present, call) for call in long if not call.gone), None)

    # — for the acceptor —

    def take(self, sock: socket.socket, host: str, tcp_port: int) -> bool:
        """A connection of this line has come. True: others of it are open."""
        now = self._loop.time()
        call = Call(sock, host, tcp_port, now, now)
        beside = self._present is not None and not self._present.gone
        if self._present is not None and beside and self._present.host != host:
            self._others.append((now, *_names(self._present, call)))
        kept = self._gave_way, self._polled
        for older in [other for other in self._waiting if other.host == host and other not in kept]:
            call.came = older.came
            self._drop(older)
        self._waiting.append(call)
        if len(self._waiting) > MOST_WAITING:
            self._drop(next(other for other in self._waiting if other not in kept))
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
        return beside

    def leave(self) -> None:
        """The line ends; with the last line of an address its listening socket is closed."""
        self._present = None
        for call in list(self._waiting):
            self._drop(call)
        self._leave(self)

    # — within —

    def _next(self) -> Call | None:
        """Whose turn it is of those that wait."""
        for gone in [call for call in self._waiting if call.gone]:
            self._drop(gone)
        return min(self._waiting, key=self._order, default=None)

    def _order(self, call: Call) -> tuple[bool, bool, float]:
        return call is self._gave_way and self.turn_over, call is not self._polled, call.tried

    def _drop(self, call: Call) -> None:
        self._waiting.remove(call)
        if call is not self._present:
            call.sock.close()


def _names(one: Call, other: Call) -> tuple[str, str]:
    """Two addresses; with their ports where they are the same, as behind a carrier's NAT."""
    if one.host != other.host:
        return one.host, other.host
    return f"{one.host}:{one.tcp_port}", f"{other.host}:{other.tcp_port}"
