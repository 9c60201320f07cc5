"""Readers of the catalog's devices: the gateway's own lines, and mbpoll and pysunspec2, which are not ours."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.commissioning.catalog_plant import ORDER, RATIO, Device, ratios
from gateway.acquisition import line_use
from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.devices.points import Point
from gateway.startup.line_specs import line_spec

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests" / "interop" / "sunspec" / "foreign_client.py"
HOST = "127.0.0.1"
NUMBERS = {
    "uint16": "",
    "bits16": "",
    "enum16": "",
    "int16": ":int16",
    "uint32": ":int",
    "int32": ":int",
    "float32": ":float",
}
"""Types that mbpoll decodes itself, with what it calls them."""
PRINTED = Decimal("1e-5")
"""What mbpoll prints of a float has six digits."""
_LINE = re.compile(r"^\[(\d+)\]:\s+(-?[\d.]+(?:e[+-]?\d+)?|-?nan|-?inf)", re.MULTILINE)


def by_gateway(config_path: Path) -> dict[str, dict[str, Any]]:
    """By meter the values of one poll, as the gateway would record them."""
    config, clock = load_config(config_path), Clock()
    found: dict[str, dict[str, Any]] = {}
    for bus in config.document.bus:
        spec = line_spec(config, bus)
        polls = asyncio.run(line_use.poll_by_hand(config, spec, [meter.name for meter in spec.meters], clock))
        for poll in polls:
            reading = Poller(config.meters, clock, lambda _: None, config.profiles).reading(poll)
            found[poll.meter] = {value.name: value.value for value in reading.values}
    return found


def for_mbpoll(device: Device) -> list[Point]:
    """The points of a device whose value is one that mbpoll prints, times a power of ten and constant ratios."""
    plain = {*ratios(device.profile), *device.profile.factors}
    return [
        point
        for point in device.profile.points
        if (point.type in NUMBERS or point.type == "bit")
        and point.name in device.points
        and set(point.factor_from) <= plain
        and not (point.bits or point.sum or point.scale_from or point.sign_from or point.span or point.offset)
        and not point.from_unit
        and point.byte_order == "big"
    ]


def by_mbpoll(device: Device, port: int) -> dict[str, Decimal | None]:
    """The values of a device, as mbpoll reads and decodes its registers."""
    groups: dict[tuple[int, str, str], list[Point]] = {}
    for point in for_mbpoll(device):
        order = ORDER if point.name in device.profile.word_order_unsaid else point.word_order
        groups.setdefault((point.fc, NUMBERS.get(point.type, ""), order), []).append(point)
    found: dict[str, Decimal | None] = {}
    for (fc, kind, order), points in groups.items():
        table = {1: "0", 2: "1", 3: "4", 4: "3"}[fc]
        where = ",".join(str(point.address) for point in points)
        words = ["mbpoll", "-m", "tcp", "-p", port, "-a", device.number, "-t", f"{table}{kind}", "-0", "-1", "-q"]
        words += [*(["-B"] if order == "big" else []), "-c", 1, "-r", where, HOST]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        printed = {int(address): text for address, text in _LINE.findall(done.stdout)}
        for point in points:
            if point.address not in printed:
                raise RuntimeError(f"mbpoll did not read {device.name}: {done.stdout}{done.stderr}")
            found[point.name] = _value(point, printed[point.address], ratios(device.profile))
    return found


def _value(point: Point, text: str, in_registers: set[str]) -> Decimal | None:
    """What a printed register means, by the arithmetic that a reader of the profile would do on paper."""
    if text.strip("-").isalpha():
        return None
    raw = Decimal(text)
    if int(raw) % 2 ** (16 * point.registers) in point.not_available and raw == int(raw):
        return None
    if point.type == "uint32":
        raw %= 2**32
    times = Decimal(RATIO) ** len([name for name in point.factor_from if name in in_registers or name in ("ct", "pt")])
    return raw.scaleb(point.scale) * Decimal(str(point.factor or 1)) * times


def differing(device: Device, theirs: Mapping[str, Decimal | None], ours: Mapping[str, Any]) -> list[str]:
    """The points for which another reader has another value than we have."""
    found = []
    for name, value in theirs.items():
        point, our_value = device.profile.point(name), ours.get(name)
        if value is None or our_value is None:
            same = value is our_value
        else:
            least = abs(value) * PRINTED if point.type == "float32" else Decimal(0)
            same = abs(value - Decimal(str(int(our_value) if isinstance(our_value, bool) else our_value))) <= least
        if not same:
            found.append(name)
    return found


def by_pysunspec2(device: Device, port: int) -> dict[str, Any]:
    """The values of a SunSpec device, as pysunspec2 finds, reads and scales them."""
    python = Path(os.environ.get("METERSEAL_SUNSPEC_PYTHON", ROOT / ".venv-sunspec" / "bin" / "python"))
    if not python.exists():
        raise RuntimeError("there is no pysunspec2: scripts/bench catalog and scripts/test install it")
    command = [str(python), str(CLIENT), HOST, str(port), str(device.number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pysunspec2 did not read {device.name}: {done.stderr}")
    return {point.name: value for point, value in _placed(device, json.loads(done.stdout))}


def _placed(device: Device, models: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Point, Any]]:
    instead = {row[0]: device.model for row in device.profile.same_layout}
    for name in device.points:
        point = device.profile.point(name)
        model = instead.get(point.model or 1, point.model)
        yield point, models[str(model)][str(point.address)]


def differs_in_sunspec(device: Device, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The points for which pysunspec2 has another value than we have: it computes in double precision."""
    return [name for name, value in theirs.items() if not _alike(value, ours.get(name))]


def _alike(value: Any, our_value: Any) -> bool:
    if isinstance(value, str) or value is None or our_value is None:
        return bool((value.rstrip() if isinstance(value, str) else value) == our_value)
    return abs(float(value) - float(our_value)) <= 1e-9 * abs(float(value))


def chosen(found: Sequence[Device], names: Sequence[str]) -> list[Device]:
    """The devices with these profiles."""
    return [device for device in found if device.profile.name in names]
