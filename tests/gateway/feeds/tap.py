"""A wire between a feed and its broker: what the feed sends is kept, and the wire can be cut or clogged."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.contract.faults import Faults
from tests.contract.wire import Wire, packets

CONNECT, PUBLISH, DISCONNECT = 1, 3, 14


class Tap(Wire):
    """``sent``: every packet that a client has sent, by connection, in order. ``forbidden``: over a packet of this type
    that has these bytes the connection ends, as some brokers end it."""

    def __init__(self, port: int) -> None:
        self.sent: list[list[bytes]] = []
        self.clear = threading.Event()
        self.clear.set()
        self.forbidden: tuple[int, bytes] | None = None
        super().__init__(port, Faults())
        self.url = f"mqtt://127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        sent: list[bytes] = []
        self.sent.append(sent)
        with self._connect() as broker:
            threading.Thread(target=self._answers, args=(client, broker), name="tap", daemon=True).start()
            for packet in packets(client):
                sent.append(packet)
                if self.forbidden is not None and packet[0] >> 4 == self.forbidden[0] and self.forbidden[1] in packet:
                    return
                self.clear.wait()
                broker.sendall(packet)

    def _answers(self, client: socket.socket, broker: socket.socket) -> None:
        with suppress(OSError):
            while data := broker.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break every connection, as a cable does; new ones may come."""
        with self._lock:
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@contextmanager
def tap(port: int) -> Iterator[Tap]:
    """In front of the broker at this port."""
    wire = Tap(port)
    try:
        yield wire
    finally:
        wire.clear.set()
        wire.close()
