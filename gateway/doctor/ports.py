"""Doctor check of the lines: their serial ports and hosts, and what the running gateway reports of them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.commissioning import line_specs
from gateway.doctor.finding import CheckContext, Finding, at_once, connect
from gateway.errors import GatewayError
from gateway.fieldbus.line import holds
from gateway.fieldbus.modbus import serial_port
from gateway.fieldbus.specs import LineSpec


def ports(case: CheckContext) -> Iterator[Finding]:
    """Whether every line's port or host is there."""
    specs = line_specs.line_specs(case.config)
    alarms = case.store.alarms.open() if case.store is not None and case.pid is not None else []
    for spec, finding in zip(specs, at_once(lambda spec: _port(case, spec), specs), strict=True):
        told = [row.text for row in alarms if row.active and not row.shelved and row.line == spec.name]
        if told and finding.result == "ok":
            yield Finding(finding.check, "warn", f"{finding.text}; it says: {told[0]}", "see `meterseal status CONFIG`")
        else:
            yield finding


def _port(case: CheckContext, spec: LineSpec) -> Finding:
    name = f"line {spec.name}"
    if spec.port is None:
        return _host(case, name, spec)
    if holds(case.pid, spec):
        text = f"{spec.port} is open, by the gateway (pid {case.pid})"
    else:
        try:
            serial_port.check(spec.port)
        except GatewayError as error:
            return Finding(name, "bad", error.problem, error.way_out)
        text = f"{spec.port} is there and free"
    if warning := serial_port.warning(spec.port):
        return Finding(name, "warn", f"{text}. {warning}", "ls -l /dev/serial/by-id /dev/serial/by-path")
    return Finding(name, "ok", text)


def _host(case: CheckContext, name: str, spec: LineSpec) -> Finding:
    where = f"{spec.host} port {spec.tcp_port}"
    if case.pid is not None:
        return Finding(name, "ok", f"{where} is left to the running gateway: many converters take one connection only")
    problem = connect(str(spec.host), int(spec.tcp_port or 0))
    if problem:
        way_out = "look at power, network and address; `meterseal check` shows what is configured"
        return Finding(name, "bad", f"{where} cannot be reached: {problem}", way_out)
    return Finding(name, "ok", f"{where} takes connections")
