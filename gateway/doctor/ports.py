"""Doctor check of the lines: serial ports, hosts, listeners, and what the running gateway reports of them."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.commissioning import line_specs
from gateway.doctor.check import CheckContext, Finding, at_once, connect, error_message
from gateway.errors import GatewayError
from gateway.fieldbus.open_line import check_port, holds, tls_context
from gateway.fieldbus.wire import serial_port
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.process import tcp_table


def ports(case: CheckContext) -> Iterator[Finding]:
    """Check the port or host of every line, and its active alarms."""
    specs = line_specs.line_specs(case.config)
    alarms = case.store.alarms.open() if case.store is not None and case.pid is not None else []
    for spec, finding in zip(specs, at_once(lambda spec: _port(case, spec), specs), strict=True):
        told = [row.said for row in alarms if row.active and not row.shelved and row.line == spec.name]
        if told and finding.result == "ok":
            yield Finding(finding.check, "warn", Message("port-with-alarm", found=finding.message, alarm=told[0]))
        else:
            yield finding


def _port(case: CheckContext, spec: LineSpec) -> Finding:
    name = f"line {spec.name}"
    if spec.listen is not None:
        return _listener(case, name, spec, *spec.listen)
    if spec.port is None:
        return _host(case, name, spec)
    if holds(case.pid, spec):
        found = Message("port-open-by-gateway", port=spec.port, pid=case.pid or 0)
    else:
        try:
            serial_port.check(spec.port, to_read=spec.only_read)
        except GatewayError as error:
            return Finding(name, "bad", error_message(error))
        found = Message("port-free", port=spec.port)
    if warning := serial_port.warning(spec.port):
        return Finding(name, "warn", Message("port-with-warning", found=found, warning=warning))
    return Finding(name, "ok", found)


def _listener(case: CheckContext, name: str, spec: LineSpec, host: str, port: int) -> Finding:
    where, pid = spec.where, case.pid or 0
    if case.pid is None:
        try:
            check_port(spec)
        except GatewayError as error:
            return Finding(name, "bad", error_message(error))
        return Finding(name, "ok", Message("listener-free", where=where))
    if not holds(pid, spec):
        return Finding(name, "bad", Message("listener-not-open", where=where, pid=pid))
    peers = tcp_table.connected(host, port)
    if not peers:
        return Finding(name, "warn", Message("listener-alone", where=where, pid=pid))
    message = Message("listener-connected", where=where, pid=pid, peers=tuple(peers))
    return Finding(name, "ok", message, {"connected": peers})


def _host(case: CheckContext, name: str, spec: LineSpec) -> Finding:
    host, port = str(spec.host), int(spec.tcp_port or 0)
    if case.pid is not None:
        return Finding(name, "ok", Message("host-left-to-gateway", host=host, port=port))
    try:
        tls = tls_context(spec)
    except GatewayError as error:
        return Finding(name, "bad", error_message(error))
    if why := connect(host, port, tls):
        return Finding(name, "bad", Message("host-unreachable", host=host, port=port, why=why))
    return Finding(name, "ok", Message("host-reachable", host=host, port=port))
