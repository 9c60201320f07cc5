"""A meter that refuses what it is asked, end to end: `meterseal status` of a running gateway says code and block."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.fieldbus.modbus.frames import Request
from gateway.messages.alarm_kinds import KINDS, AlarmCode
from gateway.process import instance_lock
from tests.gateway.fieldbus.devices import Pty, Sent, answer, refuse
from tests.support.commands import gateway_command
from tests.support.epochs import running, until
from tests.support.samples import site

PROFILE = """
vendor = "Test"
device = "Test meter"
source = "made up for this test"
[points]
power = { fc = 4, address = 300, type = "uint16", unit = "W" }
energy = { fc = 3, address = 100, type = "uint32", unit = "kWh", kind = "counter" }
"""
BUS = """
[[bus]]
name = "rs485-1"
type = "modbus-rtu"
port = "rs485-1"
answer_life = "100ms"
[[bus.meter]]
name = "export-main"
profile = "made.toml"
address = 1
every = "500ms"

"""
PROBLEM = "export-main: function 3, registers 100 to 101: exception 02: it has no such register"


def made(folder: Path) -> Config:
    """A site with one meter, which does not have one of its two blocks."""
    path = site(folder).path
    (folder / "made.toml").write_text(PROFILE)
    text = path.read_text()
    path.write_text(text[: text.index("[[bus]]")] + BUS + text[text.index("[seal]") :])
    return load_config(path)


def without_energy(request: Request) -> Sent:
    return [(0.0, refuse(request) if request.function == 3 else answer(request))]


def test_a_meter_that_refuses_stands_in_status_with_code_and_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        KINDS, AlarmCode.METER_REFUSES, replace(KINDS[AlarmCode.METER_REFUSES], on_delay_ms=0)
    )  # the delay has tests of its own
    loaded = made(tmp_path / "site")
    printed: dict[str, str] = {}

    def ask(*options: str) -> str:
        return gateway_command("status", loaded.path, *options).out

    async def work() -> None:
        pty = Pty(loaded.path.parent / "rs485-1", without_energy)
        with instance_lock.take(loaded.data):
            async with running(loaded) as epoch:
                board = epoch.site.board
                await until(lambda: any(alarm.code == AlarmCode.METER_REFUSES for alarm in board.listed()))
                printed["json"] = await asyncio.to_thread(ask, "--json")
                printed["people"] = " ".join((await asyncio.to_thread(ask)).split())
        pty.unplug()

    asyncio.run(work())
    facts = json.loads(printed["json"])
    (alarm,) = [alarm for alarm in facts["alarms"] if alarm["code"] == "meter-refuses"]
    assert PROBLEM in alarm["text"]
    assert "comms-lost" not in printed["json"]
    assert not facts["healthy"]
    assert f"problem: rs485-1: {PROBLEM}" in printed["people"]
