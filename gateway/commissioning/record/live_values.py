"""Live values of one meter for whoever commissions it, beside a running gateway or without one."""

from __future__ import annotations

import asyncio

from gateway.acquisition import line_use, message_by_hand
from gateway.acquisition.meter_look import Look, look_of
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.fieldbus.endpoints import endpoint_of
from gateway.fieldbus.polling.line import Waits
from gateway.fieldbus.polling.open_line import check_port, holds
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.process import control_socket, instance_lock
from gateway.startup.line_specs import line_specs

LOOK = "look"
"""Name of the order."""
PERIODS, AT_LEAST_S = 2, 60.0
"""How long to wait for a poll of the running gateway: periods of the meter, and seconds at least."""


def look(
    config: Config,
    line: LineSpec,
    meter: str,
    clock: Clock,
    waits: Waits = lambda meter, seconds: None,
    session: line_use.HandSession | None = None,
) -> Look:
    """One poll of a meter: the next one of the gateway that runs, else one by hand. Records nothing by hand.

    Args:
        line: the line of the meter, which need not be that of ``config``: only the running gateway goes by its own.
        waits: called with meter and seconds before a wait for late answers to the requests of others.
        session: of a process that looks several times.

    Raises:
        PortError: the line cannot be opened.
        NotYet: a meter that sends unasked sent nothing.
        GatewayError: the running gateway does not have the meter, or holds the line in another configuration.
    """
    period_s = next(each.period_ms for each in line.meters if each.name == meter) / 1000
    running = instance_lock.running(config.data)
    if running is not None and meter in config.meters:
        within_s = max(AT_LEAST_S, PERIODS * period_s)
        return Look.decode(control_socket.give(config.data, LOOK, within_s=within_s, meter=meter)["look"])
    if holds(running, line) or (running is not None and line.bridged and _is_configured(config, line)):
        raise GatewayError(Message("look-line-in-use", meter=meter, where=line.where, pid=running or 0))
    check_port(line)
    if message_by_hand.sends(line):
        poll = asyncio.run(message_by_hand.hear_by_hand(line, meter, clock, PERIODS * period_s))
    else:
        (poll,) = asyncio.run(line_use.poll_by_hand(config, line, [meter], clock, waits, session))
    return look_of(line, poll)


def _is_configured(config: Config, line: LineSpec) -> bool:
    """A line of the configuration leads there: a converter mixes up what two masters ask."""
    return endpoint_of(line) in map(endpoint_of, line_specs(config))
