"""Command `meterseal clear-shared`: end of the SHARED_LINE flags once another master has left the line."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.cli.common import CONFIG, JSON, user
from gateway.commissioning.line_specs import line_specs
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.process import control_socket


@click.command("clear-shared")
@CONFIG
@click.argument("bus")
@JSON
def clear_shared(config_path: Path, bus: str, as_json: bool) -> None:
    """Another master is off BUS: stop flagging its values SHARED_LINE, use all shapes and the configured answer lives
    again, until somebody is heard. A signed event says who ordered it."""
    config = load_config(config_path)
    done = control_socket.give(config.data, "clear-shared", line=_line_of(config, bus), user=user())
    text = f"{bus}: values are not flagged as shared any more, until another master is heard again"
    click.echo(json.dumps(done) if as_json else text)


def _line_of(config: Config, bus: str) -> str:
    """The name of the line that a bus is, or that it is a part of; also by the line's own name, as alarms have it.
    Raises GatewayError."""
    lines = line_specs(config)
    if bus in {spec.name for spec in lines}:
        return bus
    meters = next((entry.meter for entry in config.document.bus if entry.name == bus), None)
    if meters is None:
        known = ", ".join(entry.name for entry in config.document.bus)
        raise GatewayError(f"{config.path}: no bus {bus!r}", f"one of {known}")
    names = {meter.name for meter in meters}
    return next(spec.name for spec in lines if any(m.name in names for m in spec.meters))
