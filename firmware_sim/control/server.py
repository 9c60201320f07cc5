"""Control socket of a running simulator: it listens, and hands each line to whoever answers it.

The file is the user's alone. One that a killed simulator left is taken over; one that is answered is not.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import stat
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from firmware_sim.control.client import MOST_BYTES, short
from firmware_sim.errors import WireError

Answers = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A request as an object → its answer."""
_FIX = "stop that process, or set another path with --control"


class ControlServer:
    """One socket; ``take``, ``open`` and ``close`` belong to one event loop.

    Args:
        path: of the socket.
        answers: answers a request.
    """

    def __init__(self, path: Path, answers: Answers) -> None:
        self.path, self._answers = path, answers
        self._writers: set[asyncio.StreamWriter] = set()
        self._file = (0, 0)
        self._listener: socket.socket
        self._server: asyncio.Server | None = None

    def take(self) -> None:
        """Take the path; who connects from now on waits for ``open``. Raises ``WireError`` when it is taken or cannot
        be."""
        try:
            self._listener = self._bound()
        except OSError as error:
            problem = f"{self.path}: {error.strerror or error}"
            raise WireError(problem, "set --control to a short name in a folder that you can write to") from None

    async def open(self) -> None:
        """Begin to answer, once the path is taken."""
        self._server = await asyncio.start_unix_server(self._serve, sock=self._listener, limit=MOST_BYTES)

    def close(self) -> None:
        """Stop, and take the file away if it is still this one."""
        if self._server is not None:
            self._server.close()
        self._listener.close()
        for writer in self._writers:
            writer.transport.abort()
        with suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._file:
                self.path.unlink()

    def _bound(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # two that start at once do not take each other's file away
            self._refuse_taken()
            os.fchmod(listener.fileno(), 0o600)  # bind gives the file these rights; there is no moment with others
            with short(self.path) as address:
                listener.bind(address)
            listener.listen()
            listener.setblocking(False)
            made = self.path.lstat()
            self._file = made.st_dev, made.st_ino
        except BaseException:
            listener.close()
            raise
        finally:
            os.close(folder)
        return listener

    def _refuse_taken(self) -> None:
        """``WireError`` unless the path is free or the socket of a dead simulator, which is taken away."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise WireError(f"{self.path}: already exists and is no socket", "move it away, or set another --control")
        with short(self.path) as address, socket.socket(socket.AF_UNIX) as there:
            there.settimeout(1)
            try:
                there.connect(address)
            except ConnectionRefusedError:
                self.path.unlink()
                return
            except OSError as error:
                raise WireError(f"{self.path}: is in use ({error.strerror or error})", _FIX) from None
            credentials = there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            pid, _, _ = struct.unpack("3i", credentials)
        raise WireError(f"{self.path}: a simulator already listens here (process {pid})", _FIX)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(OSError):
                while (answer := await self._answer(reader)) is not None:
                    writer.write(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
                    await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Mapping[str, Any] | None:
        """The answer to the next line; None: there is none."""
        try:
            line = await reader.readline()
        except ValueError:  # and what it is part of is not known any more
            return None
        if not line.endswith(b"\n"):
            return None
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            return refusal("the line is no JSON object", 'send {"do": "inject"}, "clear" or "status" with their keys')
        return self._answers(request)


def refusal(problem: str, fix: str) -> dict[str, Any]:
    """The answer that says no."""
    return {"error": {"problem": problem, "fix": fix}}
