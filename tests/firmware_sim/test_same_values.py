"""Same seed, same values: what the plants of today show, at moments that are also asked for backwards.

A change of these hashes is a change of what every user's scenario shows, whatever else it brings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.p1_meter import P1Meter
from firmware_sim.meters.pdu import Refused
from firmware_sim.meters.register_image import Meter, Reply
from firmware_sim.meters.register_map import Layout, MeterSpec
from firmware_sim.plant.model import PLACES, Plant
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.load import Scenario, load_scenario
from firmware_sim.scenario.p1_schema import P1Table

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
MOMENTS = (0, 1, 999, 1000, 1001, 36_500, 61_250, 119_999, 120_000, 151_333, 299_999, 331_017)
BACKWARDS = (151_333, 331_017, 1)
EPOCH_MS = 1_780_000_000_000

SUNRISE = """
[plant]
seed = 7
start_hour = 5.97             # the battery charges until 6, and discharges from then on
load_kw = 40.0
pv_kw = 25.0
hydro_kw = 12.0
[plant.stack]
fuel_kg_h = 5000
stops = [[60, 130], [290, 400]]
[plant.battery]
kw = 30
kwh = 1.5                     # so it meets both of its ends
charged = 0.9
[[bus]]
name = "meters"
type = "modbus-tcp"
port = 0
{meters}
[[bus]]
name = "line"
type = "dlt645"
port = "line"
  [[bus.meter]]
  name = "dlt645"
  profile = "dlt645-three-phase"
  address = "000021043387"
  measures = "load"
  energy_import_kwh = 1234.5
[[bus]]
name = "cems"
type = "hj212"
port = 9001
  [[bus.meter]]
  name = "stack"
  address = "010000A8900016F000169DC0"
[[bus]]
name = "p1"
type = "p1"
port = 0
  [[bus.meter]]
  name = "p1"
  address = "0-0"
  energy_import_kwh = 100
"""
ROWS = (
    *(("eastron-sdm630", f'measures = "{place}"') for place in PLACES),
    ("sunspec-meter", "reversed = true"),
    ("sunspec-inverter", ""),
    ("vaisala-gmp252", ""),
    ("fox-ft2a", ""),
    ("huawei-sun2000", ""),
    ("sick-marsic300", ""),
    (str(CONFIGS / "month/battery-meter.toml"), 'measures = "battery"\n  show = { charge = "energy_import" }'),
    (str(CONFIGS / "coal-and-hydro/coal-unit.toml"), 'show = { co2 = "stack_co2", mass_total = "fuel_weight" }'),
)

PINNED = {
    "demo": {
        "plant": "81f35d5b1b558671",
        "export-main": "b479235c2da48a5d",
        "stack-co2": "a51dc652a992cc13",
        "pv-inverter": "5284bb510fee9ee7",
    },
    "month": {
        "plant": "2c015ea666b6ee48",
        "hydro": "9caddf16d18e3b83",
        "unit": "8909b4103a4e3eb0",
        "factory": "1c102bcb2387cf26",
        "battery": "c51cdaf542e3b56a",
    },
    "coal-and-hydro": {
        "plant": "2aaf51fb12361252",
        "hydro": "108c9f1f59c93621",
        "unit": "bed88c017ce0249e",
        "auxiliary": "f2b993327b4a77bb",
    },
    "sunrise": {
        "plant": "65623c3a0fc4548d",
        "eastron-sdm630-1": "23042ab77160a3e7",
        "eastron-sdm630-2": "28402070fdb34f3c",
        "eastron-sdm630-3": "389819de8c836f65",
        "eastron-sdm630-4": "e07b508db4484426",
        "eastron-sdm630-5": "be05fc4ab8422127",
        "sunspec-meter-6": "ef87e06735f53580",
        "sunspec-inverter-7": "710a926ef78c9e8e",
        "vaisala-gmp252-8": "37cb5c940b210940",
        "fox-ft2a-9": "97f4d0ba8f6f5fa2",
        "huawei-sun2000-10": "55da8a37375be52f",
        "sick-marsic300-11": "b3835ba466fee040",
        "battery-meter-12": "ec8a40f612b42030",
        "coal-unit-13": "f45ea26747871d52",
        "dlt645": "9c9896294148e626",
        "stack": "85a3fa9c1f9fc7cc",
        "p1": "83837f47eb2f3b1c",
    },
}


def sunrise(folder: Path) -> Path:
    meters = "".join(
        f'  [[bus.meter]]\n  name = "{Path(profile).stem}-{n}"\n  profile = "{profile}"\n  address = {n}\n  {keys}\n'
        for n, (profile, keys) in enumerate(ROWS, 1)
    )
    path = folder / "sunrise.toml"
    path.write_text(SUNRISE.format(meters=meters))
    return path


def rounded(values: Iterable[float]) -> str:
    """To nine digits: more is a matter of the machine's library of mathematics."""
    return " ".join(f"{value:.9g}" for value in values)


