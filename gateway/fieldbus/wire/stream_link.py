"""Stream link: a serial port, a pseudo-terminal or a TCP socket. Moves bytes and waits; the guard decides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.fieldbus.wire.connections import Connections
from gateway.fieldbus.wire.dialed import Dialed
from gateway.fieldbus.wire.errors import broken
from gateway.fieldbus.wire.framing import NO_TEXTS, Framing, Texts
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import Key, KeyTable, Question, Unit
from gateway.fieldbus.wire.link import Manners, Outcome, Silence, Witness, no_key
from gateway.fieldbus.wire.reopen import reopened
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error

BATCH_S = 0.02
"""A frame that has begun may go on so much later: USB adapters deliver in batches of up to 16 ms."""
LOOK_S = 0.1
"""The port is read at least this often; bytes read after a longer pause arrived while the process was held up."""
RESTLESS_S = 1.0
"""A line that finds no silence within this time cannot be asked."""
SEND_S = 1
CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Port:
    """An open descriptor and the wire behind it. ``paced``: bytes leave at the line's speed, not at once.

    ``read_at``: the loop time at which it was last empty, if that was not just now."""

    fd: int
    close: Callable[[], None]
    char_s: float
    t35_s: float
    paced: bool
    read_at: float | None = None


class ReadEnd:
    """All that a passive source holds of its port. A serial port is also opened for reading alone
    (``serial_port.open_to_read``), so that the kernel refuses a write; of a socket this object is the only way. A
    connection is not shut down in one direction: converters take that for goodbye."""

    __slots__ = ("__close", "fd")

    def __init__(self, port: Port) -> None:
        self.fd, self.__close = port.fd, port.close

    def read(self) -> bytes | None:
        """What waits in the kernel; None: nothing now; empty: the other end is gone. Raises OSError."""
        try:
            return os.read(self.fd, CHUNK)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Release it."""
        self.__close()


async def connect(host: str, tcp_port: int, timeout_s: float, char_s: float, t35_s: float) -> Port:
    """A raw connection to a device server. OSError or TimeoutError when there is none."""
    sock = await connected(host, tcp_port, timeout_s)
    return Port(sock.fileno(), sock.close, char_s, t35_s, paced=False)


