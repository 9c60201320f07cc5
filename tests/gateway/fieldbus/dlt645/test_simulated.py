"""The meters of the catalog, simulated and polled over TCP: each value is what the simulator says that it has shown."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.devices.profile import load_profile
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import running

ADDRESS = "202109300017"
SCENARIO = """
[[bus]]
name = "line"
type = "dlt645"
port = 0
emulate = false
  [[bus.meter]]
  name = "m"
  profile = "{profile}"
  address = "202109300017"
  serial = "000021043387"
  energy_import_kwh = 8754.25
  energy_export_kwh = 12.5
  reactive_energy_import_kvarh = 7
  latency_ms = 0
  {more}
"""


def values(poll: Poll) -> dict[str, object]:
    """The values of a poll by point; None where there is none."""
    found: dict[str, object] = {}
    for answered in poll.answers:
        decoder = answered.block.decoder({})
        split = decoder.split(answered.raw)
        found |= dict(zip((p.name for p in decoder.points), decoder.values(split, decoder.scales(split)), strict=True))
    return found


def lacking(poll: Poll) -> set[str]:
    """Points that the meter said it does not have, in an answer or by refusing the block."""
    found = {p.name for failed in poll.failures if failed.reason == "refused" for p in failed.block.points}
    for answered in poll.answers:
        decoder = answered.block.decoder({})
        flags = decoder.flags(decoder.split(answered.raw))
        found |= {p.name for p, flag in zip(decoder.points, flags, strict=False) if flag & Quality.NOT_FOUND}
    return found


def polled(folder: Path, profile: str, more: str, every_ms: int, count: int) -> tuple[list[Poll], dict[str, object]]:
    """Whole polls of a simulated meter, and the last values that it has shown by point."""

    async def test() -> list[Poll]:
        path, log = folder / "plant.toml", folder / "answers.jsonl"
        path.write_text(SCENARIO.format(profile=profile, more=more))
        simulator = Simulator(load_scenario(path), folder=folder, log=AnswerLog(log))
        await simulator.open()
        at = simulator.ready()["lines"]["line"]
        found = load_profile(profile)
        meter = MeterSpec("m", found, ADDRESS, every_ms, found.select())
        spec = LineSpec(
            "line", "dlt645", (meter,), host="127.0.0.1", tcp_port=at["port"], baudrate=9600, parity="N",
            answer_life_ms=100, timeout_ms=2000,
        )  # fmt: skip
        async with running(spec) as (_, polls):
            await polls.until(lambda poll: bool(poll.answers), count=count)
        simulator.close()
        return [poll for poll in polls if poll.answers]

    polls = asyncio.run(test())
    shown: dict[str, object] = {}
    for entry in map(json.loads, (folder / "answers.jsonl").read_text().splitlines()):
        shown |= entry["values"]
    return polls, shown


def alike(read: object, shown: object) -> bool:
    return read == shown if isinstance(read, str | int | None) else Decimal(str(read)) == Decimal(str(shown))


@pytest.mark.parametrize("profile", ["dlt645-three-phase", "dlt645-single-phase"])
def test_every_value_is_what_the_meter_showed(tmp_path: Path, profile: str) -> None:
    more = "single_phase = true" if "single" in profile else ""
    (poll,), shown = polled(tmp_path, profile, more, 60_000, 1)
    found = values(poll)
    assert not poll.failures
    assert poll.identity == "meter_number=000021043387"
    assert {point.name for point in load_profile(profile).select()} == found.keys()
    assert {name: value for name, value in found.items() if not alike(value, shown[name])} == {}
    assert Decimal(str(found["energy_import"])) >= Decimal("8754.25")
    assert lacking(poll) == set()


def test_a_single_phase_meter_under_the_profile_of_three_lacks_two(tmp_path: Path) -> None:
    (poll,), _ = polled(tmp_path, "dlt645-three-phase", "single_phase = true", 60_000, 1)
    stems = "voltage_ln", "current", "active_power"
    assert lacking(poll) == {f"{stem}_l{phase}" for stem in stems for phase in (2, 3)}
    assert values(poll)["voltage_ln_l1"] is not None


def test_blocks_that_it_does_not_have_are_read_value_by_value(tmp_path: Path) -> None:
    refused = 'refuses = ["0001FF00", "0002FF00", "0203FF00", "02060000"]\ngoes_on = ["0201FF00"]'
    polls, shown = polled(tmp_path, "dlt645-three-phase", refused, 2_000, 5)
    names = {point.name for point in load_profile("dlt645-three-phase").select()}
    assert names - values(polls[0]).keys() == {
        name for name in names if name.startswith(("energy_", "active_power", "power_factor_total", "voltage"))
    }
    last = values(polls[-1])
    assert names - last.keys() == {"power_factor_total"}
    assert lacking(polls[-1]) == {"power_factor_total"}
    assert alike(last["energy_import_t4"], shown["energy_import_t4"])
