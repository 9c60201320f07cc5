"""Scenarios with a P1 port: what they take and refuse, and where the port is."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.cli.truth import rows
from firmware_sim.errors import ScenarioError
from firmware_sim.meters.p1_meter import P1Meter, P1Spec, PassedOn, checksum
from firmware_sim.plant.model import Plant, PlantSpec
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
        log = AnswerLog(tmp_path / "log.jsonl")
        simulator = Simulator(load_scenario(scenario(tmp_path, GRID + GAS)), folder=tmp_path, log=log)
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
    main, gas = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()[:2])
    assert bytes.fromhex(main["sent"]).startswith(b"/SIM5")
    assert (main["v"], main["meter"], gas["meter"], gas["at_ms"]) == (2, "grid", "gas", main["at_ms"])
    assert list(gas["values"]) == ["0-1:24.1.0", "0-1:96.1.0", "0-1:24.2.1"]
    shown = re.findall(rb"-0:[12]\.8\.1\((.*?)\)", bytes.fromhex(main["sent"]))
    assert [f"{Decimal(main['values'][c]):010.3f}*kWh".encode() for c in ("1-0:1.8.1", "1-0:2.8.1")] == shown


GOOD = {
    "doubled": "delay_ms = 1",
    "late": "delay_ms = 1",
    "glued": "",
    "noise-before": "",
    "lone-byte": "",
    "split": "size = 90",
}
SHOWS = ("zero-counters", "frozen")
NONE = {"truncated": "missing = 9", "corrupted": "", "damaged-crc": "", "garbage": ""}


@pytest.mark.parametrize("kind", [*GOOD, *NONE, *SHOWS, "dead", "lost"])
def test_the_log_has_what_a_reader_takes_from_a_telegram_that_a_fault_struck(tmp_path: Path, kind: str) -> None:
    """The second telegram alone is struck; whatever comes is what the log says was sent."""

    async def work() -> bytes:
        log = AnswerLog(tmp_path / "log.jsonl")
        fault = (
            f'[[fault]]\nbus = "p1"\nkind = "{kind}"\nevery = 2\ncount = 1\n{GOOD.get(kind) or NONE.get(kind, "")}\n'
        )
        text = (GRID + GAS + fault).replace("every_ms = 20", "every_ms = 60")
        simulator = Simulator(load_scenario(scenario(tmp_path, text)), folder=tmp_path, log=log)
        await simulator.open()
        where = simulator.ready()["lines"]["p1"]
        reader, writer = await asyncio.open_connection(where["host"], where["port"])
        came = b""
        while came.count(b"/SIM5") < 4:
            came += await reader.read(9999)
        writer.close()
        simulator.close()
        log.close()
        return came

    came = asyncio.run(work())
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    mains = [line for line in lines if line["meter"] == "grid"]
    sent = b"".join(bytes.fromhex(line["sent"]) for line in mains)
    _, *whole, _ = came.split(b"/SIM5")
    assert [telegram for telegram in whole if b"/SIM5" + telegram not in sent] == []
    struck = [line for line in lines if line.get("faults")]
    assert len(struck) == {"dead": 0, "lost": 0, "doubled": 4}.get(kind, 2)
    for line in struck:
        assert (line["faults"], line["injected"]) == ([kind], ["f1"])
        assert bool(line["values"]) == (kind in GOOD or kind in SHOWS)
        assert kind in SHOWS or bool(line["values"]) == ("true" not in line)
        first = next(other for other in lines if other["meter"] == line["meter"])
        assert {**line.get("true", {}), **line["values"]}.keys() == first["values"].keys()


@pytest.mark.parametrize(
    ("kind", "differ"),
    [
        ("zero-counters", {"1-0:1.8.1", "0-1:24.2.1"}),
        ("stuck-clock", {"0-0:1.0.0"}),
        ('other-serial"\nserial = "B2', {"0-0:96.1.1"}),
        ('other-serial"\nserial = "B2"\npoint = "0-1:96.1.0', {"0-1:96.1.0"}),
        ("cached", {"0-0:1.0.0", "1-0:1.8.1", "1-0:1.7.0"}),
        ("frozen", {"0-0:1.0.0", "1-0:1.8.1", "1-0:1.7.0"}),
    ],
)
def test_what_a_telegram_shows_under_a_fault_stands_beside_what_is_true(
    tmp_path: Path, kind: str, differ: set[str]
) -> None:
    load = GRID.replace('"0-0"', '"0-0"\nmeasures = "load"\nenergy_import_kwh = 5') + GAS + "start = 3\n"
    text = f'{load}[plant]\nstart = "2026-06-21T04:00+02:00"\n[[fault]]\nbus = "p1"\nkind = "{kind}"\n'
    found = list(rows(load_scenario(scenario(tmp_path, text)), 240_000, 120_000))
    last = {row[3]: row[5:] for row in found if row[1] == 240_000}
    changed = {code for code, (true, shown) in last.items() if true != shown}
    assert changed >= differ
    assert len(changed) == len(differ) or kind in ("cached", "frozen")
    if kind.startswith("other"):
        assert bytes.fromhex(last[differ.pop()][1]) == b"B2"
    if kind == "zero-counters":
        assert {last[code][1] for code in differ} == {"0.000"}


def test_a_damaged_telegram_of_edition_2_is_read_line_by_line() -> None:
    meter = P1Meter(P1Spec(2, "SIM1", name="grid"), Plant(PlantSpec()), lambda t_ms: 1_790_000_000_000 + t_ms)
    right = meter.telegram(0)
    damaged = right.replace(b"1.8.1(000000.000*kWh)", b"1.8.1(000800.000*kWh)").replace(b"1-0:1.8.2", b"1-0:1.8.3")
    found = meter.values(right)["grid"] | {"1-0:1.8.1": "800.000"}
    del found["1-0:1.8.2"]
    assert meter.received(damaged, right) == {"grid": found}
    assert meter.received(right[:-3], right) == {"grid": {}}


def test_a_gas_meter_of_edition_2_has_its_value_on_a_line_of_its_own() -> None:
    passed_on = PassedOn(1, "gas", "G1", 5.25, "gas")
    spec = P1Spec(2, "SIM1", passed_on=(passed_on,), name="grid")
    meter = P1Meter(spec, Plant(PlantSpec()), lambda t_ms: 1_790_000_000_000 + t_ms)
    values = meter.values(meter.telegram(0))
    assert values["gas"]["0-1:24.3.0"] == "5.250"
    assert values["grid"]["1-0:1.8.1"] == "0.000"


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        (GAS, "bus[0]", "a P1 port has one meter of its own"),
        (GRID.replace("0-0", "0-1"), "bus[0].meter[0]", "is for address"),
        (GRID + GAS.replace("0-1", "0-0"), "bus[0].meter[1]", "is for address"),
        (GRID + 'profile = "dsmr-5-electricity"\n', "bus[0].meter[0].profile", "unknown key"),
        (GRID + '[[fault]]\nmeter = "grid"\nkind = "lost"\n', "fault[0].meter", "telegram are those of all meters"),
        (
            "edition = 2\n" + GRID + '[[fault]]\nbus = "p1"\nkind = "damaged-crc"\n',
            "fault[0].kind",
            "no check value",
        ),
        ("edition = 2\n" + GRID + '[[fault]]\nbus = "p1"\nkind = "stuck-clock"\n', "fault[0].kind", "no date"),
        (
            GRID + '[[fault]]\nbus = "p1"\nkind = "other-serial"\nserial = "1"\npoint = "0-1:96.1.0"\n',
            "fault[0].point",
            "no equipment identifier",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(scenario(tmp_path, text))
    assert key in str(refused.value)
    assert problem in str(refused.value)
