"""DL/T 645 meters of the plant: what they hold, and what faults make of it, without a wire.

Frames are taken apart here by the rules of the standard alone, not by the simulator's codec.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from firmware_sim.meters import dlt645_pdu
from firmware_sim.meters.answer_faults import KINDS, OtherSerial, Torn
from firmware_sim.meters.armed import Armed, When
from firmware_sim.meters.device import Device, Outcome
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.model import Plant, PlantSpec
from gateway.devices.places import Identifier
from gateway.devices.points import Point, Profile

PATIENCE_S = 20
A, B = "123456789012", "680000000068"
POINTS = {
    "energy_import": ("0001FF00", 1, "XXXXXX.XX", "kWh"),
    "energy_import_t1": ("0001FF00", 2, "XXXXXX.XX", "kWh"),
    "voltage_ln_l1": ("0201FF00", 1, "XXX.X", "V"),
    "voltage_ln_l2": ("0201FF00", 2, "XXX.X", "V"),
    "active_power_total": ("02030000", 0, "XX.XXXX", "kW"),
}
PROFILE = Profile(
    "meter", "Test", "Meter", "made up for this test", protocol="dlt645",
    points=tuple(
        Point(name, Identifier(di, form, part), unit=unit) for name, (di, part, form, unit) in POINTS.items()
    ),
)  # fmt: skip
PLANT = PlantSpec(seed=4)


def frame(address: str, control: int, data: bytes = b"") -> bytes:
    """A frame by the standard's rules."""
    moved = bytes((byte + 0x33) % 256 for byte in data)
    body = b"\x68" + bytes.fromhex(address)[::-1] + bytes([0x68, control, len(data)]) + moved
    return body + bytes([sum(body) % 256, 0x16])


def read(address: str, di: str) -> bytes:
    """The request for an identifier."""
    return b"\xfe\xfe\xfe\xfe" + frame(address, 0x11, bytes.fromhex(di)[::-1])


def opened(answer: bytes) -> tuple[str, int, bytes]:
    """Address, control code and data of an answer, whose frame must be right."""
    bare = answer.lstrip(b"\xfe")
    data = bytes((byte - 0x33) % 256 for byte in bare[10:-2])
    address, control = bare[6:0:-1].hex(), bare[8]
    assert frame(address, control, data) == bare
    return address, control, data


def digits(value: bytes, size: int) -> list[str]:
    """The digits of each value of so many bytes."""
    return [value[at : at + size][::-1].hex() for at in range(0, len(value), size)]


def made(**options: object) -> Device:
    """A meter of the plant at rest, with the faults of ``faults``."""
    faults = options.pop("faults", ())
    spec = MeterSpec("m", PROFILE, A, serial="000021043387", start_wh=(1_234_567.0, 0.0))
    meter = Dlt645Meter(spec, Plant(PLANT), lambda t_ms: 1_700_000_000_000 + t_ms, **options)  # type: ignore[arg-type]
    armed = [Armed.of(fault.__class__.__name__, fault, When(), "seed") for fault in faults]  # type: ignore[attr-defined]
    return Device(meter, armed)


def ask(device: Device, di: str, t_ms: int = 10_000) -> Outcome:
    pdu = b"\x11" + bytes.fromhex(di)[::-1]
    return device.ask(A, pdu, t_ms, dlt645_pdu.frame)


def value(device: Device, di: str, t_ms: int = 10_000) -> bytes:
    (delivery,) = ask(device, di, t_ms).deliveries
    address, control, data = opened(delivery.data)
    assert (address, control, data[3::-1].hex().upper()) == (A, 0x91, di)
    return data[4:]


def test_a_block_holds_what_its_values_hold_alone() -> None:
    device = made()
    total, *tariffs = digits(value(device, "0001FF00"), 4)
    assert [total, *tariffs] == [digits(value(device, f"0001{n:02X}00"), 4)[0] for n in range(5)]
    assert sum(map(int, tariffs)) == int(total) >= 123_456
    volts = digits(value(device, "0201FF00"), 2)
    assert volts == [digits(value(device, f"0201{n:02X}00"), 2)[0] for n in (1, 2, 3)]
    assert all(2200 < int(volt) < 2400 for volt in volts)
    power = digits(value(device, "0203FF00"), 3)
    assert power == [digits(value(device, f"0203{n:02X}00"), 3)[0] for n in range(4)]
    readings = ask(device, "0001FF00").deliveries[0].values
    assert readings == {
        "energy_import": f"{Decimal(total) / 100}",
        "energy_import_t1": f"{Decimal(tariffs[0]) / 100}",
    }
    assert list(ask(device, "0201FF00").deliveries[0].values.values()) == [f"{Decimal(v) / 10}" for v in volts[:2]]
    assert list(ask(device, "02010200").deliveries[0].values) == ["voltage_ln_l2"], "a block's point alone"


def test_torn_bytes_are_taken_for_digits_of_two_moments() -> None:
    torn = made(faults=[Torn(age_ms=5000)])
    data = value(torn, "0203FF00")
    new, old = (value(made(), "0203FF00", t_ms) for t_ms in (10_000, 5_000))
    assert data == bytes(a if place % 2 == 0 else b for place, (a, b) in enumerate(zip(new, old, strict=True)))
    power = value(torn, "02030000")
    shown = ask(torn, "02030000").deliveries[0].values["active_power_total"]
    assert power not in (value(made(), "02030000", 10_000), value(made(), "02030000", 5_000))
    assert power[2] & 0x80, "it is delivered"
    assert Decimal(str(shown)) == -Decimal(bytes([power[2] & 0x7F, power[1], power[0]]).hex()) / 10_000


