"""The meters of the catalog, simulated and polled over TCP: each value is what the simulator says that it has shown."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from decimal import Decimal
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.devices.profile import load_profile
from gateway.fieldbus.polling.line import key_table
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.acceptor import Acceptors
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import free_port, running

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


DTU = """
[[bus]]
name = "{name}"
type = "dlt645"
dial = "127.0.0.1:{port}"
hello = "IMEI:{name}"
heartbeat = "hex:68fe0216"
heartbeat_ms = 20
redial_ms = 20
emulate = false
  [[bus.meter]]
  name = "{name}"
  profile = "dlt645-single-phase"
  address = "202109300017"
  serial = "{serial}"
  single_phase = true
  latency_ms = 30
"""


def test_two_dtus_of_one_address_dial_in(tmp_path: Path) -> None:
    """Both meters have the same address on lines of their own: the text of the DTU tells which line is whose. Its
    heartbeat comes between frames, again and again."""
    serials = {"east": "000000000001", "west": "000000000002"}

    async def test() -> None:
        port = free_port()
        path = tmp_path / "plant.toml"
        path.write_text("".join(DTU.format(name=name, port=port, serial=serial) for name, serial in serials.items()))
        simulator = Simulator(load_scenario(path), folder=tmp_path, log=AnswerLog())
        await simulator.open()
        found = load_profile("dlt645-single-phase")
        acceptors, found, all_polls = Acceptors(), load_profile("dlt645-single-phase"), {}
        async with contextlib.AsyncExitStack() as stack:
            for name in serials:
                meter = MeterSpec(name, found, ADDRESS, 1000, found.select(("voltage_ln_l1", "energy_import")))
                spec = LineSpec(
                    name, "dlt645", (meter,), listen=("127.0.0.1", port), hello=(f"IMEI:{name}".encode(),),
                    heartbeat=(bytes.fromhex("68fe0216"),), answer_life_ms=200, timeout_ms=2000,
                    networks=(ipaddress.ip_network("127.0.0.0/8"),),
                )  # fmt: skip
                endpoint = Endpoint(key_table(spec), acceptors=acceptors)
                _, all_polls[name] = await stack.enter_async_context(running(spec, endpoint=endpoint))
            for name, serial in serials.items():
                poll = await all_polls[name].until(lambda poll: len(poll.answers) == 2, count=2)
                assert poll.identity == f"meter_number={serial}"
                assert values(poll).keys() == {"voltage_ln_l1", "energy_import"}
        simulator.close()

    asyncio.run(test())
