"""A Debian machine of one's own: a root that systemd-nspawn boots, with its own systemd, and nothing of this one's.

It has no network but loopback. What runs on it is started by its own systemd; commands go in by nsenter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.deb import roots

BOOT_WITHIN_S = 120.0
CLOCK_CALLS = "adjtimex clock_adjtime clock_adjtime64"  # nspawn's own filter takes them away


class Failed(Exception):
    """A command on the machine, with its output."""


class Machine:
    """The machine in ``root``."""

    def __init__(self, folder: Path) -> None:
        self.root, self._log = folder / "root", folder / "console.log"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def boot(self) -> None:
        """Unpack it and start it; returns when its systemd has started everything."""
        roots.unpack(roots.base(), self.root)
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network"]
        command += [f"--system-call-filter={CLOCK_CALLS}", f"--directory={self.root}", f"--machine=bench-{os.getpid()}"]
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._leader = until("the machine's first process", self._find_leader)
        until("the machine's systemd", self._is_up)

    def _find_leader(self) -> int:
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise Failed(f"systemd-nspawn has ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        named = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd"]
        return named[0] if named else 0

    def _is_up(self) -> bool:
        done = self._enter(["systemctl", "is-system-running"])
        return done.stdout.strip() in ("running", "degraded")

    def _enter(self, command: Sequence[str], text: str | None = None) -> subprocess.CompletedProcess[str]:
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"]
        nsenter = ["nsenter", f"--target={self._leader}", *spaces]
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        env |= {"HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}
        if text is None:
            return subprocess.run(
                [*nsenter, *command], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
        return subprocess.run([*nsenter, *command], env=env, input=text, capture_output=True, text=True)

    def ask(self, *command: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command there, whatever comes of it; ``text`` is its standard input."""
        return self._enter([str(word) for word in command], text)

    def run(self, *command: object) -> str:
        """Run a command there that must succeed; what it says. Raises Failed."""
        done = self.ask(*command)
        if done.returncode != 0:
            words = " ".join(map(str, command))
            raise Failed(f"{words}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        properties = self.run("systemctl", "show", unit, f"--property={','.join(names)}")
        return dict(line.split("=", 1) for line in properties.splitlines())

    def path(self, inside: str) -> Path:
        """A file of the machine as it is seen from here."""
        return self.root / inside.lstrip("/")

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """A file of the machine."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def close(self) -> None:
        """Switch it off."""
        nspawn, self._nspawn = self._nspawn, None
        if nspawn is None:
            return
        if nspawn.poll() is None and self._leader:
            self._enter(["systemctl", "poweroff", "--no-block"])
            try:
                nspawn.wait(30)
            except subprocess.TimeoutExpired:
                nspawn.terminate()  # its machine is killed with it
        try:
            nspawn.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(nspawn.pid, signal.SIGKILL)
            nspawn.wait()


@contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    """A booted machine, which is switched off at the end."""
    made = Machine(folder)
    try:
        made.boot()
        yield made
    finally:
        made.close()


def until(what: str, found: Callable[[], Any], within_s: float = BOOT_WITHIN_S) -> Any:
    """Wait until ``found`` gives something true, and return it. Raises Failed."""
    deadline = time.monotonic() + within_s
    while True:
        if answer := found():
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"waited {within_s:g} s for {what}")
        time.sleep(0.2)
