"""TCP buses that end each connection behind its first answer, as cheap converters and GPRS modems do."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.errors import ScenarioError
from firmware_sim.meters import pdu
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog

BUS = """
[[bus]]
name = "converter"
type = "{kind}"
port = 0
closes_behind_answer = {closes}
{keys}
  [[bus.meter]]
  name = "export-main"
  profile = "eastron-sdm630"
  address = 1
{faults}
"""
ASK = bytes.fromhex("0400000006")
QUESTIONS = {"modbus-tcp": pdu.tcp(7, 1, ASK), "modbus-rtu-over-tcp": pdu.rtu(1, ASK)}
SIZES = {"modbus-tcp": 21, "modbus-rtu-over-tcp": 17}
SPLIT = '[[fault]]\nmeter = "export-main"\nkind = "split"\nsize = 5\n'


def scenario(folder: Path, kind: str, closes: str = "true", keys: str = "", faults: str = "") -> Path:
    path = folder / "plant.toml"
    path.write_text(BUS.format(kind=kind, closes=closes, keys=keys, faults=faults))
    return path


@pytest.mark.parametrize("faults", ["", SPLIT])
@pytest.mark.parametrize("kind", QUESTIONS)
def test_a_bus_that_closes_behind_each_answer_gives_one_whole_answer_a_connection(
    tmp_path: Path, kind: str, faults: str
) -> None:
    async def test() -> None:
        keys = "emulate = false" if kind != "modbus-tcp" else ""
        simulator = Simulator(
            load_scenario(scenario(tmp_path, kind, keys=keys, faults=faults)), folder=tmp_path, log=AnswerLog()
        )
        await simulator.open()
        at = simulator.ready()["lines"]["converter"]
        async with asyncio.timeout(20):
            for _ in range(3):
                reader, writer = await asyncio.open_connection(at["host"], at["port"])
                writer.write(QUESTIONS[kind])
                assert len(await reader.read(-1)) == SIZES[kind], "whole, then closed"
                writer.close()
        simulator.close()

    asyncio.run(test())


def test_a_unit_that_is_not_there_is_refused_before_the_close(tmp_path: Path) -> None:
    async def test() -> None:
        keys = 'unknown_unit = "exception"'
        path = scenario(tmp_path, "modbus-tcp", keys=keys)
        simulator = Simulator(load_scenario(path), folder=tmp_path, log=AnswerLog())
        await simulator.open()
        at = simulator.ready()["lines"]["converter"]
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(at["host"], at["port"])
            writer.write(pdu.tcp(7, 9, ASK))
            assert await reader.read(-1) == pdu.tcp(7, 9, bytes.fromhex("840B"))
            writer.close()
        simulator.close()

    asyncio.run(test())


@pytest.mark.parametrize(("kind", "port"), [("modbus-tcp", "0"), ("modbus-rtu-over-tcp", "0"), ("modbus-rtu", '"a"')])
def test_closes_behind_answer_is_true_or_false_and_of_tcp_only(tmp_path: Path, kind: str, port: str) -> None:
    path = scenario(tmp_path, kind, closes='"often"')
    path.write_text(path.read_text().replace("port = 0", f"port = {port}"))
    problem = "unknown key" if kind == "modbus-rtu" else "'often' is not allowed"
    with pytest.raises(ScenarioError, match=re.escape("bus[0].closes_behind_answer") + f".*{problem}"):
        load_scenario(path)
