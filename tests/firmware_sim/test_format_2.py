"""Profiles of format 2 on the simulator: its registers by hand, and read by the gateway over a real wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.meters.packing import Value
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec, Mismatch
from firmware_sim.plant.model import Plant, PlantSpec
from gateway.devices.decode import decode_points
from gateway.devices.points import Profile
from gateway.devices.profile import parse_profile
from tests.firmware_sim.sim_bench import running, scenario
from tests.support.commands import gateway_command

PLANT = Plant(PlantSpec(seed=9))
ABOUT = 'vendor = "V"\ndevice = "D"\nsource = "S"\nmax_gap = 9\n'
EXAMPLE = re.search(
    r"```toml\nformat = 2\n(.+?)```", (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(), re.DOTALL
)


def profile_of(points: str) -> Profile:
    return parse_profile(f"format = 2\n{ABOUT}[defaults]\nfc = 3\n[points]\n{points}", "own", "own.toml")


def shown(points: str, show: Mapping[str, float | str], **spec: object) -> tuple[tuple[int, ...], dict[str, Value]]:
    """The registers from the first to the last, and the log's readings; the gateway decodes what the log promises."""
    profile = profile_of(points)
    device = Meter(MeterSpec("m", profile, 1, show=show, **spec), PLANT)  # type: ignore[arg-type]
    last = max(p.end for p in profile.points)
    reply = device.read(3, 0, last, 4321)
    read = decode_points([(p, reply.registers[p.address : p.end]) for p in profile.points], spec.get("factors"))  # type: ignore[arg-type]
    for name, decoded in read.items():
        promised = reply.values[name]
        assert decoded.value == (Decimal(promised) if isinstance(promised, str) and name != "text" else promised), name
    assert reply.taken is not None
    assert reply.taken(reply.registers) == reply.values
    return reply.registers, reply.values


ONE = "p = { address = 0, "


@pytest.mark.parametrize(
    ("points", "value", "registers"),
    [
        (ONE + 'type = "bcd16", unit = "V" }', 1234, [0x1234]),
        (ONE + 'type = "bcd32", unit = "V", scale = -2, word_order = "little" }', 123456.78, [0x5678, 0x1234]),
        (ONE + 'type = "bcd64", unit = "V" }', 1, [0, 0, 0, 1]),
        (ONE + 'type = "uint48", unit = "V" }', 2**32 + 2 * 2**16 + 3, [1, 2, 3]),
        (ONE + 'type = "int48", unit = "V", byte_order = "little" }', -2, [0xFFFF, 0xFFFF, 0xFEFF]),
        (ONE + 'type = "float32", unit = "V", byte_order = "little" }', 123.456, [0xF642, 0x79E9]),
        (ONE + 'type = "float32", unit = "V", byte_order = "little", word_order = "little" }', 123.456,
         [0x79E9, 0xF642]),
        (ONE + 'type = "uint16", unit = "V", bits = [4, 7] }', 12, [0x00C0]),
        (ONE + 'type = "uint16", unit = "Cel", scale = -1, offset = -40 }', 25.2, [652]),
        (ONE + 'type = "uint16", unit = "m3/s", factor = "1/3600" }', 1, [3600]),
        (ONE + 'type = "uint16", unit = "m3/s", from_unit = "m3/h" }', 2, [7200]),
        (ONE + 'type = "uint16", unit = "Cel", from_unit = "degF" }', 100, [212]),
        (ONE + 'type = "uint16", unit = "Cel", from_unit = "K", scale = -2 }', 0, [27315]),
        (ONE + 'type = "uint16", unit = "kWh", kind = "counter", from_unit = "GJ", scale = -2 }', 1000, [360]),
        (ONE + 'type = "uint16", unit = "m3/s", scale = -3, span = { from = [4, 20], to = [0, 250], fault = false } }',
         125, [12000]),
        (ONE + 'type = "uint16", unit = "m3/s", scale = -3, span = { from = [4, 20], to = [250, 0], fault = false } }',
         250, [4000]),
        (ONE + 'type = "int16", unit = "V", factor = "1/3" }', -4, [0xFFF4]),
        ('text = { address = 0, type = "string", registers = 2, chars = "low" }', "AB", [0x41, 0x42]),
        ('text = { address = 0, type = "string", registers = 2, chars = "high" }', "AB", [0x4100, 0x4200]),
        ('text = { address = 0, type = "string", registers = 2, byte_order = "little" }', "ABCD", [0x4241, 0x4443]),
    ],
)  # fmt: skip
def test_registers_hold_what_the_profile_says(points: str, value: float | str, registers: list[int]) -> None:
    name = points.split()[0]
    assert list(shown(points, {name: value})[0]) == registers


