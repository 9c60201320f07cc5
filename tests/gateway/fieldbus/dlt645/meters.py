"""Small DL/T 645 meters for the fieldbus tests: a function from a request to what goes back and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.devices.places import Identifier
from gateway.devices.points import Point, Profile
from gateway.fieldbus.dlt645.frames import ANSWER, REFUSED, WAKE_UP, Request, encode, frame_length, parse, preamble
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import Device, Sent


def requests(data: bytes) -> tuple[list[Request], bytes]:
    """The whole requests at the head of the bytes, and what is left of these."""
    found: list[Request] = []
    while True:
        rest = data[preamble(data) :]
        length = frame_length(rest)
        if not length or len(rest) < length:
            return found, data
        reply = parse(rest[:length])
        found.append(Request(reply.address, reply.di or ""))
        data = rest[length:]


def answer(request: Request, value: bytes, *, control: int = ANSWER) -> bytes:
    """A right answer: identifier and value, lowest byte first."""
    return WAKE_UP + encode(request.unit, control, bytes.fromhex(request.di)[::-1] + value)


def refuse(request: Request, error: int = 0x02) -> bytes:
    """A refusal with this error byte."""
    return WAKE_UP + encode(request.unit, REFUSED, bytes([error]))


def bcd(number: int, size: int = 4) -> bytes:
    """The digits of a number, lowest first."""
    return bytes.fromhex(f"{number:0{2 * size}}")[::-1]


def holding(values: Mapping[str, bytes]) -> Device:
    """A meter with these values by identifier; it refuses all others."""

    def device(request: Request) -> Sent:
        value = values.get(request.di)
        return [(0.0, refuse(request) if value is None else answer(request, value))]

    return device


def several(meters: Mapping[str, Device]) -> Device:
    """Several meters on one line, by address; others are silent."""
    return lambda request: meters[request.unit](request) if request.unit in meters else []


def profile(*points: Point, identity: tuple[str, ...] = (), timeout_ms: int = 60) -> Profile:
    """A profile of these points."""
    return Profile(
        "test645", "Test", "Test meter", "made up for this test", points, protocol="dlt645", timeout_ms=timeout_ms,
        identity=identity, latency_ms=20,
    )  # fmt: skip


UNITS = {"XXXXXX.XX": "kWh", "XXX.X": "V", "XXX.XXX": "A", "XX.XXXX": "kW"}


def point(name: str, di: str, form: str = "XXXXXX.XX", part: int = 0, *, kind: str = "gauge", **keys: Any) -> Point:
    """A point behind an identifier."""
    return Point(name, Identifier(di, form, part), unit=UNITS.get(form), kind=kind, **keys)


def meter(name: str, address: str, found: Profile, period_ms: int = 500) -> MeterSpec:
    """A meter of a profile."""
    return MeterSpec(name, found, address, period_ms, found.select())


def line(link: object, *meters: MeterSpec, life_ms: int = 300) -> LineSpec:
    """A fast serial line with a short answer life."""
    return LineSpec(
        "line", "dlt645", meters, port=str(link), baudrate=115200, answer_life_ms=life_ms, backoff_cap_ms=1000
    )
