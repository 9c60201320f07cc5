"""Real processes for tests: mosquitto, an embedded ledger, an EVM node, on 127.0.0.1, on ports of their own.

All keep their port over ``stop`` and ``start``, and all are ended by the ``with`` that began them.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import IO

START_TIMEOUT_S = 30.0
UNLIMITED = ("--rate", "0", "--gateway-rate", "0")
MOSQUITTO = Path("/usr/sbin/mosquitto")


def free_port() -> int:
    """A free TCP port below the range from which the kernel gives ports to clients, so that a restart finds it free."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


RUNNING: set[Server] = set()
"""Every server of this test process that is not ended."""


class Server:
    """A child process that says when it is ready; its whole output stays in ``output``."""

    def __init__(self, name: str, command: list[str], ready: str, log: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.command = command
        self.ready = ready
        self.log = log
        self.env = env
        self.patience_s = START_TIMEOUT_S
        self.process: subprocess.Popen[str] | None = None
        self._lines: Queue[str | None] = Queue()

    def start(self) -> str:
        """Start it and wait until it says ``ready``; returns that line."""
        assert self.process is None, f"{self.name} runs already"
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env, errors="replace"
        )
        RUNNING.add(self)
        assert self.process.stdout is not None
        self._lines = Queue()
        threading.Thread(target=_drain, args=(self.process.stdout, self.log, self._lines), daemon=True).start()
        return self.wait_for(self.ready)

    def wait_for(self, text: str) -> str:
        """The next line that holds this text."""
        while True:
            try:
                line = self._lines.get(timeout=self.patience_s)
            except Empty:
                line = None
            if line is None:
                self.close()
                log = self.log.read_text()
                raise AssertionError(f"{self.name} did not start, or say {text!r}: {self.command}\n{log}")
            if text in line:
                return line

    def stop(self) -> int:
        """End it as an operator does (SIGTERM); returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut does (SIGKILL), suspended or not."""
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """Hang it: its connections stay up and nothing moves (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process is not None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, f"{self.name} does not run"
        self.process.send_signal(number)

    def _end(self, number: signal.Signals) -> int:
        self._signal(number)
        assert self.process is not None
        process, self.process = self.process, None
        RUNNING.discard(self)
        try:
            return process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.name} did not end within {START_TIMEOUT_S} s of {number.name}") from None


def _drain(stream: IO[str], log: Path, lines: Queue[str | None]) -> None:
    with stream, log.open("a") as file:
        for line in stream:
            file.write(line)
            file.flush()
            lines.put(line)
    lines.put(None)


class BrokerServer(Server):
    """A broker of whatever make, which clients reach at ``url``."""

    url = ""


class Mosquitto(BrokerServer):
    """A broker at ``url`` that keeps nothing on disk: after ``kill`` it has forgotten every session and message."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        assert MOSQUITTO.exists(), f"{MOSQUITTO} is missing: apt-get install mosquitto"
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / f"mosquitto-{self.port}.conf"
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(
            "per_listener_settings true\n"
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
            f"log_dest stderr\n{user}{extra}"
        )
        super().__init__("mosquitto", [str(MOSQUITTO), "-c", str(config)], " running", config.with_suffix(".log"))

    def start(self) -> str:
        """Start it and wait until it answers: a signal that comes between its "running" and its loop is lost."""
        line = super().start()
        with socket.create_connection(("127.0.0.1", self.port), timeout=START_TIMEOUT_S) as connection:
            connection.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01-")  # CONNECT, MQTT 3.1.1 §3.1
            assert connection.recv(4) == b"\x20\x02\x00\x00"  # CONNACK
            connection.sendall(b"\xe0\x00")  # DISCONNECT
        return line

    def reload(self) -> None:
        """Have it read its rights and logins again (SIGHUP)."""
        self._signal(signal.SIGHUP)


class EmbeddedLedger(Server):
    """``meterseal-ledger serve`` over a folder, at ``url``; ``options`` are more of its command line."""

    def __init__(
        self, folder: Path, name: str, mqtt: str | None, env: dict[str, str] | None, options: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"{'https' if '--cert' in options else 'http'}://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "ledger_client.cli", "serve", str(folder), "--name", name]
        command += ["--listen", f"127.0.0.1:{self.port}"] + (["--mqtt", mqtt] if mqtt else [])
        command += [*UNLIMITED, *options]
        folder.parent.mkdir(parents=True, exist_ok=True)
        log = folder.with_name(folder.name + ".log")
        super().__init__(name, command, f"ledger {name} listens on {self.url}", log, env)


class Anvil(Server):
    """An EVM node at ``url`` that mines each transaction as it comes, with rich accounts that it signs for itself.

    It forgets everything at ``kill``; at ``stop`` it writes its state to ``state`` and reads it at ``start``.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        home = Path(__file__).parents[2] / ".anvil/node_modules/@foundry-rs" / f"anvil-linux-{machine}" / "bin/anvil"
        binary = Path(os.environ.get("METERSEAL_ANVIL", home))
        assert binary.exists(), f"{binary} is missing: scripts/test installs it"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = folder / f"anvil-{self.port}.json"
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(binary), "--host", "127.0.0.1", "--port", str(self.port), "--threads", "1", *options]
        command += ["--state", str(self.state)]
        super().__init__("anvil", command, f"Listening on 127.0.0.1:{self.port}", self.state.with_suffix(".log"))


@contextmanager
def anvil(folder: Path, *options: str) -> Iterator[Anvil]:
    """A running EVM node."""
    node = Anvil(folder, *options)
    try:
        node.start()
        yield node
    finally:
        node.close()


@contextmanager
def mosquitto(folder: Path, extra: str = "") -> Iterator[Mosquitto]:
    """A running broker; ``extra`` is more configuration."""
    broker = Mosquitto(folder, extra)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@contextmanager
def embedded_ledger(
    folder: Path,
    name: str,
    mqtt: str | None = None,
    env: dict[str, str] | None = None,
    options: Sequence[str] = (),
) -> Iterator[EmbeddedLedger]:
    """A running embedded ledger; ``mqtt`` is the address of its broker, ``env`` replaces its environment.

    It takes as many requests as come, unless ``options`` say otherwise.
    """
    ledger = EmbeddedLedger(folder, name, mqtt, env, options)
    try:
        ledger.start()
        yield ledger
    finally:
        ledger.close()
