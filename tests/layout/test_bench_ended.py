"""A benchmark that is ended by a signal leaves none of the processes that it started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0


def below(pid: int) -> Iterator[int]:
    """The processes that one has started, and theirs."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            yield child
            yield from below(child)


def lives(pid: int) -> bool:
    """Whether it runs, and is not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def says(pid: int, text: str) -> bool:
    try:
        return text.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("part", "started"), [("statement", "gateway.cli"), ("rows", "benchmarks.carbon")])
def test_what_it_started_ends_with_it(part: str, started: str, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks", "accounting", "--only", part, "--meters", "2", "--hours", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as bench:
        deadline = time.monotonic() + PATIENCE_S
        while not any(says(pid, started) for pid in below(bench.pid)):
            assert bench.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = list(below(bench.pid))
        bench.send_signal(number)
        assert bench.stderr is not None
        assert bench.stderr.read() == ""
        assert bench.wait(PATIENCE_S) == 128 + number
    assert [pid for pid in children if lives(pid)] == []
