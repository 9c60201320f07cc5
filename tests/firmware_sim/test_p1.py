"""Scenarios with a P1 port: what they take and refuse, and where the port is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.errors import ScenarioError
from firmware_sim.meters.p1_meter import checksum
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog

BUS = '[[bus]]\ntype = "p1"\nname = "p1"\nport = {port}\nevery_ms = 20\n'
GRID = '[[bus.meter]]\nname = "grid"\naddress = "0-0"\n'
GAS = '[[bus.meter]]\nname = "gas"\naddress = "0-1"\nkind = "gas"\n'


def scenario(folder: Path, text: str, port: str = "0") -> Path:
    path = folder / "plant.toml"
    path.write_text(BUS.format(port=port) + text)
    return path


def test_whoever_connects_gets_telegrams_with_a_right_check_value(tmp_path: Path) -> None:
    async def work() -> bytes:
        simulator = Simulator(load_scenario(scenario(tmp_path, GRID + GAS)), folder=tmp_path, log=AnswerLog())
        await simulator.open()
        where = simulator.ready()["lines"]["p1"]
        reader, writer = await asyncio.open_connection(where["host"], where["port"])
        text = await reader.readuntil(b"!") + await reader.readuntil(b"\r\n")
        writer.close()
        simulator.close()
        return text

    text = asyncio.run(work())
    end = text.index(b"!") + 1
    assert text.startswith(b"/SIM5")
    assert int(text[end:], 16) == checksum(text[:end])
    assert b"0-1:24.2.1(" in text


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (GAS, "bus[0]", "a P1 port has one meter of its own"),
        (GRID.replace("0-0", "0-1"), "bus[0].meter[0]", "is for address"),
        (GRID + GAS.replace("0-1", "0-0"), "bus[0].meter[1]", "is for address"),
        (GRID + 'profile = "dsmr-5-electricity"\n', "bus[0].meter[0].profile", "unknown key"),
        (GRID + '[[fault]]\nmeter = "grid"\nkind = "lost"\n', "fault[0].kind", "a P1 port has no faults"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(scenario(tmp_path, text))
    assert key in str(refused.value)
    assert problem in str(refused.value)
