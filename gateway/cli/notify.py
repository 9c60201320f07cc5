"""Command `meterseal notify`: a test message to a receiver of alarms."""

from __future__ import annotations

import json
import secrets
import sys
import time
from pathlib import Path

import click

from gateway.cli.terminal.common import CONFIG, JSON
from gateway.config.load import load_config
from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message
from ledger_client.click_help import HELP


@click.group(context_settings=HELP)
def notify() -> None:
    """Test the receivers of alarms: `[[notify]]` of CONFIG (docs/notifications.md)."""


@notify.command(name="test")
@CONFIG
@click.argument("name")
@JSON
def test(config_path: Path, name: str, as_json: bool) -> None:
    """Send a test message to NAME now, and show what went and what its server answered.

    The message states that it is a test. It needs no running gateway, and changes nothing. Exit code 1: not delivered.
    """
    from gateway.alarms.notification.delivery import deliver
    from gateway.alarms.notification.notification import Notification
    from gateway.alarms.notification.outcome import NotDelivered
    from gateway.config.notify import notify_access

    config = load_config(config_path)
    entry = next((entry for entry in config.document.notify if entry.name == name), None)
    if entry is None:
        names = tuple(entry.name for entry in config.document.notify)
        raise GatewayError(Message("notify-no-receiver", config=str(config.path), receiver=name, names=names))
    notify_access(config.path, entry)
    now_ms = time.time_ns() // 1_000_000
    notification = Notification(config.gateway_id, name, entry.language, config.zone, now_ms, id=secrets.token_hex(16))
    facts = {"receiver": name, "type": entry.type, "server": entry.server, "id": notification.id}
    facts |= {"title": notification.title, "text": notification.text}
    if not as_json:
        to = f" for {', '.join(entry.to)}" if entry.to else ""
        click.echo(f"to {entry.server}{to}, id {notification.id}\n\n{notification.title}\n{notification.text}\n")
    try:
        delivered = deliver(entry, config.path.parent, notification)
    except NotDelivered as error:
        if not as_json:
            raise Declined(error.sentence) from None
        click.echo(json.dumps({**facts, "delivered": False, "answer": str(error.sentence), "missed": []}))
        sys.exit(1)
    answer = f"{delivered.status} {delivered.words}".rstrip()
    if as_json:
        click.echo(json.dumps({**facts, "delivered": True, "answer": answer, "missed": delivered.missed}))
    else:
        click.echo(f"delivered; the server answers: {answer}")
    if delivered.missed and not as_json:
        raise Declined(Message("notify-recipients", server=entry.server, names=delivered.missed))
    sys.exit(1 if delivered.missed else 0)
