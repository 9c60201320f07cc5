"""Home Assistant as a child of a test: what it has made of a broker's messages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


class HomeAssistant:
    """Its process (hass.py), connected to a broker."""

    def __init__(self, folder: Path, port: int) -> None:
        home = ROOT / ".venv-home-assistant" / "bin" / "python"
        python = Path(os.environ.get("METERSEAL_HOME_ASSISTANT_PYTHON", home))
        assert python.exists(), f"{python} is missing: scripts/test installs it"
        folder.mkdir()
        (folder / "configuration.yaml").touch()
        command = [str(python), str(Path(__file__).with_name("hass.py")), str(folder), str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready"

    def entities(self) -> dict[str, dict[str, Any]]:
        """By unique id: its entity id, and its state and attributes."""
        found: dict[str, dict[str, Any]] = self._ask("entities")
        return found

    def states(self) -> dict[str, str]:
        """By unique id: the state of each entity that has one."""
        return {name: entity["now"]["state"] for name, entity in self.entities().items() if entity["now"]}

    def log(self) -> list[str]:
        """Its warnings and errors so far."""
        found: list[str] = self._ask("log")
        return found

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def _ask(self, what: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "Home Assistant has ended"
        return line


@contextmanager
def home_assistant(folder: Path, port: int) -> Iterator[HomeAssistant]:
    """One that listens at the broker of this port."""
    started = HomeAssistant(folder, port)
    try:
        yield started
    finally:
        started.close()
