"""Doctor check of the meters: one poll of each, only where no gateway is running."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.acquisition import line_use
from gateway.acquisition.message_by_hand import sends
from gateway.clock import Clock
from gateway.commissioning import line_specs
from gateway.doctor.check import CheckContext, Finding, error_message
from gateway.errors import GatewayError
from gateway.fieldbus.diagnosis import no_values, refused
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire import serial_port
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message


def meters(case: CheckContext) -> Iterator[Finding]:
    """Check that every meter answers, where no gateway runs; else `status` and the alarms report it. Meters that are
    only listened to are not asked."""
    if case.pid is not None:
        return
    for spec, polls in asyncio.run(_poll_all(case)):
        meters = {meter.name: meter for meter in spec.meters}
        if isinstance(polls, GatewayError):  # of a port or host the check of the lines tells
            if spec.listen is not None:
                yield from (Finding(f"meter {name}", "warn", error_message(polls)) for name in meters)
            continue
        for poll in polls:
            yield _judged(spec, meters[poll.meter], poll)


async def _poll_all(case: CheckContext) -> list[tuple[LineSpec, list[Poll] | GatewayError]]:
    """Polls of all lines on which meters are asked, in parallel; of a line that cannot be used why not."""
    specs, clock = [spec for spec in line_specs.line_specs(case.config) if not sends(spec)], Clock()
    return list(zip(specs, await asyncio.gather(*(_poll_line(case, spec, clock) for spec in specs)), strict=True))


async def _poll_line(case: CheckContext, spec: LineSpec, clock: Clock) -> list[Poll] | GatewayError:
    try:
        if spec.port is not None:
            serial_port.check(spec.port)
        return await line_use.poll_by_hand(case.config, spec, [meter.name for meter in spec.meters], clock)
    except GatewayError as error:
        return error


def _judged(line: LineSpec, meter: MeterSpec, poll: Poll) -> Finding:
    name = f"meter {meter.name}"
    if poll.answers:
        answers = Message("meter-answers-as", identity=poll.identity or Message("meter-answers-no-identity"))
        missing = sum(len(failure.block.points) for failure in poll.failures)
        if not missing:
            return Finding(name, "ok", answers)
        why = refused(poll, meter.profile.protocol)
        if why is None:
            return Finding(name, "warn", Message("meter-points-missing", answers=answers, n=missing, meter=meter.name))
        some = Message("meter-points-refused", answers=answers, n=missing, why=why, meter=meter.name)
        return Finding(name, "warn", some)
    why = no_values(line, meter, poll)
    if poll.missed == "refused":
        return Finding(name, "bad", Message("meter-refused", why=why, meter=meter.name))
    if meter.profile.may_sleep and poll.missed == "timeout":
        return Finding(name, "warn", Message("meter-maybe-asleep", why=why, meter=meter.name))
    return Finding(name, "bad", why)
