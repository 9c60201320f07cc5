"""Wires with faults: ports in front of a ledger or a broker that pass on what both say, and do to it what ``Faults``
says. Each connection has threads of its own; all are gone with ``close``."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

from tests.contract.faults import GARBAGE, JUNK, KEPT, LATE, LOST, NEVER, OTHER, TWICE, Faults

_RUNNING = b"HTTP/1.1 %s\r\nLocation: %s\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


class Wire:
    """A port that leads to another one on this machine."""

    def __init__(self, port: int, faults: Faults) -> None:
        self.faults = faults
        self._to = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def close(self) -> None:
        """Cut every connection and take no more."""
        _end(self._server)
        with self._lock:
            for end in self._open:
                _end(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_safely, args=(client,), name="wire", daemon=True).start()

    def _serve_safely(self, client: socket.socket) -> None:
        with self._held(client), suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._serve(client)

    def _held(self, end: socket.socket) -> closing[socket.socket]:
        with self._lock:
            self._open = {other for other in self._open if other.fileno() >= 0} | {end}
        return closing(end)

    def _connect(self) -> closing[socket.socket]:
        end = socket.create_connection(self._to, timeout=30)
        end.settimeout(None)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._held(end)

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError


class HttpWire(Wire):
    """In front of a SCITT ledger. A late answer is 303, then 302, then the receipt."""

    def __init__(self, port: int, faults: Faults) -> None:
        super().__init__(port, faults)
        self.url = f"http://127.0.0.1:{self.port}"
        self._running: set[bytes] = set()
        self._before = JUNK  # the receipt before

    def _serve(self, client: socket.socket) -> None:
        while request := _http_message(client):
            path = request.split(b" ", 2)[1]
            submission = self._submits(request)
            fault = self.faults.take(lookup=not submission) if submission or self._asks(request) else ""
            if fault == LOST:
                return
            if submission:
                self.faults.hear()
            with self._connect() as ledger:
                ledger.sendall(request)
                answer = _http_message(ledger)
            if fault == KEPT or not answer:
                return
            if fault == NEVER:
                client.recv(1)  # until the other side has had enough
                return
            client.sendall(self._changed(answer, path, fault))

    def _submits(self, request: bytes) -> bool:
        return request.startswith(b"POST /entries")

    def _asks(self, request: bytes) -> bool:
        return request.startswith(b"GET /entries")

    def _changed(self, answer: bytes, path: bytes, fault: str) -> bytes:
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")) or not path.startswith(b"/entries"):
            return answer  # a refusal, or another question's
        head, _, receipt = answer.partition(b"\r\n\r\n")
        before, self._before = self._before, receipt
        place = _header(head, b"location") or path
        if fault == LATE or (answer.startswith(b"HTTP/1.1 200") and path in self._running):
            if fault == LATE and place not in self._running:
                self._running.add(place)
                return _RUNNING % (b"303 See Other", place)
            self._running.discard(path)
            return _RUNNING % (b"302 Found", path)
        if fault in (GARBAGE, OTHER):
            return _http_answer(b"application/cose", JUNK if fault == GARBAGE else before)
        return answer * 2 if fault == TWICE else answer


class NodeWire(HttpWire):
    """In front of a chain's node, where a broadcast transaction is a submission. Nothing is late there but a block."""

    def _submits(self, request: bytes) -> bool:
        return b'"eth_sendRawTransaction"' in request

    def _asks(self, request: bytes) -> bool:
        return b'"eth_getTransactionReceipt"' in request

    def _changed(self, answer: bytes, path: bytes, fault: str) -> bytes:
        before, self._before = self._before, answer.partition(b"\r\n\r\n")[2]
        if fault in (GARBAGE, OTHER):
            return _http_answer(b"application/json", JUNK if fault == GARBAGE else before)
        return answer * 2 if fault == TWICE else answer


