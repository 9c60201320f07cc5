"""Control of a running simulator from another process: one JSON object a line, both ways, over its Unix socket.

It imports neither the plant nor a library: a command that uses it starts in the time of Python itself.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firmware_sim.errors import SimError

SOCKET = "meterseal-sim.sock"
"""Name of the socket in the simulator's folder, unless another path is given."""
MOST_BYTES = 256 * 1024
"""Of one line."""
WITHIN_S = 10.0
"""A simulator answers at once, unless it hangs."""


class ControlError(SimError):
    """A running simulator says no, or none answers."""


@contextmanager
def short(path: Path) -> Iterator[str]:
    """A path to the same file by way of its open folder: an address holds 107 bytes, a folder may be deeper (unix(7)).

    Raises ``OSError`` where the folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class Client:
    """A running simulator.

    Args:
        path: of its socket; the ready file has it as ``control``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def inject(
        self,
        target: str,
        kind: str,
        keys: Mapping[str, Any] | None = None,
        *,
        after: float | None = None,
        seconds: float | None = None,
        count: int | None = None,
        share: float | None = None,
    ) -> str:
        """Arm a fault; gives its id once the next request meets it.

        Args:
            target: a meter, or a bus for each meter of it.
            kind: as in a scenario.
            keys: those of the kind, and ``every`` and ``above``.
            after: seconds of the plant's time until it begins; None: at once.
            seconds: how long it lasts; None: until it is cleared.
            count: it strikes so many requests; None: any number.
            share: of the requests.

        Raises:
            ControlError: there is no such meter or fault, or no simulator runs.
        """
        order = {"do": "inject", "target": target, "kind": kind, "keys": dict(keys or {})}
        when = {"after": after, "for": seconds, "count": count, "share": share}
        given = {key: value for key, value in when.items() if value is not None}
        return str(self.ask({**order, **given})["id"])

    def clear(self, target: str) -> list[str]:
        """Take faults away: one by its id, those of a meter, of a bus with its meters, or "all"; gives their ids.

        Raises ``ControlError``.
        """
        return list(self.ask({"do": "clear", "target": target})["cleared"])

    def status(self) -> dict[str, Any]:
        """Buses and meters with the requests so far, and the faults (docs/simulator.md). Raises ``ControlError``."""
        return self.ask({"do": "status"})

    def is_served(self) -> bool:
        """Whether a simulator listens."""
        try:
            with short(self.path) as address, socket.socket(socket.AF_UNIX) as link:
                link.settimeout(WITHIN_S)
                link.connect(address)
        except OSError:
            return False
        return True

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request. Raises ``ControlError``."""
        try:
            with short(self.path) as address, socket.socket(socket.AF_UNIX) as link:
                link.settimeout(WITHIN_S)
                link.connect(address)
                link.sendall(json.dumps(request).encode() + b"\n")
                with link.makefile("rb") as lines:
                    answer: dict[str, Any] = json.loads(lines.readline(MOST_BYTES) or b"{}")
        except PermissionError:
            problem = f"{self.path}: belongs to a simulator of another user"
            raise ControlError(problem, "call it as that user") from None
        except TimeoutError:
            problem = f"{self.path}: no answer within {WITHIN_S:g} s"
            raise ControlError(problem, "look whether the simulator hangs") from None
        except (OSError, ValueError):
            problem = f"{self.path}: no simulator runs here"
            fix = "start it (meterseal-sim run), or give its folder as --dir or its socket as --control"
            raise ControlError(problem, fix) from None
        if not answer:
            raise ControlError(f"{self.path}: the simulator ended before it answered", "start it again")
        if "error" in answer:
            raise ControlError(answer["error"]["problem"], answer["error"]["fix"])
        return answer
