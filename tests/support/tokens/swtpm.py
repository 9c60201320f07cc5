"""A TPM 2.0 in software (swtpm) under libtpm2-pkcs11: P-256, no Ed25519. A process that can be stopped and killed.

It has no resource manager, so one process at a time speaks to it. Killed without a shutdown it counts as after a wrong
PIN (TPM 2.0 part 1 §19.8); ``swtpm`` has the count end at a number that no test reaches.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import START_TIMEOUT_S, Server, free_port
from tests.support.tokens.engine import PIN, SO_PIN, Engine, reachable


class Tpm(Server):
    """The process: ``suspend`` and ``resume``, ``kill`` and ``start`` (a power cycle)."""

    def __init__(self, folder: Path) -> None:
        self.port = two_free_ports()
        state = folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"]
        command += ["--server", f"type=tcp,port={self.port},bindaddr=127.0.0.1"]
        command += ["--ctrl", f"type=tcp,port={self.port + 1},bindaddr=127.0.0.1"]
        super().__init__("swtpm", command, "", folder / "swtpm.log")

    def wait_for(self, text: str) -> str:
        """It says nothing: its control channel takes a connection when it is ready."""
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port + 1), timeout=1).close()
                return text
            except OSError:
                assert time.monotonic() < end, f"swtpm did not start\n{self.log.read_text()}"
                time.sleep(0.01)


class SwTpm(Engine):
    """The token, and its process as ``tpm``."""

    tpm: Tpm


@contextmanager
def swtpm(folder: Path, label: str = "site") -> Iterator[SwTpm]:
    """A new token in a new TPM, reachable for this process while the block lasts."""
    found = sorted(Path("/usr/lib").glob("*/pkcs11/libtpm2_pkcs11.so.1"))
    assert found, "libtpm2_pkcs11.so.1 is missing: apt-get install libtpm2-pkcs11-1"
    tpm = Tpm(folder)
    (folder / "store").mkdir()
    env = {
        "TPM2_PKCS11_STORE": str(folder / "store"),
        "TPM2_PKCS11_TCTI": f"swtpm:host=127.0.0.1,port={tpm.port}",
        "TPM2TOOLS_TCTI": f"swtpm:host=127.0.0.1,port={tpm.port}",
        "TPM2_PKCS11_LOG_LEVEL": "0",
        "TSS2_LOG": "all+NONE",
    }
    made = SwTpm(folder, found[0], label, env)
    object.__setattr__(made, "tpm", tpm)
    made.write_pin(PIN)
    tpm.start()
    try:
        with reachable(env):
            tool = ["pkcs11-tool", "--module", str(made.module), "--so-pin", SO_PIN]
            for command in (
                ["tpm2_dictionarylockout", "--setup-parameters", "-n", "4000000", "-t", "1", "-l", "1"],
                [*tool, "--init-token", "--slot-index", "0", "--label", label],
                [*tool, "--init-pin", "--token-label", label, "--pin", PIN],
            ):
                subprocess.run(command, check=True, capture_output=True, env={**os.environ, **env})
            yield made
    finally:
        tpm.close()


def two_free_ports() -> int:
    """The first of two that follow one another."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
