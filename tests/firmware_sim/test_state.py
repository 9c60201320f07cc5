"""The state of a plant: what a later run takes over is what a run without an end would have, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_sim.cli.app import main
from firmware_sim.cli.state_file import Kept, StateFile, written
from firmware_sim.cli.state_keeper import StateKeeper
from firmware_sim.clock import SimClock
from firmware_sim.errors import StateError
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Choice, Faults, Order
from firmware_sim.meters.device import Device, Frame
from firmware_sim.meters.logger_faults import misfit
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.kept_state import alike, is_worth_keeping, plain
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.stack import StackSpec
from firmware_sim.plant.state import State
from firmware_sim.scenario.faults import ALL_KINDS, Places, ordered
from firmware_sim.scenario.kept_faults import kept, restored, table_of
from firmware_sim.scenario.load import load_scenario
from gateway.devices.profile import load_profile

SPEC = PlantSpec(
    seed=9, start_hour=9.9, stack=StackSpec(fuel_kg_h=800), battery=BatterySpec(kw=20, kwh=40), load_kw=40, pv_kw=30
)
SCENARIO = """
[plant]
seed = 3
[[bus]]
name = "tcp"
type = "modbus-tcp"
port = 0
[[bus.meter]]
name = "main"
profile = "eastron-sdm630"
address = 1
[[fault]]
meter = "main"
kind = "frozen"
from = 1e6
"""
LINE = written("abc", 1.0, 1_000_000, "[[0]]", "[]", 2)
PLACES = Places({"tcp": "modbus-tcp"}, {"main": "tcp"})
WRONG = r"no number|not \d+ values"
READ = bytes.fromhex("0400480004")


def test_a_plant_that_goes_on_is_as_if_it_had_not_stopped() -> None:
    whole = Plant(SPEC)
    whole.step_to(1900)
    rows = json.loads(json.dumps([plain(whole.kept(second)) for second in (0, 600, 1200, 1800)]))
    assert [row[0] for row in rows] == [0, 600, 1200, 1800]
    later = Plant(SPEC)
    for row in rows:
        later.resume(alike(row, later.kept(0)))
    for t_ms in (1_900_500, 1_201_000, 599_250, 0, 1_850_000):
        assert later.at(t_ms) == whole.at(t_ms)


@pytest.mark.parametrize("bad", ["x", [], [0], None, {"second": 0}])
def test_a_step_of_another_plant_is_none(bad: object) -> None:
    first = Plant(SPEC).kept(0)
    with pytest.raises(ValueError, match=WRONG):
        alike(bad, first)
    row = plain(first)
    for damaged in (row[:-1], [float("nan"), *row[1:]], [*row[:-1], [*row[-1], 0]], [row[0], row[1][:-1], *row[2:]]):
        with pytest.raises(ValueError, match=WRONG):
            alike(damaged, first)


def test_steps_thin_out_with_their_age() -> None:
    now_s = 30 * 86_400
    seconds = [second for second in range(0, now_s + 1, 600) if is_worth_keeping(second, now_s)]
    assert len(seconds) == 23 + 6 * 24 + 145
    assert (seconds[0], seconds[-1]) == (0, now_s)


def device(faults: Faults) -> Device:
    profile = load_profile("eastron-sdm630")
    return Device(Meter(MeterSpec("main", profile, 1), Plant(PlantSpec(seed=4))), faults.of("main"))


LASTING = ("power-cut", "port-gone")


def frame(unit: object, pdu: bytes) -> bytes:
    return pdu


FRAME: Frame = frame


def test_every_fault_goes_on_as_it_was() -> None:
    """Of each kind, also one that strikes now and then or a number of times, and one that was cleared."""
    for kind, fault in ALL_KINDS.items():
        keys = {"serial": "7"} if kind == "other-serial" else {}
        if "modbus-tcp" in fault.impossible or misfit(kind, "modbus-tcp"):
            continue
        before, after = Faults(1), Faults(1)
        whose = {"bus": "tcp"} if kind == "port-gone" else {"meter": "main"}
        first, later = ({}, {}) if kind in LASTING else ({"share": 0.5}, {"every": 2, "count": 3})
        tables = [
            {**whose, "kind": kind, **keys, **first},
            {"meter": "main", "kind": "dead", "to": 1.5},
        ]
        orders = [ordered(table, PLACES) for table in tables]
        for registry in (before, after):
            for order in orders:
                registry.arm(order, injected=False)
        more = ordered({**whose, "kind": kind, **keys, **later, "from": 0.25}, PLACES)
        before.clear([before.arm(more), "f2"])
        before.arm(more)
        asked = device(before)
        for second in range(4):
            asked.ask(1, READ, 1000 * second, FRAME)
        after.number_from(before.injected)
        restored(after, json.loads(json.dumps(kept(before))), lambda table: ordered(table, PLACES))
        assert kept(after) == kept(before)
        assert [each.id for each in after.standing()] == ["f1", "i2"]
        assert after.arm(more) == before.arm(more) == "i3"


def test_what_is_frozen_stays_frozen() -> None:
    before, after = Faults(), Faults()
    before.arm(ordered({"meter": "main", "kind": "frozen", "from": 2}, PLACES), injected=True)
    shown = device(before).ask(1, READ, 5000, FRAME).deliveries[0].data
    restored(after, json.loads(json.dumps(kept(before))), lambda table: ordered(table, PLACES))
    assert device(after).ask(1, READ, 900_000, FRAME).deliveries[0].data == shown
    assert device(Faults()).ask(1, READ, 900_000, FRAME).deliveries[0].data != shown


def test_a_table_asks_for_what_was_asked_for() -> None:
    choice = [{"kind": "late", "share": 0.25, "delay_ms": 30.0}, {"kind": "lost", "share": 0.5}]
    table = {"meter": "main", "kind": "one-of", "choice": choice, "from": 1.25, "to": 7.5, "every": 3, "above": 40}
    order = ordered(table, PLACES)
    assert table_of(ordered(table_of(order), PLACES)) == table_of(order) == {**table, "share": 1.0}
    of_bus = ordered({"bus": "tcp", "kind": "dead", "count": 2}, PLACES)
    assert table_of(of_bus).items() >= {"bus": "tcp", "kind": "dead", "count": 2}.items()


def test_a_state_is_read_as_it_was_written_and_one_simulator_has_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    first, second = StateFile(path), StateFile(path)
    assert first.take() is None
    first.write(LINE)
    with pytest.raises(StateError, match="another simulator"):
        second.take()
    first.release()
    assert second.take() == Kept("abc", 1.0, 1_000_000, ([0],), [], 2)
    second.release()


def test_a_file_that_is_cut_or_damaged_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state"
    file = StateFile(path)
    file.write(LINE)
    whole = path.read_bytes()
    damaged = [whole[:size] for size in range(len(whole))]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    damaged += [whole + b"\n", b"\x00" * len(whole)]
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(StateError, match="cut or damaged"):
            file.take()
        file.release()


@pytest.mark.parametrize("line", ["[]", "1", '{"format": 2}', '{"format": 1}', LINE.replace("[[0]]", "1")])
def test_a_file_that_is_whole_and_no_state_is_refused(tmp_path: Path, line: str) -> None:
    file = StateFile(tmp_path / "state")
    file.write(line)
    with pytest.raises(StateError, match=r"state|format") as refused:
        file.take()
    assert "fix: " in str(refused.value)
    file.release()


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="set --state"):
        StateFile(tmp_path / "missing" / "state").take()
    with pytest.raises(StateError, match="set --state"):
        StateFile(tmp_path / "missing" / "state").write(LINE)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError, match="set --state"):
        StateFile(tmp_path / "folder").take()


def keeper(folder: Path, *, text: str = SCENARIO, speed: float = 1.0, unix_ms: int = 2_000_000) -> StateKeeper:
    path = folder / "plant.toml"
    path.write_text(text)

    def clock(began_ms: int | None) -> SimClock:
        return SimClock(lambda: 0.0, speed=speed, began_ms=began_ms, unix_ms=unix_ms)

    return StateKeeper(folder / "state", load_scenario(path), clock, warn=print)


def stopped(folder: Path, mend: Callable[[str], str] = str) -> None:
    """A run of 700 s has ended."""
    first = keeper(folder)
    plant = Plant(load_scenario(folder / "plant.toml").plant)
    steps = json.dumps([plain(plant.kept(0)), [600, *plain(plant.kept(0))[1:]]])
    digest = load_scenario(folder / "plant.toml").digest
    StateFile(folder / "state").write(mend(written(digest, 1.0, 1_300_000, steps, "[]", 0)))
    first.close()


def test_a_plant_goes_on_where_the_clock_is(tmp_path: Path) -> None:
    stopped(tmp_path)
    again = keeper(tmp_path, text=SCENARIO.replace("port = 0", "port = 0  # the same in other words"))
    assert (again.clock.now_ms(), again.clock.label_unix_at(700_000)) == (700_000, 2_000_000)
    plant, faults = Plant(load_scenario(tmp_path / "plant.toml").plant), Faults()
    faults.arm(load_scenario(tmp_path / "plant.toml").faults[0], injected=False)
    again.resume(plant, faults)
    assert plant.kept(700).second == 600
    assert faults.standing() == [], "it was cleared in the run before"
    again.close()


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"speed": 2.0}, "--speed 1"),
        ({"text": SCENARIO.replace("seed = 3", "seed = 4")}, "another scenario"),
        ({"text": SCENARIO.replace("address = 1", "address = 2")}, "another scenario"),
        ({"unix_ms": 1_899_000}, "1 s further on"),
    ],
)
def test_a_state_of_another_plant_is_refused(tmp_path: Path, change: dict[str, object], hint: str) -> None:
    stopped(tmp_path)
    with pytest.raises(StateError, match=hint) as refused:
        keeper(tmp_path, **change)  # type: ignore[arg-type]
    assert "fix: " in str(refused.value)
    keeper(tmp_path).close()


@pytest.mark.parametrize("part", ['"steps": [[0, ', '"faults": []'])
def test_a_state_whose_contents_do_not_fit_is_refused(tmp_path: Path, part: str) -> None:
    stopped(
        tmp_path, lambda line: line.replace(part, {'"faults": []': '"faults": [{"id": "i1"}]'}.get(part, part + "1, "))
    )
    again = keeper(tmp_path)
    with pytest.raises(StateError, match="no state"):
        again.resume(Plant(load_scenario(tmp_path / "plant.toml").plant), Faults())


def test_a_state_and_another_start_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "plant.toml").write_text(SCENARIO)
    arguments = [str(tmp_path / "plant.toml"), "--for", "0", "--state", str(tmp_path / "state")]
    result = CliRunner().invoke(main, ["run", *arguments, "--at", "2026-06-21T04:00Z"])
    assert (result.exit_code, "--at" in result.output) == (2, True)
    assert not (tmp_path / "state").exists()


@dataclass(kw_only=True)
class Heavy(Fault):
    """It remembers a moment, and what it has worked out from it."""

    _since_ms: int = field(default=0, init=False)
    _state: State | None = field(default=None, init=False)


def test_what_a_fault_can_work_out_again_is_not_kept() -> None:
    before, after = Faults(), Faults()
    order = Order("main", ("main",), "heavy", lambda: (Choice("heavy", Heavy()),))
    for registry in (before, after):
        registry.arm(order, injected=False)
    heavy, again = (registry.of("main")[0].choices[0].fault for registry in (before, after))
    assert isinstance(heavy, Heavy)
    assert isinstance(again, Heavy)
    heavy._since_ms, heavy._state = 7, Plant(SPEC).at(7)
    restored(after, json.loads(json.dumps(kept(before))), lambda table: ordered(table, PLACES))
    assert (again._since_ms, again._state) == (7, None)
