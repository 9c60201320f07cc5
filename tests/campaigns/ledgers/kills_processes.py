"""Processes to be killed at once: the shipped commands and the served ledger, begun from a process that has loaded
all of them, so that a kill within some milliseconds meets what they do and not their imports.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0
_LOADED = [
    "tests.campaigns.ledgers.kills_processes", "ledger_client.cli", "ledger_client.transparency.server.main",
    "ledger_client.transparency.ledger.enroll", "ledger_client.transparency.ledger.revoke",
    "ledger_client.transparency.log.postgresql",
]  # fmt: skip
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(_LOADED)


class Killable:
    """One process: it has begun when this returns; ``kill`` ends it as a power cut does."""

    def __init__(self, act: Callable[..., None], *arguments: Any) -> None:
        here, there = _processes.Pipe()
        self._channel: Connection = here
        self._process: BaseProcess = _processes.Process(target=act, args=(there, *arguments))
        self._process.start()
        there.close()
        assert self._next() == "begun"

    def _next(self) -> str:
        assert self._channel.poll(PATIENCE_S), "a process says nothing"
        return str(self._channel.recv())

    def ready(self) -> str:
        """What it says next: where it listens."""
        return self._next()

    def kill(self) -> None:
        """SIGKILL, whatever it does; it is gone when this returns."""
        self._process.kill()
        self._process.join(PATIENCE_S)

    def end(self) -> int:
        """Wait for its own end; its exit code."""
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, "a command does not end"
        return self._process.exitcode


def command(channel: Connection, words: tuple[str, ...], log: Path) -> None:
    """``meterseal-ledger WORDS``, its output at the end of ``log``."""
    from ledger_client.cli import app

    _output(log)
    sys.argv = ["meterseal-ledger", *words]
    channel.send("begun")
    app.main()


def ledger(channel: Connection, folder: Path, log: Path) -> None:
    """``meterseal-ledger serve`` at any free port; says its address."""
    from ledger_client.transparency.server.endpoints import Doors
    from ledger_client.transparency.server.main import Serving, serve

    _output(log)
    channel.send("begun")
    serve(folder, Doors("127.0.0.1:0"), Serving(rate=0, gateway_rate=0), lambda line: channel.send(line.split()[-1]))


def _output(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)
