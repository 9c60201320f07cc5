"""Waiting for a simulator to be ready."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

PATIENCE_S = 60.0


def until_ready(ready: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait for its ready file."""
    end = time.monotonic() + PATIENCE_S
    while not ready.exists():
        assert process.poll() is None, "the simulator ended"
        assert time.monotonic() < end, "the simulator is not ready"
        time.sleep(0.05)
