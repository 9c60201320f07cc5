"""Service manager notification (sd_notify(3)): one datagram a message; nothing is sent without a manager.

The socket's name comes in ``NOTIFY_SOCKET``: a path, or with a leading @ an abstract name (unix(7)). A message that
cannot be sent is lost and never an error: the gateway's work does not depend on who watches it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

LONGEST_STATUS = 200  # characters
PATIENCE_STEPS = 6  # so many messages may be lost


class Manager:
    """Connection to the service manager, if there is one. Any thread may send."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self.watchdog_s = _watchdog_s(environment)
        """Seconds within which it expects ``alive``; None: no watchdog."""

    @property
    def listens(self) -> bool:
        """Whether there is a manager."""
        return bool(self._address)

    def send(self, **fields: object) -> None:
        """One message of NAME=value lines, named as in sd_notify(3)."""
        if not self._address:
            return
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
                link.setblocking(False)
                link.sendto(text.encode(), self._address)
        except OSError:
            pass

    def ready(self, status: str) -> None:
        """End of the start: units that depend on the gateway may start."""
        self.send(READY=1, STATUS=_line(status))

    def status(self, text: str) -> None:
        """Status line, shown by `systemctl status`."""
        self.send(STATUS=_line(text))

    def stopping(self, status: str) -> None:
        """Begin of the stop."""
        self.send(STOPPING=1, STATUS=_line(status))

    def alive(self) -> None:
        """Notification of the watchdog."""
        self.send(WATCHDOG=1)

    @contextmanager
    def patient(self, status: str, *, within_s: float, step_s: float = 30.0) -> Iterator[None]:
        """Extension of the start and of the watchdog while a long step runs, from a thread of its own.

        Args:
            status: the status line meanwhile.
            within_s: seconds after which it is no longer extended, so that the manager ends a start that hangs.
            step_s: seconds between two extensions.
        """
        over = threading.Event()
        fields: dict[str, object] = {"STATUS": _line(status)}
        if self.watchdog_s is not None:
            fields["WATCHDOG"], step_s = 1, min(step_s, self.watchdog_s / 3)

        def ask() -> None:
            left_s = within_s
            while left_s > 0 and not over.is_set():
                self.send(EXTEND_TIMEOUT_USEC=int(PATIENCE_STEPS * step_s * 1_000_000), **fields)
                left_s -= step_s
                over.wait(step_s)

        asking = threading.Thread(target=ask, name="patience", daemon=True)
        if self.listens:
            asking.start()
        try:
            yield
        finally:
            over.set()
            if self.listens:
                asking.join()


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_STATUS]


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """WATCHDOG_USEC, if it is meant for this process (sd_watchdog_enabled(3))."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1_000_000 if text.isdecimal() and int(text) > 0 else None
