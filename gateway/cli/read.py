"""Commands `meterseal read` and `meterseal listen`: what stands in the answers of a meter now. They record nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from gateway.cli.readings_view import print_common
from gateway.cli.terminal.common import CONFIG, JSON, no_meter, out
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError, NotYet
from gateway.fieldbus.diagnosis import block_failed, no_values
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.status.readings import ReadingValue, points_of, reading_values
from gateway.verdicts import shared_flags

_STANDS = {"dlt645": "bytes", "hj212": "text", "obis": "text"}
"""What stands in an answer or a message, by protocol; elsewhere registers."""


@click.command()
@CONFIG
@click.argument("meter")
@JSON
def read(config_path: Path, meter: str, as_json: bool) -> None:
    """Poll METER once and show what it answers, raw and decoded, to compare with its display. Records nothing.

    Waits until a late answer to an earlier request cannot be taken for its own, whatever the meter's period is. A meter
    that sends by itself is waited for, up to two of its periods; its data logger gets no acknowledgement.
    """
    from gateway.acquisition import line_use, message_by_hand
    from gateway.acquisition.poller import Poller
    from gateway.clock import Clock
    from gateway.fieldbus.polling.line import DIAL_S
    from gateway.fieldbus.polling.open_line import check_port

    config = load_config(config_path)
    spec, clock = _line_of(config, meter), Clock()
    check_port(spec)
    if message_by_hand.sends(spec):
        within_s = 2 * config.meters[meter].every / 1000
        what = "another master to ask it" if spec.passive else "a message"
        click.echo(f"{meter}: waiting up to {within_s:g} s for {what}", err=True)
        poll = asyncio.run(message_by_hand.hear_by_hand(spec, meter, clock, within_s))
    else:
        if spec.listen is not None:
            click.echo(f"{meter}: waiting up to {DIAL_S:g} s for its DTU to connect", err=True)
        (poll,) = asyncio.run(line_use.poll_by_hand(config, spec, [meter], clock, _waits))
    if not poll.answers:
        why = no_values(spec, next(m for m in spec.meters if m.name == meter), poll)
        raise NotYet(Message("read-no-values", meter=meter, problem=why))
    reading = Poller(config.meters, clock, lambda _: None, config.profiles).reading(poll)
    values = reading_values(reading, meter, "not recorded")
    if as_json:
        click.echo(json.dumps(_as_json(config, poll, reading.time_ms, values)))
    else:
        _print(config, poll, values)


@click.command()
@click.argument("port")
@click.option(
    "--baud", "baudrate", type=click.IntRange(min=1), help="Bits per second; default: the profile's, else 9600."
)
@click.option("--parity", type=click.Choice(("N", "E", "O")), default="N", show_default=True, help="Of a serial port.")
@click.option("--stopbits", type=click.Choice(("1", "2")), default="1", show_default=True, help="Of a serial port.")
@click.option("--profile", "ref", metavar="NAME", help="Decode answers by this profile.")
@click.option("--for", "seconds", type=click.FloatRange(min=0.1), help="Seconds to listen; default: until Ctrl-C.")
@JSON
def listen(
    port: str, baudrate: int | None, parity: str, stopbits: str, ref: str | None, seconds: float | None, as_json: bool
) -> None:
    """Show what another master asks on a Modbus RTU line and what is answered, as it happens. Sends nothing.

    PORT is a serial port, or HOST:PORT of a device server that carries RTU over TCP. At the end: how often each
    question was asked.
    """
    from gateway.cli.terminal import overheard_view
    from gateway.clock import Clock
    from gateway.devices.profile import load_profile
    from gateway.fieldbus.listening.overhear import overhear

    profile = load_profile(ref, Path()) if ref is not None else None
    speed = baudrate or (profile.serial.baudrate if profile is not None and profile.serial is not None else 9600)
    host, _, number = port.rpartition(":")
    if host and number.isdigit() and not port.startswith(("/", ".")):
        spec = LineSpec("line", "modbus-rtu-over-tcp", (), host=host, tcp_port=int(number), passive=True)
    else:
        spec = LineSpec(
            "line", "modbus-rtu", (), port=port, baudrate=speed, parity=parity, stopbits=int(stopbits), passive=True
        )
    view = overheard_view.OverheardView(as_json=as_json)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(overhear(spec, profile, Clock(), view.tell, seconds))
    view.end()


def _line_of(config: Config, meter: str) -> LineSpec:
    """The line of a meter, if it may be polled by hand."""
    from gateway.acquisition import message_by_hand
    from gateway.fieldbus.polling.open_line import holds
    from gateway.process import instance_lock
    from gateway.startup import line_specs

    bus = next((b for b in config.document.bus for m in b.meter if m.name == meter), None)
    if bus is None:
        raise no_meter(config, meter)
    spec, running = line_specs.line_spec(config, bus), instance_lock.running(config.data)
    if running is not None and message_by_hand.sends(spec):
        if spec.passive:
            sentence = Message("read-overheard-running", meter=meter, pid=running, config=str(config.path))
        else:
            sentence = Message("read-sends-itself", meter=meter, pid=running, config=str(config.path))
        raise GatewayError(sentence)
    if holds(running, spec) or (running is not None and spec.bridged):  # a converter mixes up what two masters ask
        raise GatewayError(
            Message("read-line-in-use", bus=bus.name, pid=running or 0, config=str(config.path), meter=meter)
        )
    return spec


def _waits(meter: str, seconds: float) -> None:
    text = f"{meter}: waiting {seconds:.1f} s, so that no late answer is taken for the next one"
    click.echo(text, err=True)


def _raw(poll: Poll) -> dict[str, list[int] | str]:
    """What stands at each point: its registers; of another protocol its bytes or its text."""
    from gateway.acquisition.odd_registers import slices

    shown = {name: text for a in poll.answers for name, text in a.block.shown(a.raw).items()}
    return shown | {point.name: list(words) for point, words in slices(poll)}


def _remarks(poll: Poll) -> dict[str, str]:
    """By point, in English, what its registers look like that a meter seldom means."""
    from gateway.acquisition.odd_registers import odd_registers

    return {name: sentence.problem for name, sentence in odd_registers(poll).items()}


def _as_json(config: Config, poll: Poll, time_ms: int, values: Sequence[ReadingValue]) -> dict[str, Any]:
    raw, points = _raw(poll), points_of(config.profiles[poll.meter])
    remarks = _remarks(poll)
    shown = [
        v.as_json()
        | {
            "raw": raw.get(v.value.name),
            "symbol": v.symbol(points) or None,
            "remark": remarks.get(v.value.name),
        }
        for v in values
    ]
    failures = [
        {
            "block": str(f.block.label()),
            "reason": f.reason,
            "detail": str(f.detail),
            "exception": f.refused and f.refused.code,
        }
        for f in poll.failures
    ]
    return {"meter": poll.meter, "time": time_ms, "values": shown, "failures": failures}


def _print(config: Config, poll: Poll, values: Sequence[ReadingValue]) -> None:
    """The values one by one, then once what is true of all of them, then what looks misread, then the blocks that gave
    none, and why."""
    stands = _STANDS.get(config.profiles[poll.meter].protocol, "registers")
    table = Table("point", "value", "unit", "quality", stands, box=None)
    points = points_of(config.profiles[poll.meter])
    shown = {name: text for a in poll.answers for name, text in a.block.shown(a.raw).items()}
    common = shared_flags([v.value for v in values])
    for v in values:
        beside = v.beside(common)
        table.add_row(v.value.name, v.named(points), v.value.unit or "", beside, shown.get(v.value.name, ""))
    out.print(table)
    print_common(out, common)
    remarks = _remarks(poll)
    for sentence in dict.fromkeys(remarks.values()):
        out.print(f"{', '.join(name for name, remark in remarks.items() if remark == sentence)}: {sentence}")
    for failure in poll.failures:
        out.print(str(block_failed(failure)))
