"""State file of a plant: what it takes to go on after its simulator has ended or was killed.

One line of JSON, and one with the SHA-256 of the first. It is replaced as a whole, and is on the disk when a write is
done; one simulator at a time has it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim.errors import StateError

FORMAT = 1
ANEW = "remove it to begin the plant anew, from its start"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a state file holds.

    Attributes:
        scenario: SHA-256 of the scenario, its seed included.
        speed: of the plant's time.
        began_ms: the plant's start by the wall clock, Unix time in ms.
        steps: the plant's steps as JSON has them, one of every ten minutes, the last one at the end.
        faults: those in force, and what they have done.
        injected: how many faults were injected so far; the next one has a higher number.
    """

    scenario: str
    speed: float
    began_ms: int
    steps: tuple[Any, ...]
    faults: list[dict[str, Any]]
    injected: int


class StateFile:
    """The file at ``path``, from ``take`` to ``release``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None
        self._turn = threading.Lock()
        """One write at a time: the last one, at the end, may find another one on its way."""

    def take(self) -> Kept | None:
        """Keep other simulators from the file, and read it; None: there is none yet.

        Raises:
            StateError: it cannot be read, is damaged, or another simulator has it.
        """
        lock = self.path.with_name(f".{self.path.name}.lock")
        try:
            self._lock = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise StateError(f"{self.path}: another simulator has this state", "end it, or use another file") from None
        except OSError as error:
            raise self._unusable(error) from None
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None
        return _read(self.path, text)

    def release(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def write(self, line: str) -> None:
        """Replace what is in the file. Raises ``StateError``; what was there stands then."""
        data = line.encode()
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            with self._turn:
                with fresh.open("wb") as file:
                    file.write(b"%s\n%s\n" % (data, hashlib.sha256(data).hexdigest().encode()))
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(self.path)
                folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> StateError:
        return StateError(
            f"{self.path}: {error.strerror}", "set --state to a file in an existing folder that you can write to"
        )


def written(scenario: str, speed: float, began_ms: int, steps: str, faults: str, injected: int) -> str:
    """The line of a state; ``steps`` and ``faults`` are lists in JSON."""
    head = json.dumps({"format": FORMAT, "scenario": scenario, "speed": speed, "began_ms": began_ms})
    return f'{head[:-1]}, "injected": {injected}, "faults": {faults}, "steps": {steps}}}'


def _read(path: Path, text: bytes) -> Kept:
    line, end, rest = text.partition(b"\n")
    if not end or rest != hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise StateError(f"{path}: the file is cut or damaged", f"take it from a copy, or {ANEW}")
    try:
        table = json.loads(line)
        if table["format"] != FORMAT:
            raise StateError(f"{path}: this is format {table['format']}, and not {FORMAT}", ANEW)
        return Kept(
            str(table["scenario"]),
            float(table["speed"]),
            int(table["began_ms"]),
            tuple(table["steps"]),
            list(table["faults"]),
            int(table["injected"]),
        )
    except (ValueError, KeyError, TypeError):
        raise StateError(f"{path}: this is no state of a plant", f"set --state to another file, or {ANEW}") from None
