"""A witness as a process, and one in its folder without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ledger_client.formats.notes import Vkey
from tests.support.processes import Server, free_port


class WitnessServer(Server):
    """``meterseal-ledger witness`` over a folder, at ``url``, following ``logs`` (origin → key)."""

    def __init__(self, folder: Path, logs: Mapping[str, Vkey], options: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "ledger_client.cli", "witness", str(folder)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--rate", "0", *options]
        command += [part for origin, vkey in logs.items() for part in ("--log", f"{origin}={vkey.text}")]
        super().__init__("witness", command, "listens on", folder.with_name(folder.name + ".log"))

    @property
    def vkey(self) -> Vkey:
        return Vkey.parse((self.folder / "witness.vkey").read_text().strip())

    @property
    def option(self) -> list[str]:
        """How a ledger is given it."""
        return ["--witness", f"{self.url}={self.vkey.text}"]


@contextmanager
def witness_server(folder: Path, logs: Mapping[str, Vkey], options: Sequence[str] = ()) -> Iterator[WitnessServer]:
    """A running witness."""
    server = WitnessServer(folder, logs, options)
    try:
        server.start()
        yield server
    finally:
        server.close()
