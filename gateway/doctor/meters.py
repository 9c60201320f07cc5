"""The meters: each is polled once where no gateway runs that does it all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway import line_use, lines
from gateway.clock import Clock
from gateway.doctor.finding import Case, Finding
from gateway.errors import GatewayError
from gateway.fieldbus import serial_port
from gateway.fieldbus.bus import LineSpec, Poll

CHECK = "check its power and address, the line's settings and the wiring"


def meters(case: Case) -> Iterator[Finding]:
    """Whether every meter answers. Of a running gateway `status` and the alarms tell."""
    if case.pid is not None:
        return
    for spec, polls in asyncio.run(_poll_all(case)):
        sleepers = {meter.name for meter in spec.meters if meter.profile.may_sleep}
        for poll in polls:
            yield _judged(poll, may_sleep=poll.meter in sleepers)


async def _poll_all(case: Case) -> list[tuple[LineSpec, list[Poll]]]:
    """All lines at the same time; nothing of a line that cannot be used, of which the check of the lines tells."""
    specs, clock = lines.line_specs(case.config), Clock()
    return list(zip(specs, await asyncio.gather(*(_poll_line(case, spec, clock) for spec in specs)), strict=True))


async def _poll_line(case: Case, spec: LineSpec, clock: Clock) -> list[Poll]:
    try:
        if spec.port is not None:
            serial_port.check(spec.port)
        return await line_use.poll_by_hand(case.config, spec, [meter.name for meter in spec.meters], clock)
    except GatewayError:
        return []


def _judged(poll: Poll, *, may_sleep: bool) -> Finding:
    name, detail = f"meter {poll.meter}", poll.detail or poll.missed
    look = f"see each point: `meterseal read CONFIG {poll.meter}`"
    if poll.answers:
        text = f"it answers as {poll.identity or 'no number'}"
        missing = sum(len(failure.block.points) for failure in poll.failures)
        return (
            Finding(name, "warn", f"{text}; {missing} points are missing", look)
            if missing
            else Finding(name, "ok", text)
        )
    if poll.missed == "refused":
        return Finding(name, "bad", f"it answers and refuses what is asked: {detail}", look)
    if may_sleep and poll.missed == "timeout":
        return Finding(name, "warn", f"it does not answer, and may be asleep: {detail}", look)
    return Finding(name, "bad", f"it gave no values: {detail}", CHECK)
