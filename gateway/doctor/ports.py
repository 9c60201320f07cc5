"""Doctor check of the lines: serial ports, hosts, listeners, and what the running gateway reports of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gateway.doctor.check import CheckContext, Finding, at_once, connect, error_message
from gateway.doctor.line_polls import judged
from gateway.errors import GatewayError
from gateway.fieldbus.polling.open_line import check_port, holds, tls_context
from gateway.fieldbus.wire import serial_port
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.process import control_socket, tcp_table
from gateway.startup import line_specs


def ports(case: CheckContext) -> Iterator[Finding]:
    """Check the port or host of every line, and its active alarms."""
    specs = line_specs.line_specs(case.config)
    polls = (control_socket.ask(case.config.data, "lines") or {}) if case.pid is not None else {}
    alarms = case.store.alarms.open() if case.store is not None and case.pid is not None else []
    for spec, finding in zip(specs, at_once(lambda spec: _line(case, spec, polls.get(spec.name)), specs), strict=True):
        sentences = [row.sentence for row in alarms if row.active and not row.shelved and row.line == spec.name]
        if sentences and finding.result == "ok":
            yield Finding(finding.check, "warn", Message("port-with-alarm", found=finding.message, alarm=sentences[0]))
        else:
            yield finding


def _line(case: CheckContext, spec: LineSpec, polls: Mapping[str, Any] | None) -> Finding:
    """Its port, and where the gateway runs how its polls ended: who asks meanwhile would take answers away."""
    finding = _port(case, spec)
    if case.pid is None or finding.result == "bad":
        return finding
    base = finding.message
    if polls is not None and spec.host is not None:
        base = Message("host-read-by-gateway", host=spec.host, port=spec.tcp_port or 0, pid=case.pid)
    result, message = judged(base, spec.name, str(case.config.path), polls)
    return finding if result == "ok" and finding.result != "ok" else replace(finding, result=result, message=message)


def _port(case: CheckContext, spec: LineSpec) -> Finding:
    name = f"line {spec.name}"
    if spec.listen is not None:
        return _listener(case, name, spec, *spec.listen)
    if spec.port is None:
        return _host(case, name, spec)
    if case.pid is not None and holds(case.pid, spec):
        others = [holder.message for holder in serial_port.holders(spec.port) if holder.pid != case.pid]
        if others:
            shared = Message("port-open-by-others", port=spec.port, pid=case.pid, who=tuple(others))
            return Finding(name, "warn", shared)
        found = Message("port-open-by-gateway", port=spec.port, pid=case.pid)
    else:
        try:
            serial_port.check(spec.port, to_read=spec.only_read)
        except GatewayError as error:
            return Finding(name, "bad", error_message(error))
        found = Message("port-free", port=spec.port)
        if os.geteuid() != 0:  # others' open files are theirs to see
            found = Message("port-free-as-seen", port=spec.port)
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
