"""Command `meterseal exchange`: the registers of the old and the new device, seals and reason, in one signed event."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.terminal.common import CONFIG, JSON, no_meter, out, user
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from gateway.process import control_socket

if TYPE_CHECKING:
    from gateway.commissioning.wizard.exchange import Exchange
    from gateway.commissioning.wizard.questions import Dialogue


@click.command()
@CONFIG
@click.argument("meter")
@click.option(
    "--answers", type=click.Path(path_type=Path), metavar="FILE", help="Take the answers from FILE; ask nothing."
)
@JSON
def exchange(config_path: Path, meter: str, answers: Path | None, as_json: bool) -> None:
    """Take over the device that now answers for METER: its serial number, the last registers of the old device and the
    first of the new one, seals and reason, question by question.

    One signed event of METER holds both devices and their registers; typed registers are flagged MANUAL. The registers
    are entries of the accounting, too (rule I4). Of a device that tells no serial number the event says that it was
    exchanged by hand. The gateway must be running. Ctrl-C ends it before anything is signed.
    """
    from gateway.cli.commissioning.dialogue import TerminalDialogue
    from gateway.commissioning.wizard import answers_file
    from gateway.commissioning.wizard.exchange import KEYS

    config = load_config(config_path)
    if meter not in config.meters:
        raise no_meter(config, meter)
    if answers is None and as_json:
        raise click.UsageError("--json needs --answers FILE")
    dialogue: Dialogue = TerminalDialogue(out)
    if answers is not None:
        given = answers_file.read_answers(answers, config.meters, KEYS)
        if meter not in given:
            raise GatewayError(Message("wizard-no-answers", path=str(answers), meter=meter))
        dialogue = given[meter]
    try:
        done = _exchanged(config, meter, dialogue, ask=answers is None)
    except click.Abort:
        raise Declined(Message("exchange-stopped", meter=meter)) from None
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(accepted(done))
    if signed := done.get("entries"):
        click.echo(f"registers signed for the accounting: {len(signed)}")


def accepted(done: dict[str, Any]) -> str:
    """What has become of an acceptance, as the gateway answers."""
    meter, new, old = done["meter"], done["new"], done["old"]
    if new in ("", old):
        return f"{meter}: the exchange is signed by hand; recording continues"
    return f"{meter}: accepted {new} in place of {old or 'a device that tells no number'}; recording continues"


def _exchanged(config: Config, meter: str, dialogue: Dialogue, *, ask: bool) -> dict[str, Any]:
    """The exchange from its first question to its event, as the gateway answers."""
    from gateway.accounting.plans.plan_draft import recorded_counters
    from gateway.commissioning.record.rows import moment
    from gateway.commissioning.wizard.exchange import Answering, Fall, asked

    order = partial(control_socket.give, config.data, "accept", meter=meter)
    answering = order(check=True)
    if ask:
        click.echo(_answering(meter, answering))
    counters = [(point.name, point.unit or "") for point in recorded_counters(config, config.meters[meter])]

    def bridges(answered: Exchange) -> object:
        return order(check=True, registers=_entries(config, meter, answered), since_fall=answered.since_fall)

    fell = answering["fall"]
    fall = Fall(moment(fell["time_ms"], config.zone), tuple(fell["points"]), fell["last"]) if fell else None
    found = Answering(meter, answering["new"], answering["last"], answering["by_hand"], fall)
    answered = asked(dialogue, found, counters, bridges, user().partition(" (")[0])
    if ask and not click.confirm("sign this", default=True):
        raise click.Abort
    facts: dict[str, Any] = {"registers": _entries(config, meter, answered), "reason": answered.reason}
    facts |= {"seals": answered.seals, "by": answered.by}
    if found.by_hand:
        return order(by_hand=True, serial=answered.plate, since_fall=answered.since_fall, user=user(), **facts)
    return order(serial=found.new, **facts)


def _answering(meter: str, answering: dict[str, Any]) -> str:
    if answering["by_hand"]:
        return f"{meter}: the device tells no serial number; that it is another one is signed by hand"
    return f"{meter}: {answering['new']} answers in place of {answering['old']}"


def _entries(config: Config, meter: str, answered: Exchange) -> list[str]:
    """The registers as the gateway is to sign them. Raises GatewayError."""
    from gateway.accounting.plans import exchange as registers

    finals, initials = (dict[str, int | Decimal](each) for each in (answered.final, answered.initial))
    return registers.entries(config, meter, finals, initials, answered.reason, user())