async def connected(host: str, tcp_port: int, timeout_s: float) -> socket.socket:
    """A socket that is connected to a device or its server. OSError or TimeoutError when there is none."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(timeout_s):
        found = await loop.getaddrinfo(host, tcp_port, type=socket.SOCK_STREAM)
        for place, (family, kind, protocol, _, address) in enumerate(found, start=1):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                await loop.sock_connect(sock, address)
            except BaseException as error:
                sock.close()
                if place == len(found) or not isinstance(error, OSError) or isinstance(error, TimeoutError):
                    raise
            else:
                return sock
    raise socket.gaierror(socket.EAI_NODATA, f"{host} has no address")


class StreamLink:
    """One open line with its guard. See ``link.Link``. Owned by the event loop.

    Args:
        witness: called with bytes that are no expected answer.
        echo, texts: as of ``Guard``.
        reconnect: opens the port once more, where the device may close it after an answer (RTU over TCP).
        connections: what earlier connections showed of the endpoint.
        dialed: of a line that is listened on, its connections: whose turn it is depends on their answers.
    """

    def __init__(
        self,
        port: Port,
        framing: Framing,
        table: KeyTable,
        witness: Witness,
        *,
        echo: str = "off",
        texts: Texts = NO_TEXTS,
        reconnect: Callable[[], Awaitable[Port]] | None = None,
        connections: Connections | None = None,
        dialed: Dialed | None = None,
    ) -> None:
        self._port, self._loop, self._reconnect = port, asyncio.get_running_loop(), reconnect
        self._dialed = dialed
        self._connections = connections or Connections()
        self._framing = framing
        self._guard = Guard(framing, table, port.t35_s, witness, echo=echo, texts=texts)
        self.generation, self.renewals, self.voided = 1, 0, self._guard.voided
        self._ready: dict[Unit, float] = {}
        self._timeouts: dict[Unit, float] = {}
        self._wake: asyncio.Future[None] | None = None
        self._lost: Message | None = None
        self._reading = False
        self._why: OSError | None = None
        self._opened()

    async def read(self, questions: Sequence[Question], manners: Manners) -> Outcome:
        """Ask one of the questions and wait for its answer; LineDown when the port is gone.

        A question that meets the end of its connection behind an earlier answer is put once more, in another key, to
        another connection.
        """
        outcome = await self._read(questions, manners)
        if self._dialed is not None:
            if not isinstance(outcome, Silence):
                self._dialed.answered(questions[0].unit)
            elif outcome.reason == "timeout":
                self._dialed.unanswered(questions[0].unit)
        return outcome

    async def _read(self, questions: Sequence[Question], manners: Manners) -> Outcome:
        unit, met = questions[0].unit, False
        while self._loop.time() < (ready := self._ready.get(unit, 0.0)):
            await self._sleep_until(ready)
        self._timeouts[unit] = manners.timeout_s
        while True:
            await self._usable()
            if not await self._silent(manners.timeout_s):
                return Silence("timeout", Message("line-not-quiet"))
            if self._lost:
                continue
            question = self._guard.choose(questions, self._drained)  # a late answer may have come since then
            if question is None:
                return no_key(self._guard.table, questions, self._drained, closed=met)
            if (outcome := await self._put(question, manners)) is not None:
                self._ready[unit] = self._loop.time() + manners.pause_s
                return outcome
            met = True

    async def quiet(self) -> None:
        """Wait for t3.5 of silence; LineDown when the port is gone."""
        await self._silent()

    async def settle(self, seconds: float) -> None:
        """Let what was on its way when the port was opened come in, and be classified."""
        end = self._loop.time() + seconds
        while self._loop.time() < end:
            await self._sleep_until(end)

    def close(self) -> None:
        """Release the port."""
        self._reconnect = None
        self._stop_reading()
        if not self._lost:
            self._lost = Message("line-closed")
        with contextlib.suppress(OSError):
            self._port.close()

    def _opened(self) -> None:
        self._lost, self._why, self._reading = None, None, True
        self._drained = self._loop.time() if self._port.read_at is None else self._port.read_at
        self._loop.add_reader(self._port.fd, self._readable)
        self._looking = self._loop.call_later(LOOK_S, self._look)

    async def _usable(self) -> None:
        """Wait for the end that is due of this connection, and put another one in its place if it came."""
        while not self._lost and (due := self._connections.end_due) is not None and self._loop.time() < due:
            await self._sleep_until(due)
        if self._lost:
            self._check()
            await self._renew()
        elif self._dialed is not None and self._dialed.turn_over:
            self._stop_reading()
            self._guard.break_off()
            await self._renew()

    async def _renew(self) -> None:
        """Put another connection in the place of this one."""
        same_device = self._connections.same_device
        self._port.close()
        self._port = await reopened(self._connect, same_device=same_device)
        self.generation, self.renewals = self.generation + (not same_device), self.renewals + same_device
        self._opened()

    async def _connect(self) -> Port:
        """Open the port once more; LineDown when that cannot be."""
        assert self._reconnect is not None
        begun = self._loop.time()
        port = await self._reconnect()
        self._connections.opened(self._loop.time() - begun)
        return port

    async def _put(self, question: Question, manners: Manners) -> Outcome | None:
        """Ask it; None when the question met the end of its connection, in which case it has used its key."""
        self._guard.ask(question, self._loop.time(), leading=manners.leading_bytes)
        try:
            out = await self._send(self._framing.sent(question))
            self._guard.sent(out)
            await self._answer(question, out, manners)
        finally:  # a cancelled read, too, has used its key
            met = self._lost is not None and not self._guard.decided
            outcome = self._guard.finish(self._loop.time())
        return None if met else outcome

    async def _answer(self, question: Question, out: float, manners: Manners) -> None:
        """Until the guard has decided, at longest the device's time and that of its answer on the wire."""
        deadline = out + manners.timeout_s + self._length_s(question.key)
        while not self._guard.decided:
            if self._loop.time() >= deadline:
                self._readable()  # what came while this process was busy elsewhere is in time
                return
            if self._lost:
                return
            await self._sleep_until(deadline)

    def _length_s(self, key: Key) -> float:
        """The time on the wire of an answer of this key."""
        return self._framing.answer_chars(key) * self._port.char_s

    async def _silent(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing came for t3.5, with a frame that has begun for a batch; False on a restless line.

        ``timeout_s``: a question is to be sent. The line is then also left free for an answer that another master waits
        for; of a unit that we do not poll this is the time-out that is assumed."""
        begun = self._loop.time()
        while True:
            self._readable()
            self._check()
            gap = self._port.t35_s if self._guard.between_frames else max(self._port.t35_s, BATCH_S)
            kept = self._kept_until(begun, timeout_s) if timeout_s is not None else begun
            now, ready = self._loop.time(), max(self._guard.last_byte + gap, kept)
            if now >= ready:
                return True
            if now >= max(begun + RESTLESS_S, kept):
                return False
            await self._sleep_until(ready)

    def _kept_until(self, begun: float, timeout_s: float) -> float:
        """Until when the line is left to the answer of another master's question; to a master that repeats a question
        without an answer, only for the time of one answer."""
        if self._guard.awaited is None:
            return begun
        key, asked = self._guard.awaited
        return min(asked, begun) + self._timeouts.get(key[0], timeout_s) + self._length_s(key)

    async def _send(self, frame: bytes) -> float:
        """Write a frame; gives the earliest moment at which it can be on the wire in full."""
        self._framing.permit(frame)
        begun, rest = self._loop.time(), memoryview(frame)
        while rest:
            try:
                rest = rest[os.write(self._port.fd, rest) :]
            except BlockingIOError:
                await self._writable(begun + SEND_S)
            except OSError as error:
                self._readable()
                self._lose(Message("line-write-failed", error=os_error(error)), why=error)
            self._check()
            if self._lost:
                break
        return begun + len(frame) * self._port.char_s if self._port.paced else self._loop.time()

    async def _writable(self, limit: float) -> None:
        if self._loop.time() >= limit:
            self._lose(Message("line-write-timeout", limit_s=SEND_S))
            return
        self._loop.add_writer(self._port.fd, self._notify)
        try:
            await self._sleep_until(limit)
        finally:
            self._loop.remove_writer(self._port.fd)

    def _readable(self) -> None:
        """Take all that waits in the kernel."""
        while self._reading:
            now = self._loop.time()
            try:
                data = os.read(self._port.fd, 4096)
            except BlockingIOError:
                self._drained = now
                return
            except OSError as error:
                return self._lose(Message("line-read-failed", error=os_error(error)), why=error)
            if not data:
                return self._lose(self._closed(), orderly=True)
            arrived, waited = self._loop.time(), not self._guard.decided
            self._guard.receive(data, arrived, self._drained)
            if self._guard.decided:
                if waited and self._guard.answered:
                    self._connections.answered(arrived)
                self._notify()

    def _look(self) -> None:
        self._readable()
        if self._reading:
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _closed(self) -> Message:
        if self._reconnect is None:
            return Message("line-other-end-gone")
        if self._guard.between_frames:
            return Message("device-closed-unanswered")
        return Message("device-closed-midway")

    def _lose(self, what: Message, *, orderly: bool = False, why: OSError | None = None) -> None:
        if not self._lost:
            self._lost, self._why = what, why
            self._connections.ended(self._loop.time(), orderly=orderly, met=not self._guard.decided)
        self._stop_reading()
        self._notify()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._looking.cancel()
            self._loop.remove_reader(self._port.fd)

    def _check(self) -> None:
        """LineDown when the port is gone, unless it ended as it does behind a whole answer."""
        hung_up = self._reconnect is not None and self._guard.between_frames and self._connections.behind_answer
        if self._lost and not hung_up:
            raise broken(self._lost, self._why)

    def _notify(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep_until(self, moment: float) -> None:
        """Sleep until ``moment`` or until something happened; LineDown when that was the end of the port."""
        if self._loop.time() < moment:
            self._wake = self._loop.create_future()
            timer = self._loop.call_at(moment, self._notify)
            try:
                await self._wake
            finally:
                timer.cancel()
                self._wake = None
        self._check()
