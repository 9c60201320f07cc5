"""Planning of hundreds of points takes seconds: it happens beside the event loop, and other lines go on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.fieldbus.modbus import read_variants
from gateway.fieldbus.modbus.read_variants import read_plan
from gateway.fieldbus.wire.dialect import ReadPlan
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import Pty, addresses, meter, rtu_line, running

FAILS_AFTER_S = 5.0


def test_while_one_line_plans_the_others_are_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each plan of the one, the first and one made anew, is ready only when the other line has answered meanwhile."""
    others_answer, plans = threading.Event(), list[bool]()

    def planned(line: LineSpec, spec: MeterSpec, *rest: Any, **more: Any) -> ReadPlan:
        if spec.name == "many":
            others_answer.clear()
            plans.append(others_answer.wait(FAILS_AFTER_S))
        return read_plan(line, spec, *rest, **more)

    monkeypatch.setattr(read_variants, "read_plan", planned)

    async def test() -> None:
        one, other = Pty(tmp_path / "one", addresses), Pty(tmp_path / "other", addresses)
        async with (
            running(rtu_line(one.link, meter("many", 1))) as (line, polls),
            running(rtu_line(other.link, meter("few", 1))) as (_, others),
        ):
            answering = asyncio.create_task(tell(others, others_answer))
            await polls.until(lambda poll: bool(poll.answers))
            shape = one.responder.asked[-1][1].key
            line.endpoint.table.avoid(shape, asyncio.get_running_loop().time())
            seen = len(polls)
            await polls.until(lambda poll: len(polls) > seen + 2 and bool(poll.answers))
            answering.cancel()
        one.unplug()
        other.unplug()

    async def tell(others: Any, answered: threading.Event) -> None:
        count = 0
        while True:
            count += 1
            await others.until(lambda poll: bool(poll.answers), count=count)
            answered.set()

    asyncio.run(test())
    assert len(plans) >= 2, "at first, and again without the shape that another master took"
    assert all(plans)
