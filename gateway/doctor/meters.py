"""Doctor check of the meters: one poll of each, or where the gateway is running its newest reading of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.acquisition import line_use
from gateway.acquisition.message_by_hand import sends
from gateway.acquisition.odd_registers import odd_registers
from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.commissioning.record.in_force import in_force
from gateway.doctor.check import CheckContext, Finding, error_message
from gateway.doctor.meter_values import judged, odd_values
from gateway.errors import GatewayError
from gateway.fieldbus.diagnosis import no_values, refused
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire import serial_port
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from gateway.messages.reasons import why
from gateway.process import control_socket
from gateway.standing import Standing, standing
from gateway.startup import line_specs
from gateway.storage.record_reader import read_reading


def meters(case: CheckContext) -> Iterator[Finding]:
    """Check that every meter answers, and its values. Meters that are only listened to are not asked."""
    if case.pid is not None:
        yield from _of_gateway(case)
        return
    clock = Clock()
    for spec, polls in asyncio.run(_poll_all(case)):
        meters = {meter.name: meter for meter in spec.meters}
        if isinstance(polls, GatewayError):  # the check of the lines reports a port or host
            if spec.listen is not None:
                yield from (Finding(f"meter {name}", "warn", error_message(polls)) for name in meters)
            continue
        for poll in polls:
            found = _judged(spec, meters[poll.meter], poll)
            if not poll.answers:
                yield found
                continue
            reading = Poller(case.config.meters, clock, lambda _: None, case.config.profiles).reading(poll)
            yield from judged(case, poll.meter, found, reading.values, odd_registers(poll))
            yield from _other_device(case, poll)


def _other_device(case: CheckContext, poll: Poll) -> Iterator[Finding]:
    """The finding that another device answers than the one that was commissioned. The running gateway has an alarm for
    it."""
    record = in_force(case.store, poll.meter) if case.store is not None and poll.identity is not None else None
    if record is not None and record.identity is not None and record.identity != poll.identity:
        sentence = Message("meter-other-device", now=poll.identity or "", known=record.identity, meter=poll.meter)
        yield Finding(f"meter {poll.meter}", "bad", sentence)


def _of_gateway(case: CheckContext) -> Iterator[Finding]:
    """Each meter as the running gateway reads it; what it asks meanwhile, nobody else may ask."""
    health = control_socket.ask(case.config.data, "health")
    if health is None or case.store is None:
        return
    now_ms = max(case.now_ms, case.store.records.latest_ms())
    for name, meter in case.config.meters.items():
        row, silence = case.store.records.newest(name, "reading"), health["silences"].get(name) or {}
        since_ms, last_ms = silence.get("since"), row.time_ms if row is not None else None
        every_ms = meter.every * health["every_poll"]
        stands = standing(last_ms, since_ms, silence.get("reason"), every_ms, now_ms)
        for_ms = now_ms - (since_ms or last_ms or now_ms)
        if stands is Standing.ASLEEP:
            yield Finding(f"meter {name}", "ok", Message("meter-is-asleep", for_ms=for_ms))
        elif stands is Standing.SILENT or row is None:
            if stands is Standing.SILENT:
                why_not = why(silence.get("cause") or "late")
                yield Finding(f"meter {name}", "bad", Message("meter-gives-no-reading", for_ms=for_ms, why=why_not))
        else:
            values = read_reading(row)[0].values
            found = Finding(f"meter {name}", "ok", Message("meter-was-read", ago_ms=now_ms - row.time_ms))
            yield from judged(case, name, found, values, odd_values(case, name, values))


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
