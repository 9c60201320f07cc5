"""Command token: tokens of the HTTP API."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.api.shapes.tokens import SCOPES, Scope
from ledger_client.click_help import HELP

CONFIG = click.argument("config_path", metavar="CONTROL.toml", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")


@click.group(context_settings=HELP)
def token() -> None:
    """Add, list and remove tokens of the HTTP API (docs/control-room.md). Running pages apply changes at once."""


@token.command()
@CONFIG
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="What it opens; each opens those before it.")
@click.option("--gateway", metavar="GATEWAY", help="Only what is about GATEWAY.")
@click.option("--meter", metavar="METER", help="Only what is about METER of GATEWAY.")
@click.option("--expires", metavar="DURATION", help="Time from now after which it opens nothing, such as 90d.")
def add(
    config_path: Path, name: str, scope: Scope, gateway: str | None, meter: str | None, expires: str | None
) -> None:
    """Make a token NAME and print it, once: only its hash is kept."""
    import secrets
    import time

    from control_room.settings import load_settings
    from gateway.api.shapes.token_file import add_token, end_ms, opens, read_tokens, tokens_file
    from gateway.api.shapes.tokens import BITS
    from gateway.errors import GatewayError
    from gateway.messages.message import Message
    from ledger_client.formats.checks import is_name

    settings = load_settings(config_path)
    for given in (name, gateway, meter):
        if given is not None and not is_name(given):
            raise GatewayError(Message("token-name-invalid", name=given))
    if meter is not None and gateway is None:
        raise click.UsageError("--meter needs --gateway: meters of two gateways may have one name")
    expires_ms = None if expires is None else end_ms(expires, int(time.time() * 1000))
    settings.keys.mkdir(mode=0o700, exist_ok=True)
    path = tokens_file(settings.keys)
    text = add_token(path, name, scope, meter, expires_ms, secrets.token_bytes(BITS // 8), gateway)
    click.echo(text)
    click.echo(f"{path}: {name} opens {opens(read_tokens(path)[name])}; the token is not shown again", err=True)


@token.command("list")
@CONFIG
@JSON
def list_(config_path: Path, as_json: bool) -> None:
    """List the tokens: name, scope, gateway, meter, end. Never the tokens themselves."""
    import json
    import time

    from control_room.settings import load_settings
    from gateway.api.shapes.token_file import fields, opens, read_tokens, tokens_file

    now_ms = int(time.time() * 1000)
    found = list(read_tokens(tokens_file(load_settings(config_path).keys)).values())
    if as_json:
        rows = [{**fields(one, now_ms), "gateway": one.gateway} for one in found]
        click.echo(json.dumps({"tokens": rows}))
        return
    if not found:
        click.echo(f"no tokens: meterseal-control token add {config_path} NAME --scope {'|'.join(SCOPES)}")
    for one in found:
        click.echo(f"{one.name}  {opens(one)}{'  (expired)' if one.is_expired(now_ms) else ''}")


@token.command()
@CONFIG
@click.argument("name")
def remove(config_path: Path, name: str) -> None:
    """Remove the token NAME; it opens nothing from now on."""
    from control_room.settings import load_settings
    from gateway.api.shapes.token_file import remove_token, tokens_file

    path = tokens_file(load_settings(config_path).keys)
    remove_token(path, name)
    click.echo(f"{path}: {name} removed")
