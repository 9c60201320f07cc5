"""A line whose device closes TCP behind each answer: `meterseal status` says so, `check` reckons with it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from gateway.cli.terminal.plan_view import with_found
from gateway.startup.line_plan import line_plan
from tests.gateway.cli.test_clear_shared import lone_block, ordered
from tests.gateway.fieldbus.devices import serving
from tests.gateway.fieldbus.test_closing_device import closing
from tests.gateway.startup.test_line_plan import line, spare
from tests.support.epochs import running, until

WARNING = "one request per connection: the device closes it after each answer; connecting takes "


def test_status_says_one_question_a_connection_and_check_reckons_the_connecting(tmp_path: Path) -> None:
    async def work() -> None:
        async with serving(closing("modbus-rtu-over-tcp", [])) as server:
            loaded = lone_block(tmp_path / "site", server.port)
            before = json.loads((await asyncio.to_thread(ordered, loaded.path, "--json", command="check")).out)
            async with running(loaded) as epoch:
                await until(lambda: epoch.lines.closing())
                status = await asyncio.to_thread(ordered, loaded.path, command="status")
                facts = json.loads((await asyncio.to_thread(ordered, loaded.path, "--json", command="status")).out)
                check = await asyncio.to_thread(ordered, loaded.path, command="check")
                after = json.loads((await asyncio.to_thread(ordered, loaded.path, "--json", command="check")).out)
        assert f"rs485-1: {WARNING}" in " ".join(status.out.split())
        ((found),) = facts["closing"]
        assert (found["line"], 0 < found["connect_ms"] < 3000) == ("rs485-1", True)
        assert f"warning: rs485-1: {WARNING}" in " ".join(check.out.split())
        times = [[read["time_ms"] for read in answer["lines"][0]["reads"]] for answer in (before, after)]
        assert times[1] == pytest.approx([time + found["connect_ms"] for time in times[0]])

    asyncio.run(work())


def test_connecting_counts_for_each_read_and_what_needs_nearly_all_of_the_time_is_said() -> None:
    plan = line_plan(line((spare(200), 1000), type="modbus-rtu-over-tcp", port=None, host="gprs", baudrate=115200))
    (reads, meter) = len(plan.reads), plan.meters[0]
    assert reads == 2
    health = {"closing": [{"line": "rs485-1", "connect_ms": 400.0, "text": f"rs485-1: {WARNING}400 ms"}]}
    (found,) = with_found([plan], health)
    assert found.meters[0].poll_ms == pytest.approx(meter.poll_ms + 800)
    share = (meter.poll_ms + 800) / 1000
    assert found.meters[0].share == pytest.approx(share)
    text = f"included in the time of each read; its meters then need {share:.2f} s of each second"
    assert tuple(map(str, found.warnings)) == (*map(str, plan.warnings), f"rs485-1: {WARNING}400 ms, {text}")


@pytest.mark.parametrize("health", [{}, {"closing": []}, {"closing": [{"line": "another", "connect_ms": 9.0}]}])
def test_a_line_that_keeps_its_connection_is_planned_as_before(health: dict[str, object]) -> None:
    plan = line_plan(line((spare(60), 1000)))
    assert with_found([plan], health) == [plan]
