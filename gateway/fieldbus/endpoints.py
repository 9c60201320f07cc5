"""Several buses of one endpoint are one line: one request in flight, one set of shapes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import fields, replace

from gateway.fieldbus.errors import FieldbusError
from gateway.fieldbus.spec import LineSpec

_OWN = {"name", "meters", "host", "tcp_port", "timeout_ms", "port"}
"""What buses of one endpoint may differ in; a time-out goes with its meters."""


def merge(specs: Sequence[LineSpec]) -> list[LineSpec]:
    """The physical lines behind the buses of a configuration, in their order.

    FieldbusError: buses of one endpoint that contradict each other, or two meters with one unit address on it.
    """
    groups: dict[object, list[LineSpec]] = {}
    for spec in specs:
        groups.setdefault(_endpoint(spec), []).append(spec)
    lines = [_joined(group) for group in groups.values()]
    for line in lines:
        _distinct(line)
    return lines


def _endpoint(spec: LineSpec) -> object:
    if spec.host is None:
        return spec.port or spec.name
    try:
        host = str(ipaddress.ip_address(spec.host))
    except ValueError:
        host = spec.host.rstrip(".").lower()
    return host, spec.tcp_port or 502


def _joined(group: Sequence[LineSpec]) -> LineSpec:
    first, *others = group
    if not others:
        return first
    if first.host is None:
        raise FieldbusError(
            f"{first.name} and {others[0].name}: both have the port {first.where}",
            "put their meters under one [[bus]], or give one of them its own port",
        )
    for other in others:
        for name in (f.name for f in fields(LineSpec) if f.name not in _OWN):
            mine, its = getattr(first, name), getattr(other, name)
            if mine != its:
                raise FieldbusError(
                    f"{first.name} and {other.name}: both lead to {first.where} and are one line, but "
                    f"{name.removesuffix('_ms')} is {mine} in one and {its} in the other",
                    "give both the same, or put their meters under one [[bus]]",
                )
    meters = tuple(
        replace(meter, timeout_ms=meter.timeout_ms or spec.timeout_ms) for spec in group for meter in spec.meters
    )
    name = f"{first.name}_{others[0].name}" if len(others) == 1 else f"{first.name}_and_{len(others)}_more"
    return replace(first, name=name, meters=meters, timeout_ms=None)


def _distinct(line: LineSpec) -> None:
    taken: dict[int, str] = {}
    for meter in line.meters:
        if meter.address in taken:
            raise FieldbusError(
                f"{meter.name} and {taken[meter.address]}: both have the unit address {meter.address} on {line.where}",
                "give each the address that is set at the meter",
            )
        taken[meter.address] = meter.name
