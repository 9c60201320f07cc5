"""Parts of a demonstration as child processes: where they keep what, how they are started, waited for and ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.device_keys import REQUEST_FILE
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.durable_files import write_text

START_WITHIN_S, STOP_WITHIN_S = 30.0, 15.0
LEDGER_NAME = "demo-ledger"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demonstration keeps what."""

    folder: Path

    @classmethod
    def begin(cls, folder: Path) -> Place:
        """A place in a folder that is empty or not there yet. Raises GatewayError."""
        if folder.exists() and any(folder.iterdir()):
            raise GatewayError(Message("demo-folder-not-empty", folder=str(folder)))
        place = cls(folder.resolve())
        place.logs.mkdir(parents=True, exist_ok=True)
        return place

    @property
    def answers(self) -> Path:
        return self.folder / "answers.jsonl"

    @property
    def ready(self) -> Path:
        return self.folder / "plant.json"

    @property
    def site(self) -> Path:
        return self.folder / "gateway"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def clock(self) -> Path:
        """The clock of the ledger; while it is not there, the ledger has the time that it is."""
        return self.folder / "ledger-clock"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def set_clock(self, now_ms: int | None) -> None:
        """Have the ledger's clock stand there; None: it goes with the time from now on."""
        if now_ms is None:
            self.clock.unlink()
        else:
            write_text(self.clock, str(-(-now_ms // 1000)))


def end_with_parts() -> None:
    """On SIGTERM, too, everything is ended in order, as on Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))


def start(children: ExitStack, place: Place, name: str, module: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start one part with its output in a log file; ended at the latest when ``children`` closes."""
    log = children.enter_context((place.logs / f"{name}.log").open("wb"))
    command = [sys.executable, "-m", module, *map(str, arguments)]
    # A session of its own: Ctrl-C reaches this process only, which then ends its parts in the right order.
    process = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    )
    children.callback(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End one part in order, or by force."""
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(what: str, place: Place, name: str, process: subprocess.Popen[bytes], found: Any) -> Any:
    """What ``found`` finds, as soon as it is something. Raises GatewayError with the end of the log where the part has
    ended before that, or it takes too long."""
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        if process.poll() is not None:
            break
        time.sleep(0.05)
    tail = (place.logs / f"{name}.log").read_text(errors="replace")[-2000:].strip()
    raise GatewayError(Message("demo-not-started", part=what, log=tail, logs=str(place.logs)))


def ledger_command(*arguments: object) -> str:
    """What a command of the ledger prints. Raises GatewayError where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "ledger_client.cli", *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode != 0:
        why = done.stderr.strip() or done.stdout.strip()[-2000:]
        raise GatewayError(Message("demo-ledger-command", command=str(arguments[0]), why=why))
    return done.stdout


def start_ledger(children: ExitStack, place: Place) -> tuple[subprocess.Popen[bytes], str]:
    """A ledger of its own, and the address at which it listens. Its clock is that of the place."""
    serves = ("--listen", "127.0.0.1:0", "--name", LEDGER_NAME, "--demo-clock", place.clock)
    ledger = start(children, place, "ledger", "ledger_client.cli", "serve", place.ledger, *serves)
    log = place.logs / "ledger.log"

    def address() -> str | None:
        return next((word for word in log.read_text().split() if word.startswith("http://127.0.0.1:")), None)

    return ledger, str(wait_for("ledger", place, "ledger", ledger, address))


def enrol(config: Config, place: Place) -> None:
    """What an installer does once the ledger is there: enrol the keys, paste the ledger's key into the trust file."""
    ledger_command("enroll", place.ledger, config.keys / REQUEST_FILE, "--yes")
    with config.trust.open("a") as trust:
        trust.write("\n" + ledger_command("show", place.ledger, "--trust"))
