"""The doctor on lines of a running gateway: by how their polls ended, and by who has a port open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.config.model import Config
from gateway.doctor import ports
from gateway.doctor.check import CheckContext, Finding
from gateway.process import control_server
from gateway.process.threads import in_thread
from gateway.runtime.recent_polls import EVERY_S, RecentPolls
from tests.gateway.dashboard.test_under_way import Changing, at_a_desk
from tests.support.samples import START_S, rewritten, site

LINE = "inverters"


def found(loaded: Config, polls: Mapping[str, int], pid: int) -> Finding:
    """What the doctor says of the line beside a gateway that answers so."""

    async def lines(_: Mapping[str, Any]) -> dict[str, Any]:
        return {LINE: {"seconds": 60.2, "polls": polls}}

    async def work() -> list[Finding]:
        server = await control_server.serve(loaded.data, {"lines": lines})
        case = CheckContext.of(loaded, START_S * 1000, pid=pid)
        try:
            return await in_thread(lambda: list(ports.ports(case)), "doctor")
        finally:
            server.close()

    loaded.data.mkdir(exist_ok=True)
    return next(one for one in asyncio.run(work()) if one.check == f"line {LINE}")


@pytest.mark.parametrize(
    ("polls", "result", "words", "fix"),
    [
        ({"answered": 60}, "ok", "all 60 polls of the last 60 s were answered", ""),
        ({"answered": 58, "timeout": 2}, "ok", "58 of 60 polls of the last 60 s were answered", ""),
        ({"asleep": 60}, "ok", "is read by the gateway", ""),
        ({"answered": 36, "skipped": 144}, "warn", "36 of 180 polls", "meterseal check"),
        ({"answered": 30, "timeout": 20, "backoff": 10}, "warn", "30 of 60 polls", "meterseal status"),
        ({"timeout": 2, "backoff": 58}, "bad", "0 of 60 polls of the last 60 s were answered", "meterseal status"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_line_of_the_running_gateway_is_as_good_as_its_last_minute(
    tmp_path: Path, polls: dict[str, int], result: str, words: str, fix: str
) -> None:
    line = found(site(tmp_path / "site"), polls, os.getppid())
    assert (line.result, words in line.text, fix in line.way_out) == (result, True, True)
    if result != "ok":
        assert all(str(n) in line.text for n in polls.values())


def test_a_port_that_the_gateway_has_open_itself_is_not_free(tmp_path: Path, pty_path: Callable[[], Path]) -> None:
    """The diagnosis page looks from inside: the port was "exists and is free" there, and open for the doctor."""
    port = pty_path()
    loaded = rewritten(site(tmp_path / "site"), ('port = "rs485-1"', f'port = "{port}"'))
    held = os.open(port, os.O_RDWR | os.O_NOCTTY)
    try:
        case = CheckContext.of(loaded, START_S * 1000, pid=os.getpid())
        inside = next(iter(ports.ports(case)))
    finally:
        os.close(held)
    assert (inside.result, f"is open in the gateway (pid {os.getpid()})" in inside.text) == ("ok", True)


def test_the_last_minute_of_a_line_counts_from_its_own_worker(tmp_path: Path) -> None:
    def work(desk: Changing) -> None:
        recent = RecentPolls(desk.opened, desk.clock)
        desk.opened["bus-1"].counters.update(answered=100, foreign=7)
        for _ in range(30):
            recent.hear([])
            desk.machine.passes(EVERY_S)
            desk.opened["bus-1"].counters.update(answered=1, skipped=4, late=1)
        polls = recent.of("bus-1")
        assert polls is not None
        assert (polls.seconds, polls.polls) == (65.0, {"answered": 13, "skipped": 52})
        desk.open("bus-1")
        assert recent.as_json() == {}

    at_a_desk(tmp_path, work)
