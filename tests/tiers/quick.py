"""The quick tier: files of tests that start no process, open no pty, reach no other machine and do not wait.

A file is in it or out of it as a whole, by its text and by the texts that it reaches (``reach``): it is out where one
of them names a way to a process, a pty, a browser or a sleep, or has a line ``# not quick: REASON``, because a test of
it takes more than 1 s of CPU or because what it tests waits. In every run, a test of this tier fails that does one of
these on its own thread. Threads of the product may wait: that is what they are for.

``tests/conftest.py`` takes the hooks from here; ``pytest --tier quick`` collects this tier alone.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.tiers.reach import reach, text_of

LONGEST_SLEEP_S = 0.05
"""A sleep on a test's thread is shorter than this."""

_LONG_CPU_S = 1.0
"""A test that takes more CPU is named at the end of a run of this tier, so that its file gets the mark."""

_OUT = re.compile(
    r"^[ \t]*(?:import|from) (?:subprocess|pty|pexpect|playwright|axe_playwright_python|multiprocessing)\b"
    r"|\bos\.(?:fork|forkpty|openpty|system|posix_spawn|exec[lv])"
    r"|^# not quick: \w|\bcreate_subprocess_|\bsleep\((?!0\)|0\.0[0-4]\d*\))",
    re.MULTILINE,
)
_FORBIDDEN = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec", "pty.spawn"}
_ADDRESSED = {"socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"}
_LOOPBACK = ("127.", "::1", "localhost")


@cache
def is_quick(test_file: Path) -> bool:
    """Whether a test file is of this tier."""
    return not any(_OUT.search(text_of(path)) for path in reach(test_file))


class _Watch:
    """What the test that runs has done that its tier does not allow; ``None`` while no test of the tier runs."""

    def __init__(self) -> None:
        self.broken: list[str] | None = None
        self.slow: list[tuple[float, str]] = []
        self._thread = threading.main_thread().ident

    def note(self, what: str) -> None:
        if self.broken is not None and threading.get_ident() == self._thread:
            self.broken.append(f"{what} at {_place()}")

    def audited(self, event: str, args: tuple[Any, ...]) -> None:
        if self.broken is None:
            return
        if event in _FORBIDDEN:
            self.note(f"{event} {args[0] if args else ''}".rstrip())
        elif event in _ADDRESSED and isinstance(args[1], tuple) and not str(args[1][0]).startswith(_LOOPBACK):
            self.note(f"{event} {args[1]}")


_WATCH = _Watch()


def _place() -> str:
    """The innermost line of ours below this module."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if name != __file__ and not name.startswith("<") and ".venv" not in name and "/lib/python3" not in name:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _watch_everything() -> None:
    """Once a process: an audit hook stays until the process ends; what has no audit event is wrapped."""
    sleep, asleep, openpty = time.sleep, asyncio.sleep, os.openpty

    def watched_sleep(seconds: Any, /) -> None:
        if seconds >= LONGEST_SLEEP_S:
            _WATCH.note(f"time.sleep({seconds:g})")
        sleep(seconds)

    async def watched_asleep(delay: float, result: Any = None) -> Any:
        if delay >= LONGEST_SLEEP_S:
            _WATCH.note(f"asyncio.sleep({delay:g})")
        return await asleep(delay, result)

    def watched_openpty() -> tuple[int, int]:
        _WATCH.note("os.openpty")
        return openpty()

    time.sleep, asyncio.sleep, os.openpty = watched_sleep, watched_asleep, watched_openpty
    sys.addaudithook(_WATCH.audited)


_watch_everything()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=["quick", "all"], default="all", help="quick: no process, pty, browser or sleep")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.getoption("--tier") == "quick" and collection_path.suffix == ".py":
        return True if collection_path.name.startswith("test_") and not is_quick(collection_path) else None
    return None


def _watched(item: pytest.Item) -> Iterator[None]:
    if not is_quick(item.path):
        yield
        return
    _WATCH.broken = []
    try:
        yield
    finally:
        broken, _WATCH.broken = _WATCH.broken, None
    if broken:
        pytest.fail(
            "a test of the quick tier calls " + "; ".join(dict.fromkeys(broken)) + "\n"
            "Pass the clock in, or take the file out of the tier with a line `# not quick: REASON`",
            pytrace=False,
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    yield from _watched(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    before = time.thread_time()
    yield from _watched(item)
    if (taken := time.thread_time() - before) > _LONG_CPU_S and is_quick(item.path):
        item.user_properties.append(("cpu_s", round(taken, 1)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    if nextitem is None:  # what the whole run began, a PostgreSQL of other tests, ends with its last test
        yield
    else:
        yield from _watched(item)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests of the tier took long; a machine may be slow, so that fails nothing."""
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "cpu_s" and getattr(report, "when", "") == "teardown":
                    terminalreporter.write_line(f"takes {value} s of CPU, too much for the quick tier: {report.nodeid}")
