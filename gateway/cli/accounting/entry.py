"""Command entry: what somebody states beside the meters, signed by the running gateway."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from gateway.cli.terminal.common import CONFIG, JSON, user
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.process import control_socket
from gateway.storage.database import Database
from ledger_client.accounting.formats import words


@click.command()
@CONFIG
@click.argument("kind", type=click.Choice(words.ENTRY_KINDS))
@click.argument("of", metavar="POINT|NODE")
@click.argument("values", metavar="NAME=NUMBER...", nargs=-1)
@click.option("--at", metavar="TIME", help="The moment that it is of; in place of --from and --to.")
@click.option("--from", "begin", metavar="TIME", help="Where its time begins, such as 2026-10-03T14:00:00+08:00.")
@click.option("--to", "end", metavar="TIME", help="Where its time ends.")
@click.option("--unit", help="Unit of the values; of registers by default the recorded one.")
@click.option("--reason", required=True, help="Why, for the signed event.")
@click.option("--document", type=click.Path(path_type=Path), help="File whose SHA-256 the entry bears; a copy is kept.")
@click.option(
    "--replaces",
    metavar="HASH",
    multiple=True,
    help="Record hash of an entry whose place this one takes; once for each that states the same of this time.",
)
@JSON
def entry(
    config_path: Path,
    kind: str,
    of: str,
    values: tuple[str, ...],
    at: str | None,
    begin: str | None,
    end: str | None,
    unit: str | None,
    reason: str,
    document: Path | None,
    replaces: tuple[str, ...],
    as_json: bool,
) -> None:
    """State what no meter measures, in an event that the running gateway signs.

    KIND and the names of its values: register (final, initial of a point), calibration (a, b of a gauge), lab (C_ar,
    C_ad, M_ar, M_ad, NCV, CC, OF of a node), value (value: a substitute for an interval), settlement (value), closure
    (none).
    """
    from gateway.accounting.plans import documents, exchange, signing
    from gateway.accounting.plans.moments import moment_ms
    from ledger_client.accounting.formats.entries import parse_entry

    config = load_config(config_path)
    if (at is None) == (begin is None or end is None):
        raise click.UsageError("give --at, or --from and --to")
    from_ms, to_ms = (moment_ms(text or "", config.zone) for text in (at or begin, at or end))
    fields: dict[str, Any] = {"kind": kind, "of": of, "from": from_ms, "to": to_ms, "values": numbers(values)}
    fields |= {"reason": reason, "user": user()}
    if unit or kind == "register":
        fields["unit"] = unit or exchange.recorded_unit(config, of)
    if document is not None:
        fields["document"] = _digest(document)
    if replaces:
        hashes = list(dict.fromkeys(map(_hash, replaces)))
        fields["replaces"] = hashes[0] if len(hashes) == 1 else hashes
    parse_entry(fields)
    control_socket.give(config.data, "health")  # without a gateway its database need not be read
    _demand_on_plan(config, of)
    if document is not None:
        fields["document"] = documents.keep(config.data, document)
    done = control_socket.give(config.data, signing.SIGN, event=words.ENTRY, fields=signing.encoded(fields))
    click.echo(json.dumps(done) if as_json else f"entry {kind} of {of}: record {done['record']}")


def numbers(values: Sequence[str]) -> dict[str, int | Decimal]:
    """Values from words ``NAME=NUMBER``. Raises GatewayError."""
    from gateway.accounting.plans import exchange

    found: dict[str, int | Decimal] = {}
    for word in values:
        name, equals, digits = word.partition("=")
        try:
            if not name or not equals:
                raise ValueError(word)
            found[name] = exchange.number(digits)
        except ValueError:
            raise GatewayError(Message("entry-no-value", text=word)) from None
    return found


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise GatewayError(Message("entry-document", path=str(path), error=os_error(error))) from None


def _hash(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise GatewayError(Message("entry-no-hash", text=text))
    return found


def _demand_on_plan(config: Config, of: str) -> None:
    """Raises GatewayError for what no plan knows. What is stated already the gateway itself says."""
    from gateway.accounting.plans.history import history_of

    with closing(Database(config.database, read_only=True)) as store:
        history = history_of(store)
    if not any(signed.plan.concerns(of) for signed in history.plans):
        raise GatewayError(Message("entry-not-on-plan", of=of))