TYPES = ("uint16", "int32", "uint48", "int48", "uint64", "bcd16", "bcd48", "bcd64", "float32", "float64")
STEPS = (
    "", "scale = -3", 'factor = "7/3"', "offset = -40", 'factor = -0.5, offset = "1/3"',
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(TYPES), st.sampled_from(["big", "little"]), st.sampled_from(["big", "little"]),
    st.sampled_from(STEPS), st.floats(-1e6, 1e6),
)  # fmt: skip
def test_the_gateway_reads_what_the_log_promises(
    type_: str, byte_order: str, word_order: str, steps: str, value: float
) -> None:
    keys = f'type = "{type_}", unit = "V", byte_order = "{byte_order}", word_order = "{word_order}", {steps}'
    keys = f"not_available = [{2 ** int(type_[-2:]) - 1}], {keys}"
    _, values = shown(f"{ONE}{keys.rstrip(', ')} }}", {"p": value})
    promised = values["p"]
    if promised is not None and not type_.startswith("float"):
        assert abs(Decimal(str(promised)) - Decimal(value)) <= Decimal("1.17"), "half a step of 7/3"


SIGNED = """
ratio = { address = 0, type = "uint16", kind = "scale" }
places = { address = 1, type = "int16", kind = "scale" }
negative = { address = 2, type = "uint16", kind = "scale", bits = [15, 15] }
power = { address = 2, type = "uint16", unit = "W", bits = [0, 14], factor_from = "ratio", scale_from = "places",
          sign_from = "negative" }
""".replace("\n          ", " ")


@pytest.mark.parametrize(("power", "word"), [(-100, 0x8000 + 25), (100, 25), (0, 0)])
def test_ratio_exponent_and_sign_stand_in_registers(power: int, word: int) -> None:
    registers, values = shown(SIGNED, {"ratio": 40, "places": -1, "power": power})
    assert registers == (40, 0xFFFF, word)
    assert Decimal(str(values["power"])) == power
    assert shown(SIGNED, {"power": 7})[0] == (1, 0, 7), "without show a ratio is 1, an exponent 0"
    assert shown(SIGNED, {"ratio": 0, "power": 7})[1]["power"] is None


SUM = """
high = { address = 0, type = "bcd32", kind = "part", scale = 3 }
low = { address = 2, type = "uint16", kind = "part" }
energy = { sum = ["high", "low"], unit = "kWh", kind = "counter", wraps_at = 100000000000 }
"""


@pytest.mark.parametrize(
    ("energy", "registers"),
    [(12345678901, (0x1234, 0x5678, 901)), (999.6, (0, 1, 0)), (10**12, (0xFFFF, 0xFFFF, 0))],
)
def test_a_sum_is_laid_out_in_its_parts(energy: float, registers: tuple[int, ...]) -> None:
    found, values = shown(SUM, {"energy": energy})
    assert found == registers
    assert values == {"energy": None if energy == 10**12 else str(round(energy))}


