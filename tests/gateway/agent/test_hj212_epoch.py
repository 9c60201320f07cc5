"""An epoch with a bus of HJ 212 loggers: from their packets to signed records, over a restart, and what it refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.config.model import Config
from gateway.status.readings import recorded_values
from gateway.storage.database import Database
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.hj212.loggers import Logger, answer, in_loop, packet
from tests.support.commands import gateway_command
from tests.support.epochs import running
from tests.support.gateways.stacks import stacks

UNSYNCHRONISED = int(Quality.CLOCK_UNSYNC | Quality.CLOCK_STEP)
"""What the clock of the machine that tests run on may add."""


def data(minute: int, so2: str, flag: str = "N", **how: Any) -> bytes:
    """A packet of realtime data, of so many minutes ago."""
    label = time.strftime("%Y%m%d%H%M00", time.gmtime(time.time() + 8 * 3600 - 60 * minute))
    cp = f"DataTime={label};a21026-Rtd={so2},a21026-Flag={flag};a19001-Rtd=x,a19001-Flag=N;a99999-Rtd=1,a99999-Flag=N"
    return packet(cp, **how)


async def connected(port: int) -> Logger:
    """A logger, as soon as the gateway listens."""
    async with asyncio.timeout(20):
        while True:
            try:
                return Logger(*await asyncio.open_connection("127.0.0.1", port))
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


def values(loaded: Config, meter: str) -> Iterator[dict[str, tuple[Any, int]]]:
    """What was recorded, the oldest first: value and flags by point."""
    with closing(Database(loaded.database, read_only=True)) as store:
        rows = list(store.records.readings(meter, 100))
    for row in rows:
        found = [each.value for each in recorded_values([row])]
        yield {value.name: (value.value, value.quality & ~UNSYNCHRONISED) for value in found}


@in_loop
async def test_packets_become_records_once_over_a_restart_too(tmp_path: Path) -> None:
    loaded, port = stacks(tmp_path / "site")
    first, second = data(1, "33.40"), data(0, "0.5", "D", qn="2")
    async with running(loaded):
        logger = await connected(port)
        logger.send(first, first)
        assert await logger.got(2 * len(answer())) == 2 * answer()
        assert [one["so2"] for one in values(loaded, "stack-now")] == [(Decimal("3.340E+4"), 0)]
    async with running(loaded):
        logger = await connected(port)
        logger.send(first, second)
        assert await logger.rest() == answer() + answer(qn="2")
    one, two = values(loaded, "stack-now")
    assert str(one["so2"][0]) == "3.340E+4"
    assert (one["oxygen"], one["flow"]) == ((None, int(Quality.DECODE_ERR)), (None, int(Quality.NOT_FOUND)))
    assert two["so2"] == (500, int(Quality.DEVICE_FAULT))


@in_loop
async def test_what_is_refused_and_what_no_profile_names_is_shown_by_commands(tmp_path: Path) -> None:
    loaded, port = stacks(tmp_path / "site")
    async with running(loaded):
        logger = await connected(port)
        logger.send(
            packet(mn="B2"), data(0, "1", pw="654321"), data(0, "1"), packet(cn="2061", qn="2"), packet(cn="2081")
        )
        assert await logger.rest() == answer() + answer(qn="2")
        printed = await asyncio.to_thread(gateway_command, "status", loaded.path, "--refused", "--json")
        assert [one["reason"] for one in printed.facts["refused"]["stacks"]] == ["station", "password"]
        shown = await asyncio.to_thread(gateway_command, "status", loaded.path, "--refused")
        assert "station not configured" in shown.out
        assert "password wrong" in shown.out
        status = await asyncio.to_thread(gateway_command, "status", loaded.path, "--json")
        (line,) = status.facts["listening"]
        assert line["counters"] == {"heard": 2, "commands": 1}
        assert line["refused"] == {"station": 1, "password": 1}
        assert line["unnamed"] == {"stack-now": ["a99999"]}
    assert [len(list(values(loaded, meter))) for meter in ("stack-now", "stack-hours")] == [1, 1]
    ended = gateway_command("status", loaded.path, "--refused")
    assert ended.code == 2
    assert "no gateway" in ended.err


@in_loop
async def test_a_reload_opens_the_listener_again_and_keeps_what_was_refused(tmp_path: Path) -> None:
    loaded, port = stacks(tmp_path / "site")
    async with running(loaded):
        before = await connected(port)
        before.send(packet(mn="B2"), data(1, "1"))
        assert await before.got(len(answer())) == answer()
        loaded.path.write_text(loaded.path.read_text().replace('every = "60s"', 'every = "30s"'))
        done = await asyncio.to_thread(gateway_command, "reload", loaded.path, "--yes", "--json")
        assert done.code == 0, done
        assert await before.closed() == b""
        after = await connected(port)
        after.send(data(0, "2", qn="2"), packet(mn="C3"))
        assert await after.rest() == answer(qn="2")
        status = await asyncio.to_thread(gateway_command, "status", loaded.path, "--refused", "--json")
        assert [one["mn"] for one in status.facts["refused"]["stacks"]] == ["B2", "C3"]
    assert [one["so2"][0] for one in values(loaded, "stack-now")] == [1000, 2000]