def _http_answer(kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (kind, len(body)) + body


def _http_message(end: socket.socket) -> bytes:
    """One request or response of which the length is said; nothing when the connection ends."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = end.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(_header(head, b"content-length") or 0)
    while len(body) < length:
        more = end.recv(65536)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b""


_CONNECT, _PUBLISH = 1, 3


class MqttWire(Wire):
    """In front of a broker, for a gateway's driver: faults strike the statements that go out, and their receipts."""

    def __init__(self, port: int, faults: Faults) -> None:
        super().__init__(port, faults)
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._fates: dict[bytes, str] = {}  # by the id in the topic, for the receipt of a statement on its way
        self._late: list[tuple[socket.socket, bytes]] = []
        self._before = JUNK

    def _serve(self, client: socket.socket) -> None:
        with self._connect() as broker:
            link = _Link(client, broker)
            threading.Thread(target=self._down, args=(link,), name="wire", daemon=True).start()
            self._up(link)
        _end(client)

    def _up(self, link: _Link) -> None:
        for packet in packets(link.client):
            if packet[0] >> 4 == _CONNECT:
                link.properties = packet[_length(packet, 1)[1] + 6] >= 5
            elif packet[0] >> 4 == _PUBLISH:
                self._deliver_late()
                fault = self.faults.take()
                if fault == LOST:
                    break
                self.faults.hear()
                with self._lock:
                    self._fates[_Publish(packet, link.properties).id] = fault
            link.broker.sendall(packet)
        link.end()

    def _down(self, link: _Link) -> None:
        with suppress(OSError):
            for packet in packets(link.broker):
                if packet[0] >> 4 == _PUBLISH:
                    passed = self._changed(_Publish(packet, link.properties), packet, link)
                    if passed is None:
                        break
                    packet = passed
                link.client.sendall(packet)
        link.end()

    def _changed(self, publish: _Publish, packet: bytes, link: _Link) -> bytes | None:
        """The receipt as it is passed on; None: the wire breaks here."""
        with self._lock:
            fault = self._fates.pop(publish.id, "")
        before, self._before = self._before, publish.payload
        if fault == KEPT:
            return None
        if fault in (NEVER, LATE):
            if fault == NEVER:
                link.broker.sendall(b"\x40\x02" + publish.packet_id)  # else the broker's window fills up
            else:
                with self._lock:
                    self._late.append((link.client, packet))
            return b""
        if fault in (GARBAGE, OTHER):
            return publish.with_payload(JUNK if fault == GARBAGE else before)
        return packet * 2 if fault == TWICE else packet

    def _deliver_late(self) -> None:
        """What was late is in time for the next submission."""
        with self._lock:
            late, self._late = self._late, []
        for client, packet in late:
            with suppress(OSError):  # its connection may be gone
                client.sendall(packet)


class _Link:
    """One driver's connection and the one to the broker behind it."""

    def __init__(self, client: socket.socket, broker: socket.socket) -> None:
        self.client, self.broker = client, broker
        self.properties = False  # MQTT 5

    def end(self) -> None:
        _end(self.client)
        _end(self.broker)


class _Publish:
    """The parts of a PUBLISH with QoS 1 (MQTT 5 §3.3, 3.1.1 §3.3)."""

    def __init__(self, packet: bytes, properties: bool) -> None:
        _, at = _length(packet, 1)
        self._flags, self._begin = packet[0], at
        size = int.from_bytes(packet[at : at + 2], "big")
        topic = packet[at + 2 : at + 2 + size]
        self.id = topic.rpartition(b"/")[2]
        at += 2 + size
        self.packet_id = packet[at : at + 2]
        at += 2
        if properties:
            length, at = _length(packet, at)
            at += length
        self._head, self.payload = packet[self._begin : at], packet[at:]

    def with_payload(self, payload: bytes) -> bytes:
        body = self._head + payload
        return bytes([self._flags]) + _encoded_length(len(body)) + body


def packets(end: socket.socket) -> Iterator[bytes]:
    """The control packets that come in, until the connection ends."""
    data = b""
    while more := end.recv(65536):
        data += more
        while (size := _size(data)) is not None and len(data) >= size:
            yield data[:size]
            data = data[size:]


def _size(data: bytes) -> int | None:
    """The size of the first packet; None while that is not known."""
    for at in range(1, min(len(data), 5)):
        if data[at] < 0x80:
            return at + 1 + _length(data, 1)[0]
    return None


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (§1.5.5), and where it ends."""
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _encoded_length(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def _end(end: socket.socket) -> None:
    """Close it under whoever reads from it."""
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