def test_a_signal_beyond_its_limits_has_no_reading() -> None:
    span = "span = { from = [4, 20], to = [0, 250], fault = [3.6, 21] }"
    points = f'p = {{ address = 0, type = "uint16", unit = "m3/s", scale = -3, {span} }}'
    assert shown(points, {"p": 300})[1] == {"p": None}
    assert shown(points, {"p": 255})[1] == {"p": "255"}


@pytest.mark.parametrize(
    ("points", "show", "key"),
    [
        (ONE + 'type = "uint16", unit = "V", bits = [0, 3], not_available = [15] }', {}, "points.p.bits"),
        (ONE + 'type = "uint16", unit = "V", bits = [0, 3] }\nq = { address = 0, type = "uint16", unit = "V" }', {},
         "points.p.bits"),
        (ONE + 'type = "uint16", unit = "V", span = { from = [0, 20], to = [1, 1] } }', {}, "points.p.span"),
        (SUM.replace('"uint16"', '"float32"'), {}, "points.low.kind"),
        (SUM.replace('"part" }', '"part", offset = 1 }'), {}, "points.low.kind"),
        (SUM + SUM.splitlines()[-1].replace("energy", "again"), {}, "points.high.kind"),
        (SIGNED, {"negative": 1}, "show.negative"),
        (SIGNED, {"ratio": "frequency"}, "show.ratio"),
        (SIGNED, {"ratio": 70000}, "show.ratio"),
    ],
)  # fmt: skip
def test_what_is_not_simulated_is_refused_by_point_and_key(points: str, show: dict[str, float], key: str) -> None:
    with pytest.raises(Mismatch) as mismatch:
        Meter(MeterSpec("m", profile_of(points), 1, show=show), PLANT)
    assert mismatch.value.key == key
    if key.startswith("points."):
        assert mismatch.value.problem.startswith("this key is not simulated")


def test_the_example_of_the_handbook_is_read_from_the_simulator_as_the_plants_quantities(tmp_path: Path) -> None:
    assert EXAMPLE is not None
    (tmp_path / "own.toml").write_text(f"format = 2\n{ABOUT}{EXAMPLE[1]}")
    meter = """
  [[bus.meter]]
  name = "own"
  profile = "own.toml"
  address = 3
  energy_import_kwh = 987654321
  show = { energy = "energy_import", power = "active_power_total", ratio = 40, flow = 125.004, gas = 0.5 }
"""
    with running(scenario(tmp_path, tcp=meter)) as bench:
        bus = f'[gateway]\nid = "g"\n[[bus]]\nname = "b"\ntype = "modbus-tcp"\nhost = "{bench.tcp[0]}"\n'
        bus_meter = '[[bus.meter]]\nname = "own"\naddress = 3\nprofile = "own.toml"\n'
        (tmp_path / "gateway.toml").write_text(f"{bus}port = {bench.tcp[1]}\n{bus_meter}")
        done = gateway_command("read", tmp_path / "gateway.toml", "own", "--json")
        assert done.code == 0, done.output
        logged = [line for line in bench.log() if line["meter"] == "own"]
    values = {value["name"]: Decimal(str(value["value"])) for value in done.facts["values"]}
    promised = {name: value for line in logged for name, value in line["values"].items()}
    assert values == {name: Decimal(str(value)) for name, value in promised.items() if name != "ratio"}
    at_ms = {name: line["at_ms"] for line in logged for name in line["values"]}
    flows = {name: Plant(PlantSpec()).at(ms).flows["grid"] for name, ms in at_ms.items()}
    assert abs(values["power"] - Decimal(sum(flows["power"].watts)) / 1000) <= Decimal("0.02"), "half of 40 thousandths"
    assert abs(values["energy"] - 987654321 - Decimal(sum(flows["energy"].imported_wh)) / 1000) <= Decimal("0.5")
    assert abs(values["flow"] - Decimal("125.004")) <= Decimal("0.0079"), "half a thousandth of 16 is 250/32000"
    assert values["gas"] == Decimal("0.5")
