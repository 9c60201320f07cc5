"""A real Prometheus on a port of its own, and its promtool."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.processes import Server, free_port

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "configs" / "prometheus"
_HOME = os.environ.get("METERSEAL_PROMETHEUS", str(ROOT / ".prometheus/usr/bin"))


def binary(name: str) -> str:
    """Where ``prometheus`` or ``promtool`` is: as scripts/test puts it, or the machine's own."""
    found = shutil.which(name, path=f"{_HOME}:{os.environ['PATH']}")
    assert found, f"{name} is missing: scripts/test installs it"
    return found


def promtool(*arguments: object, given: bytes = b"") -> None:
    """Run promtool; fails with its words when it finds anything."""
    done = subprocess.run([binary("promtool"), *map(str, arguments)], input=given, capture_output=True, timeout=60)
    printed = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, printed


class Prometheus(Server):
    """It scrapes and judges as its configuration says."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [binary("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.wal-segment-size=10MB"]
        super().__init__("prometheus", command, "Server is ready", folder / "prometheus.log")
        self._session = requests.Session()
        self._session.trust_env = False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        answer = self._session.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10).json()
        assert answer["status"] == "success", f"{expression}: {answer}"
        return list(answer["data"]["result"])

    def firing(self) -> list[dict[str, str]]:
        """The labels of every alert that fires."""
        answer = self._session.get(f"{self.url}/api/v1/alerts", timeout=10).json()
        return [dict(alert["labels"]) for alert in answer["data"]["alerts"] if alert["state"] == "firing"]


@contextmanager
def prometheus(folder: Path, config: Path) -> Iterator[Prometheus]:
    """A running Prometheus."""
    running = Prometheus(folder, config)
    try:
        running.start()
        yield running
    finally:
        running.close()
