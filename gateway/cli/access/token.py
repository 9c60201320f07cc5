"""Command `meterseal token`: tokens of the HTTP API."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import cast

import click
from rich.table import Table

from gateway.api.shapes.token_file import add_token, end_ms, fields, opens, read_tokens, remove_token, tokens_file
from gateway.api.shapes.tokens import BITS, SCOPES, Scope
from gateway.cli.terminal.common import CONFIG, JSON, out
from gateway.config.load import load_config
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.click_help import HELP
from ledger_client.formats.checks import is_name
from ledger_client.times import rfc3339_ms


@click.group(context_settings=HELP)
def token() -> None:
    """Add, list and remove tokens of the HTTP API (docs/api.md). A running gateway applies changes at once."""


@token.command()
@CONFIG
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="What it opens; each opens those before it.")
@click.option("--meter", metavar="METER", help="Only what is about METER.")
@click.option("--expires", metavar="DURATION", help="Time from now after which it opens nothing, such as 90d.")
def add(config_path: Path, name: str, scope: str, meter: str | None, expires: str | None) -> None:
    """Make a token NAME and print it, once: only its hash is kept."""
    config = load_config(config_path)
    if not is_name(name):
        raise GatewayError(Message("token-name-invalid", name=name))
    if meter is not None and meter not in config.meters:
        raise GatewayError(
            Message("token-meter-unknown", path=str(config.path), meter=meter, meters=tuple(config.meters))
        )
    expires_ms = None if expires is None else end_ms(expires, int(time.time() * 1000))
    path = tokens_file(config.keys)
    text = add_token(path, name, cast(Scope, scope), meter, expires_ms, secrets.token_bytes(BITS // 8))
    click.echo(text)
    click.echo(f"{path}: {name} opens {opens(read_tokens(path)[name])}; the token is not shown again", err=True)


@token.command("list")
@CONFIG
@JSON
def list_(config_path: Path, as_json: bool) -> None:
    """List the tokens: name, scope, meter, end. Never the tokens themselves."""
    config, now_ms = load_config(config_path), int(time.time() * 1000)
    found = list(read_tokens(tokens_file(config.keys)).values())
    if as_json:
        click.echo(json.dumps({"tokens": [fields(one, now_ms) for one in found]}))
        return
    if not found:
        click.echo(f"no tokens: meterseal token add {config_path} NAME --scope {'|'.join(SCOPES)}")
        return
    table = Table.grid(padding=(0, 2), pad_edge=True)
    for one in found:
        end = "" if one.expires_ms is None else "expired" if one.is_expired(now_ms) else rfc3339_ms(one.expires_ms)
        table.add_row(one.name, one.scope, one.meter or "site", end)
    out.print(table)


@token.command()
@CONFIG
@click.argument("name")
def remove(config_path: Path, name: str) -> None:
    """Remove the token NAME; it opens nothing from now on."""
    path = tokens_file(load_config(config_path).keys)
    remove_token(path, name)
    click.echo(f"{path}: {name} removed")
