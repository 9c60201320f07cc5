"""Commands to the running gateway: reload, accept, clear-shared."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from gateway.cli.terminal.common import CONFIG, JSON, no_meter, out, user
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.process import control_socket
from gateway.startup.line_specs import line_specs

ASK_EVERY_S = 0.5


@click.command()
@CONFIG
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for the outcome, also of a change before; exit code 1: rolled back.",
)
@JSON
def reload(config_path: Path, dry_run: bool, yes: bool, wait: bool, as_json: bool) -> None:
    """Apply a changed CONFIG in the running gateway; only changed lines are reopened.

    Rolls back automatically if a meter that answered before does not answer within three of its periods and at least
    60 s. To change the gateway's id, data folder or keys folder, restart it.
    """
    config = load_config(config_path)
    change = control_socket.give(config.data, "preview")
    if not as_json:
        _show(config, change)
    if dry_run or (change["nothing"] and not wait):
        _say(change | {"done": False}, as_json)
        return
    if change["nothing"]:
        _end(change | {"done": False, "reverted": _until_it_holds(config.data, only_on_trial=True)}, as_json)
        return
    if not yes and (as_json or not _asked()):
        raise Declined(Message("reload-not-confirmed"))
    done = control_socket.give(config.data, "reload", fingerprint=change["fingerprint"], user=user())
    if not as_json:
        watched = f"; it may roll back within {done['watched_s']:.0f} s" if done["watched_s"] else ""
        click.echo(f"the gateway now uses {config_path}{watched}")
    if not wait:
        _say(done, as_json)
        return
    _end(done | {"reverted": _until_it_holds(config.data)}, as_json)


def _end(done: dict[str, Any], as_json: bool) -> None:
    """The outcome. Raises Declined: the configuration before is in force again."""
    _say(done, as_json)
    if done["reverted"]:
        raise Declined(done["reverted"])
    if not as_json:
        click.echo("every meter that answered before answers; the configuration stays in force")


def _asked() -> bool:
    try:
        return click.confirm("apply?", default=False)
    except click.Abort:  # not a terminal
        return False


def _show(config: Config, change: dict[str, Any]) -> None:
    from gateway.cli.terminal.plan_view import print_plan
    from gateway.startup import line_plan, meter_places

    if change["nothing"]:
        out.print(f"{config.path}: no changes")
        return
    for line in change["changes"]:
        out.print(Text.assemble((line[0], "green" if line.startswith("+") else "red"), line[1:]))
    specs = line_specs(config)
    for plan in meter_places.with_renamed(config.data, specs, [line_plan.line_plan(spec) for spec in specs]):
        if plan.line in change["opened"]:
            print_plan(out, plan)
    for name in change["closed"]:
        out.print(f"line {name} is closed")
    if change["ledgers"]:
        out.print("every ledger is queried first, as at a start")


def _until_it_holds(data: Path, *, only_on_trial: bool = False) -> str | None:
    """Why the configuration before came back; None: it did not. ``only_on_trial``: of an earlier change whose outcome
    is known already nothing is said."""
    while True:
        state = control_socket.give(data, "health")["configuration"]
        if state["trial"] is None:
            reverted: str | None = state["reverted"]
            return None if only_on_trial else reverted
        only_on_trial = False
        if state["stuck"] is not None:
            raise GatewayError(Message("reload-cannot-revert", why=state["stuck"]))
        time.sleep(ASK_EVERY_S)


def _say(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({name: value for name, value in facts.items() if name != "changes_said"}))


@click.command()
@CONFIG
@click.argument("meter")
@click.option("--serial", default="", help="Serial number that the new device reports; by hand: that on its plate.")
@click.option("--by-hand", is_flag=True, help="The new device reports no serial number; needs --reason.")
@click.option("--since-fall/--from-now", default=None, help="By hand: it has been read since its counters decreased.")
@click.option("--reason", default="", help="Reason, for the signed event.")
@click.option("--final", metavar="[POINT=]NUMBER", multiple=True, help="Last register of the old device; repeatable.")
@click.option("--initial", metavar="[POINT=]NUMBER", multiple=True, help="First register of the new one; repeatable.")
@JSON
def accept(
    config_path: Path,
    meter: str,
    serial: str,
    by_hand: bool,
    since_fall: bool | None,
    reason: str,
    final: tuple[str, ...],
    initial: tuple[str, ...],
    as_json: bool,
) -> None:
    """Accept the device that now answers for METER; a signed event names the old and the new one.

    A device that reports no serial number is accepted --by-hand, and the event says so. With --final and --initial the
    registers of the exchange are signed too, as entries of the accounting (rule I4). At a terminal they are asked for.
    """
    from gateway.cli.accounting import exchange
    from gateway.cli.commissioning.exchange import accepted

    config = load_config(config_path)
    if meter not in config.meters:
        raise no_meter(config, meter)
    if not serial and not by_hand:
        raise click.UsageError("give --serial NUMBER, or --by-hand for a device that reports none")
    if since_fall is not None and not by_hand:
        raise click.UsageError("--since-fall and --from-now need --by-hand")
    if not (final or initial or as_json) and sys.stdin.isatty():
        final, initial = exchange.asked(config, meter)
    facts: dict[str, Any] = {"serial": serial, "reason": reason}
    facts["registers"] = exchange.entries(config, meter, final, initial, reason)
    if by_hand:
        facts |= {"by_hand": True, "since_fall": since_fall, "user": user()}
    done = control_socket.give(config.data, "accept", meter=meter, **facts)
    click.echo(json.dumps(done) if as_json else accepted(done))


@click.command("clear-shared")
@CONFIG
@click.argument("bus")
@JSON
def clear_shared(config_path: Path, bus: str, as_json: bool) -> None:
    """Stop flagging values of BUS as SHARED_LINE once another master is removed; a signed event names the user.

    All request shapes and the configured answer lives apply again, until another master is heard.
    """
    config = load_config(config_path)
    done = control_socket.give(config.data, "clear-shared", line=_line_of(config, bus), user=user())
    text = f"{bus}: values are no longer flagged as shared, until another master is heard"
    click.echo(json.dumps(done) if as_json else text)


def _line_of(config: Config, bus: str) -> str:
    """The name of the line that a bus is, or that it is a part of; also by the line's own name, as alarms have it.
    Raises GatewayError."""
    lines = line_specs(config)
    if bus in {spec.name for spec in lines}:
        return bus
    meters = next((entry.meter for entry in config.document.bus if entry.name == bus), None)
    if meters is None:
        buses = tuple(entry.name for entry in config.document.bus)
        raise GatewayError(Message("command-no-bus", config=str(config.path), bus=bus, buses=buses))
    names = {meter.name for meter in meters}
    return next(spec.name for spec in lines if any(m.name in names for m in spec.meters))
