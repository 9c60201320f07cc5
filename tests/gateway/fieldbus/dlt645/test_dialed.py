"""DL/T 645 meters behind simulated DTUs that dial in: two lines on one listening socket, heartbeats between frames."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.devices.profile import load_profile
from gateway.fieldbus.polling import line as line_worker
from gateway.fieldbus.polling.line import key_table
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.acceptor import Acceptors
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import free_port, running

SCENARIO = """
[[bus]]
name = "{name}"
type = "dlt645"
dial = "127.0.0.1:{port}"
emulate = false
hello = "{name} on\\r\\n"
heartbeat = "hex:FEFE{beat}"
heartbeat_ms = 15
redial_ms = 20
  [[bus.meter]]
  name = "m"
  profile = "dlt645-single-phase"
  address = "{address}"
  serial = "{serial}"
  energy_import_kwh = 8754.25
  single_phase = true
  latency_ms = 0
"""
LINES = {"north": ("202109300017", "000021043387"), "south": ("202109300018", "000021043388")}


def listening(name: str, port: int, beat: str) -> LineSpec:
    """A line on which the DTU of that name connects."""
    profile = load_profile("dlt645-single-phase")
    meter = MeterSpec("m", profile, LINES[name][0], 300, profile.select())
    return LineSpec(
        name, "dlt645", (meter,), listen=("127.0.0.1", port), hello=(f"{name} on\r\n".encode(),),
        heartbeat=(bytes.fromhex("FEFE" + beat),), answer_life_ms=100, timeout_ms=2000, baudrate=9600, parity="N",
    )  # fmt: skip


def test_two_lines_of_one_listener_are_polled_through_their_dtu_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_worker, "REOPEN_S", 0.05)

    async def work() -> dict[str, list[Poll]]:
        port, acceptors, simulators = free_port(), Acceptors(), list[Simulator]()
        beats = {"north": "4142", "south": "0D0A"}
        specs = {name: listening(name, port, beats[name]) for name in LINES}
        ends = {name: Endpoint(key_table(spec), acceptors=acceptors) for name, spec in specs.items()}

        async def dialling(name: str) -> None:
            path = tmp_path / f"{name}.toml"
            address, serial = LINES[name]
            scenario = SCENARIO.format(name=name, port=port, address=address, serial=serial, beat=beats[name])
            path.write_text(scenario)
            simulators.append(
                Simulator(load_scenario(path), folder=tmp_path, log=AnswerLog(tmp_path / f"{name}.jsonl"))
            )
            await simulators[-1].open()

        async with (
            running(specs["north"], endpoint=ends["north"]) as (north_line, north),
            running(specs["south"], endpoint=ends["south"]) as (south_line, south),
        ):
            for name in LINES:
                await dialling(name)
            for polls in (north, south):
                await polls.until(lambda poll: bool(poll.answers) and not poll.failures, count=5)
            simulators[0].close()
            await north.until(lambda poll: poll.missed == "line-down" and poll in north[-1:])
            seen = len(north)
            await dialling("north")
            await north.until(lambda poll: bool(poll.answers) and poll in north[seen:])
            assert not north_line.counters["noise"] + south_line.counters["noise"]
        for simulator in simulators[1:]:
            simulator.close()
        return {"north": north, "south": south}

    found = asyncio.run(work())
    for name, (_, serial) in LINES.items():
        assert {poll.identity for poll in found[name] if poll.answers} == {f"meter_number={serial}"}
