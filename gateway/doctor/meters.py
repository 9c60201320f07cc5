"""Doctor check of the meters: one poll of each, only where no gateway is running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.acquisition import line_use
from gateway.clock import Clock
from gateway.commissioning import line_specs
from gateway.doctor.finding import CheckContext, Finding
from gateway.errors import GatewayError
from gateway.fieldbus.diagnosis import no_values, refused
from gateway.fieldbus.modbus import serial_port
from gateway.fieldbus.specs import LineSpec, MeterSpec, Poll


def meters(case: CheckContext) -> Iterator[Finding]:
    """Whether every meter answers. Of a running gateway `status` and the alarms tell."""
    if case.pid is not None:
        return
    for spec, polls in asyncio.run(_poll_all(case)):
        meters = {meter.name: meter for meter in spec.meters}
        for poll in polls:
            yield _judged(spec, meters[poll.meter], poll)


async def _poll_all(case: CheckContext) -> list[tuple[LineSpec, list[Poll]]]:
    """All lines at the same time; nothing of a line that cannot be used, of which the check of the lines tells."""
    specs, clock = line_specs.line_specs(case.config), Clock()
    return list(zip(specs, await asyncio.gather(*(_poll_line(case, spec, clock) for spec in specs)), strict=True))


async def _poll_line(case: CheckContext, spec: LineSpec, clock: Clock) -> list[Poll]:
    try:
        if spec.port is not None:
            serial_port.check(spec.port)
        return await line_use.poll_by_hand(case.config, spec, [meter.name for meter in spec.meters], clock)
    except GatewayError:
        return []


def _judged(line: LineSpec, meter: MeterSpec, poll: Poll) -> Finding:
    name, look = f"meter {meter.name}", f"see each point: `meterseal read CONFIG {meter.name}`"
    if poll.answers:
        text, said = f"it answers as {poll.identity or 'no number'}", refused(poll, meter.profile.protocol)
        missing = sum(len(failure.block.points) for failure in poll.failures)
        if not missing:
            return Finding(name, "ok", text)
        return Finding(name, "warn", f"{text}; {missing} points are missing" + (f": {said}" if said else ""), look)
    said = no_values(line, meter, poll)
    problem, way_out = said.problem, said.way_out
    if poll.missed == "refused":
        return Finding(name, "bad", problem, look)
    if meter.profile.may_sleep and poll.missed == "timeout":
        return Finding(name, "warn", f"it does not answer, and may be asleep: {problem}", look)
    return Finding(name, "bad", problem, way_out)
