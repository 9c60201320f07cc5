"""A service manager's end of the notification socket, for tests: real datagrams, in order."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHIN_S = 60.0
"""How long a test waits for what must come; only a failing one waits so long."""


class Inbox:
    """What a process has reported, one message after the other."""

    def __init__(self, address: str) -> None:
        self.name = address.replace("\0", "@", 1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(WITHIN_S)

    def next(self) -> dict[str, str]:
        """The next message, waited for."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def until(self, field: str, value: str | None = None) -> dict[str, str]:
        """The next message that has this field, with this text in it."""
        while True:
            message = self.next()
            if field in message and (value is None or value in message[field]):
                return message

    def waiting(self) -> list[dict[str, str]]:
        """What has come and was not looked at yet."""
        found = []
        self._socket.setblocking(False)
        try:
            while True:
                found.append(self.next())
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(WITHIN_S)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def inbox(address: Path | str) -> Iterator[Inbox]:
    """A manager that listens at a path, or at an abstract name that begins with a NUL."""
    made = Inbox(str(address))
    try:
        yield made
    finally:
        made.close()
