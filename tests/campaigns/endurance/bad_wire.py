"""A wire to a real ledger that breaks in both ways: before the request has reached it, and after it was done.

A TCP proxy on 127.0.0.1 that takes HTTP requests one by one (a head, and a body of Content-Length) and, by chance, ends
the connection instead of handing on the request ("lost") or instead of handing back the answer ("kept").
"""

from __future__ import annotations

import random
import socket
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

CAP = 1 << 24


class BadWire(socketserver.ThreadingTCPServer):
    """``share``: how many of the requests break, half of them in each way; 0 is a good wire."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, ledger_port: int, share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.ledger_port, self.share = ledger_port, share
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.broken: Counter[str] = Counter()
        self._chance, self._lock = random.Random(seed), threading.Lock()

    def fate(self) -> str:
        """What becomes of the next request: ``lost``, ``kept``, or ``fine``."""
        with self._lock:
            drawn = self._chance.random()
            fate = "lost" if drawn < self.share / 2 else "kept" if drawn < self.share else "fine"
            self.broken[fate] += 1
            return fate

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that either side dropped is what this is for."""


class _Connection(socketserver.BaseRequestHandler):
    server: BadWire

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with (
            socket.create_connection(("127.0.0.1", self.server.ledger_port), timeout=30) as ledger,
            self.request.makefile("rb") as asked,
            ledger.makefile("rb") as from_ledger,
        ):
            ledger.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while question := _message(asked):
                fate = self.server.fate()
                if fate == "lost":
                    return
                ledger.sendall(question)
                answer = _message(from_ledger)
                if fate == "kept":
                    return
                self.request.sendall(answer)


def _message(stream: BinaryIO) -> bytes:
    """One HTTP message as it came; empty at the end of the stream."""
    lines, length = [], 0
    while line := stream.readline(65536):
        lines.append(line)
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = min(int(value), CAP)
        if line == b"\r\n":
            return b"".join(lines) + stream.read(length)
    return b""


@contextmanager
def bad_wire(ledger_port: int, share: float, seed: int) -> Iterator[BadWire]:
    """A wire for the time of a ``with``; it serves from a thread of its own."""
    with BadWire(ledger_port, share, seed) as wire:
        thread = threading.Thread(target=wire.serve_forever, args=(0.05,), name="bad wire", daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            wire.shutdown()
            thread.join()
