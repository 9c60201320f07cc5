"""How long do scans take, and what do they find? On simulated lines of bits behind device servers (RFC 2217).

``three_units_s``: three meters with odd addresses at 2400 8E1, found and identified (``three_units_found``, and
``three_units_right`` with their profile or a tie that holds it); ``dlt645_s``: a DL/T 645 meter whose number nobody
knows; ``empty_quick_s`` and ``empty_full_s``: the quick pass, and everything, where nothing answers;
``latency_found``: a meter that answers after 400 ms; ``other_master_bytes``: what was sent where another master speaks;
``tcp_converter_s``: 20 units behind a converter that tells of absent ones after 30 ms (``tcp_converter_found``).
Times are those of the scan alone, without the answer life after it. Lines are scanned side by side.
"""

from __future__ import annotations

import asyncio
import random

from benchmarks.commissioning.scan_lines import CONVERTER, SERIAL, Device, simulated
from gateway.commissioning.scan.found import FoundUnit, Step
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions
from gateway.commissioning.scan.tcp_scan import TcpOptions, scan_tcp

SMALLEST = ({"brief": True},)
METERS = ("eastron-sdm630", "vaisala-gmp252", "eastron-sdm120", "abb-b23", "siemens-pac3200", "carlo-gavazzi-em340")
LATEST_MS = 80
UNUSUAL = range(21, 240)
UNITS = 20
OTHER_MASTER = '[[bus.disturb]]\nkind = "second-master"\nunit = {unit}\nevery_ms = 1000\n'
Figures = dict[str, object]


def run(seed: int = 1, brief: bool = False) -> Figures:
    """``seed``: addresses, devices and latencies. ``brief``: each line at its own setting and with few units."""
    return asyncio.run(_all(random.Random(seed), seed, brief=brief))


async def _all(rng: random.Random, seed: int, *, brief: bool) -> Figures:
    cases = (_three_units, _dlt645, _empty, _late, _other_master, _converter)
    parts = await asyncio.gather(*(case(random.Random(rng.random()), seed, brief) for case in cases))
    return {key: value for figures in parts for key, value in figures.items()}


async def _three_units(rng: random.Random, seed: int, brief: bool) -> Figures:
    addresses = rng.sample([unit for unit in UNUSUAL if unit % 2], 3)
    devices = [Device(rng.choice(METERS), unit, rng.randint(5, LATEST_MS)) for unit in sorted(addresses)]
    baudrate = 19200 if brief else 2400
    options = ScanOptions((baudrate,), ("E",), tuple(sorted(addresses))) if brief else ScanOptions()
    async with simulated(SERIAL.format(kind="modbus-rtu", baudrate=baudrate, parity="E"), devices, seed) as line:
        result = await scan_serial(line["url"], options, _go_on)
    found = {unit.address: unit for unit in result.units}
    return {
        "three_units_s": round(result.elapsed_s, 1),
        "three_units_found": len(found),
        "three_units_right": sum(d.address in found and d.profile in _named(found[d.address]) for d in devices),
        "three_units": [f"{d.profile} {d.address} {d.latency_ms} ms" for d in devices],
    }


async def _dlt645(rng: random.Random, seed: int, brief: bool) -> Figures:
    number = f"{rng.randrange(10**12):012}"
    options = ScanOptions((2400,), ("E",)) if brief else ScanOptions()
    bus = SERIAL.format(kind="dlt645", baudrate=2400, parity="E")
    async with simulated(bus, [Device("dlt645-three-phase", number)], seed) as line:
        result = await scan_serial(line["url"], options, _go_on)
    return {
        "dlt645_s": round(result.elapsed_s, 1),
        "dlt645_found": [unit.address for unit in result.units] == [number],
    }


async def _empty(rng: random.Random, seed: int, brief: bool) -> Figures:
    begun, quick = asyncio.get_running_loop().time(), list[float]()

    def progress(step: Step) -> bool:
        if step.doing.code == "scan-every-unit" and not quick:
            quick.append(asyncio.get_running_loop().time() - begun)
        return True

    options = ScanOptions((9600,), units=(7, 8)) if brief else ScanOptions()
    deaf = SERIAL.format(kind="modbus-rtu", baudrate=300, parity="O")
    async with simulated(deaf, [Device(METERS[0], rng.choice(UNUSUAL))], seed) as line:
        begun = asyncio.get_running_loop().time()
        result = await scan_serial(line["url"], options, progress)
    return {
        "empty_quick_s": round(quick[0], 1),
        "empty_full_s": round(result.elapsed_s, 1),
        "empty_found": len(result.units),
        "empty_diagnosis": [message.problem for message in result.diagnosis],
    }


async def _late(rng: random.Random, seed: int, brief: bool) -> Figures:
    unit = rng.choice(UNUSUAL)
    options = ScanOptions((9600,), ("E",), (unit, unit + 1)) if brief else ScanOptions((9600,))
    bus = SERIAL.format(kind="modbus-rtu", baudrate=9600, parity="E")
    async with simulated(bus, [Device(METERS[1], unit, 400)], seed) as line:
        result = await scan_serial(line["url"], options, _go_on)
    return {"latency_found": [one.address for one in result.units] == [unit]}


async def _other_master(rng: random.Random, seed: int, brief: bool) -> Figures:
    device = Device(METERS[0], rng.choice(UNUSUAL))
    options = ScanOptions((9600,)) if brief else ScanOptions()
    bus, other = SERIAL.format(kind="modbus-rtu", baudrate=9600, parity="N"), OTHER_MASTER.format(unit=device.address)
    async with simulated(bus, [device], seed, other) as line:
        result = await scan_serial(line["url"], options, _go_on)
    return {
        "other_master_bytes": result.sent_bytes,
        "other_master_diagnosis": [message.problem for message in result.diagnosis],
    }


async def _converter(rng: random.Random, seed: int, brief: bool) -> Figures:
    units = sorted(rng.sample(range(1, 248), UNITS))
    devices = [Device(rng.choice(METERS), unit, 10) for unit in units[:3] if brief] or [
        Device(rng.choice(METERS), unit, 10) for unit in units
    ]
    asked = [device.address for device in devices if isinstance(device.address, int)]
    options = TcpOptions(tuple(asked)) if brief else TcpOptions()
    async with simulated(CONVERTER, devices, seed) as line:
        result = await scan_tcp(["127.0.0.1"], int(line["port"]), options, _go_on)
    return {
        "tcp_converter_s": round(result.elapsed_s, 1),
        "tcp_converter_found": len({unit.address for unit in result.units} & set(asked)),
    }


def _go_on(step: Step) -> bool:
    return True


def _named(unit: FoundUnit) -> set[str]:
    """What it is said to be: one profile, or those of a tie."""
    return {candidate.profile for candidate in unit.tie or unit.candidates[:1]}