def test_tariffs_never_fall_and_always_add_up() -> None:
    device, before = made(), [0] * 5
    for t_ms in range(0, 300_000, 17_000):
        total, *tariffs = now = [int(text) for text in digits(value(device, "0001FF00", t_ms), 4)]
        assert sum(tariffs) == total
        assert all(new >= old for new, old in zip(now, before, strict=True))
        before = now


def test_delivered_power_has_the_sign_bit() -> None:
    meter = Dlt645Meter(MeterSpec("m", PROFILE, A, measures="hydro"), Plant(PLANT), lambda t_ms: t_ms)
    device = Device(meter)
    raw = value(device, "02030000")
    assert raw[2] & 0x80
    reading = ask(device, "02030000").deliveries[0].values["active_power_total"]
    assert Decimal(str(reading)) == -Decimal(bytes([raw[2] & 0x7F, raw[1], raw[0]]).hex()) / 10_000


def test_who_it_is_and_what_time_it_has() -> None:
    device = made()
    assert value(device, "04000402")[::-1].hex() == "000021043387"
    assert value(device, "04000401")[::-1].hex() == A
    (answer,) = device.ask(A, b"\x13", 0, dlt645_pdu.frame).deliveries
    assert opened(answer.data) == (A, 0x93, bytes.fromhex(A)[::-1])
    now = datetime.fromtimestamp(1_700_000_010, timezone(timedelta(hours=8)))
    assert value(device, "04000101")[::-1].hex() == f"{now:%y%m%d}{now.isoweekday() % 7:02}" == "23111503"
    assert value(device, "04000102")[::-1].hex() == f"{now:%H%M%S}"
    demand, at = value(device, "01010000")[:3], value(device, "01010000")[3:]
    assert demand == value(device, "01010000", 90_000)[:3]
    assert at[::-1].hex() == "2311150613"


def test_a_single_phase_meter_has_shorter_blocks() -> None:
    device = made(single_phase=True)
    assert len(value(device, "0201FF00")) == 2
    assert len(value(device, "0203FF00")) == 6
    assert len(value(device, "0001FF00")) == 20
    assert ask(device, "02010200").exception == 0x02


def test_what_it_refuses_and_what_goes_on() -> None:
    device = made(refuses=["0201FF00"], goes_on=["0001FF00"])
    for di in ("0201FF00", "0FFFFF00"):
        assert ask(device, di).exception == 0x02
        assert opened(ask(device, di).deliveries[0].data) == (A, 0xD1, b"\x02")
    _, control, data = opened(ask(device, "0001FF00").deliveries[0].data)
    assert (control, len(data)) == (0xB1, 4 + 3 * 4)
    assert data[4:8] == value(device, "00010000")


@pytest.mark.parametrize("control", [0x08, 0x12, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C])
def test_all_that_writes_is_refused(control: int) -> None:
    (delivery,) = made().ask(A, bytes([control]) + bytes(8), 0, dlt645_pdu.frame).deliveries
    assert opened(delivery.data) == (A, control | 0xC0, b"\x01")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pdu", ["1100000100", "1100ff0001", "13", "140000010001020304", "11"])
def test_faults_bear_any_request(kind: str, pdu: str) -> None:
    fault = OtherSerial(serial="000000000001") if kind == "other-serial" else KINDS[kind]()
    device = made(faults=[fault])
    for t_ms in (0, 400):
        assert device.ask(A, bytes.fromhex(pdu), t_ms, dlt645_pdu.frame).asked.pdu == bytes.fromhex(pdu)


def test_faults_speak_the_protocol() -> None:
    right = value(made(), "00010000")

    def answered(kind: str, di: str = "00010000", **keys: object) -> tuple[str, int, bytes]:
        outcome = ask(made(faults=[KINDS[kind](**keys)]), di)
        assert outcome.deliveries[0].values == {} or kind in ("other-serial", "zero-counters")
        return opened(outcome.deliveries[0].data)

    di = bytes.fromhex("00010000")[::-1]
    assert answered("exception", code=4) == (A, 0xD1, b"\x04")
    assert answered("wrong-exception") == (A, 0xD4, b"\x02")
    assert answered("wrong-unit") == ("123456789013", 0x91, di + right)
    assert answered("wrong-function") == (A, 0x92, di + right)
    assert answered("wrong-di") == (A, 0x91, b"\x01" + di[1:] + right)
    assert answered("wrong-count", registers=-1) == (A, 0x91, di + right[:2])
    assert answered("wrong-count", registers=1) == (A, 0x91, di + right + bytes(2))
    assert answered("zero-counters") == (A, 0x91, di + bytes(4))
    assert answered("other-serial", "04000402", serial="000000000077", point="04000402")[2][4:] == b"\x77" + bytes(5)


def test_a_stuck_clock_stands_still_and_values_move_on() -> None:
    device = made(faults=[KINDS["stuck-clock"]()])
    first = [value(device, di, 0) for di in ("04000101", "04000102")]
    assert [value(device, di, 600_000) for di in ("04000101", "04000102")] == first
    assert value(device, "0201FF00", 0) != value(device, "0201FF00", 600_000)
    assert value(made(), "04000102", 600_000) != first[1]
