"""Endpoints: buses of one endpoint are one line, with one request in flight and one set of shapes. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import fields, replace

from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.wire.errors import FieldbusError
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message

_MAY_DIFFER = {"name", "meters", "host", "tcp_port", "timeout_ms", "port"}
"""What buses of one endpoint may differ in; a time-out goes with its meters."""
_LOCALHOST = {"127.0.0.1", "::1"}
"""What localhost stands for (RFC 6761, 6.3); other addresses of the loopback may be other devices."""


def merge(specs: Sequence[LineSpec]) -> list[LineSpec]:
    """The physical lines behind the buses of a configuration, in their order.

    FieldbusError: buses of one endpoint that contradict each other, or two meters that are asked under one address.
    """
    groups: dict[str, list[LineSpec]] = {}
    for spec in specs:
        groups.setdefault(endpoint_of(spec), []).append(spec)
    lines = [_joined(group) for group in groups.values()]
    for line in lines:
        if line.type in DIALECTS:
            _distinct(line)
    return lines


def endpoint_of(spec: LineSpec) -> str:
    """The port or address of a line, the same for every spelling of it. Names other than localhost are not resolved.
    Lines that share a listener differ in what their DTUs send first."""
    if spec.listen is not None:
        hello = min(spec.hello, default=b"")
        return f"{spec.where} {hello.hex()}" if hello else f"{spec.where} (listening)"
    if spec.host is None:
        return spec.port or spec.name
    return f"{_address(spec.host)}:{spec.tcp_port or 502}"


def _address(host: str) -> str:
    name = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return "localhost" if str(address) in _LOCALHOST else str(address)


def _joined(group: Sequence[LineSpec]) -> LineSpec:
    first, *others = group
    if not others:
        return first
    if first.host is None:
        raise FieldbusError(Message("line-port-twice", bus=first.name, other=others[0].name, where=first.where))
    for other in others:
        for name in (f.name for f in fields(LineSpec) if f.name not in _MAY_DIFFER):
            mine, its = getattr(first, name), getattr(other, name)
            if mine != its:
                raise FieldbusError(
                    Message(
                        "line-settings-differ",
                        bus=first.name,
                        other=other.name,
                        where=first.where,
                        key=name.removesuffix("_ms"),
                        mine=str(mine),
                        its=str(its),
                    )
                )
    meters = tuple(
        replace(meter, timeout_ms=meter.timeout_ms or spec.timeout_ms) for spec in group for meter in spec.meters
    )
    name = f"{first.name}_{others[0].name}" if len(others) == 1 else f"{first.name}_and_{len(others)}_more"
    return replace(first, name=name, meters=meters, timeout_ms=None)


def _distinct(line: LineSpec) -> None:
    taken: dict[Unit, str] = {}
    for meter in line.meters:
        if meter.address in taken:
            other = taken[meter.address]
            raise FieldbusError(
                Message("line-address-twice", meter=meter.name, other=other, unit=meter.address, where=line.where)
            )
        taken[meter.address] = meter.name