def physics(plant: Plant, t_ms: int) -> str:
    """A state, of everything that it held when the first plants were pinned."""
    state = plant.at(t_ms)
    texts = [rounded([state.hertz, *state.thd, state.co2_ppm, state.gas_c, state.charge])]
    for place in PLACES:
        flow = state.flows[place]
        energies = (*flow.imported_wh, *flow.exported_wh, *flow.imported_varh, *flow.exported_varh)
        texts.append(rounded((*flow.volts, *flow.watts, *flow.vars, *energies)))
    inverter, stack = state.inverter, state.stack
    texts.append(rounded((inverter.dc_watts, inverter.dc_volts, inverter.cabinet_c, inverter.sink_c, inverter.state)))
    gas = (stack.gas.co2, stack.gas.o2, stack.gas.inert, stack.gas.h2o)
    texts.append(rounded((stack.fuel_kg, stack.firing_w, *gas, stack.co2, stack.o2, stack.h2o)))
    texts.append(rounded((stack.flow_m3_s, stack.gas_c, stack.pressure_pa)))
    return "\n".join(texts)


def reads(spec: MeterSpec) -> list[tuple[int, int, int]]:
    """Reads of whole points, one behind the other, that together ask for all of a meter's points."""
    found: list[tuple[int, int, int]] = []
    for cell in sorted((s.cell for s in Layout(spec).cells if s.cell.name), key=lambda c: (c.fc, c.address)):
        fc, address, count = found[-1] if found else (0, 0, 0)
        whole = cell.end - address
        if cell.fc == fc and cell.address <= address + count and whole <= min(60, spec.profile.max_registers):
            found[-1] = (fc, address, max(count, whole))
        else:
            found.append((cell.fc, cell.address, cell.registers))
    return found


def registers(meter: Meter, cells: list[tuple[int, int, int]], t_ms: int) -> str:
    """What each point of a meter shows, and its registers."""

    def read(fc: int, address: int, count: int) -> Reply | int:
        try:
            return meter.read(fc, address, count, t_ms)
        except Refused as refused:
            return refused.code

    return "\n".join(str(read(*cell)) for cell in cells)


def telegram(port: P1Meter, t_ms: int) -> str:
    return port.telegram(t_ms).decode()


def instruments(station: Station, t_ms: int) -> str:
    return str(station.moment(t_ms))


def identifiers(meter: Dlt645Meter, t_ms: int) -> str:
    return "\n".join(str(meter.read(di, t_ms)) for di in ("0001FF00", "0203FF00", "01010000"))


def showing(scenario: Scenario, plant: Plant) -> Iterator[tuple[str, Callable[[int], str]]]:
    """By the name of each meter, what it shows at a moment."""
    for bus in scenario.buses:
        if isinstance(bus, P1Table):
            yield bus.name, partial(telegram, P1Meter(bus.spec(), plant, EPOCH_MS.__add__))
        elif isinstance(bus, Hj212Table):
            for logger in bus.meter:
                yield logger.name, partial(instruments, Station(logger.spec(), plant))
        elif isinstance(bus, Dlt645Table):
            for table in bus.meter:
                spec = table.spec(scenario.profiles[table.name])
                yield table.name, partial(identifiers, Dlt645Meter(spec, plant, EPOCH_MS.__add__))
        else:
            for row in bus.meter:
                spec = row.spec(scenario.profiles[row.name], bus.codes(row))
                yield row.name, partial(registers, Meter(spec, plant), reads(spec))


def shown(path: Path) -> dict[str, str]:
    """Of each meter, and of the plant itself, a hash of what stands there at all moments."""
    scenario = load_scenario(path)
    plant = Plant(scenario.plant)
    found: dict[str, str] = {}
    sources: dict[str, Callable[[int], str]] = {"plant": partial(physics, plant), **dict(showing(scenario, plant))}
    for t_ms in (*MOMENTS, *BACKWARDS):
        for name, source in sources.items():
            found[name] = found.get(name, "") + source(t_ms) + "\n"
    return {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in found.items()}


@pytest.mark.parametrize("name", ["demo", "month", "coal-and-hydro", "sunrise"])
def test_a_plant_shows_what_it_always_showed(tmp_path: Path, name: str) -> None:
    path = sunrise(tmp_path) if name == "sunrise" else CONFIGS / name / "plant.toml"
    assert shown(path) == PINNED[name]
