"""Command `meterseal keys`: the device keys, their rotation, and the enrolment request for a ledger."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from gateway.cli.terminal.common import CONFIG, FORCE, JSON, demand_replaceable, out
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.process.file_owner import is_there
from ledger_client.enrolment.proofs import is_request, to_text
from ledger_client.enrolment.request import parse_request
from ledger_client.formats.cose_key import PublicKey, base64url, load_private_key
from ledger_client.text_file import text_of
from ledger_client.times import rfc3339

if TYPE_CHECKING:
    from gateway.commissioning.key_rotation import KeyState
    from gateway.config.key_folder import TokenPlace

MOST_IN_A_CODE = 1273
"""Characters: QR version 25, level L. A larger one is hard to scan from a terminal."""


class _Keys(click.Group):
    """`meterseal keys CONFIG …` is `meterseal keys list CONFIG …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["list", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["list", *args])


@click.group(cls=_Keys)
def keys() -> None:
    """Device keys: list, make and replace them, write the enrolment request for a ledger."""


@keys.command(name="list")
@CONFIG
@click.option("--make-missing", is_flag=True, help="Make missing keys of meters and add them to the trust file.")
@JSON
def list_keys(config_path: Path, make_missing: bool, as_json: bool) -> None:
    """List device keys and their thumbprints; same as `meterseal keys CONFIG`."""
    from gateway.commissioning import key_rotation, site_init
    from gateway.config import device_keys as keyring

    config = load_config(config_path)
    made: list[str] = []
    if make_missing:
        now_s = int(time.time())
        made = keyring.make_missing(config, now_s, _identities(config))
        site_init.add_to_trust(config, made, now_s)
    found = key_rotation.states(config)
    if as_json:
        click.echo(json.dumps({"made": made, "keys": list(map(_as_json, found)), "token": _token(config)}))
        return
    table = Table("role", "meter", "state", "thumbprint (kid)", "public", box=None)
    for key in found:
        state = key.state if key.since is None else f"{key.state} {rfc3339(key.since)}"
        role, meter = ("statement", "") if key.owner == keyring.STATEMENT else ("meter", key.owner)
        table.add_row(role, meter, state, base64url(key.public.kid), key.public.to_text())
    out.print(table)
    if (token := _token(config)) is not None:
        claims = ", ".join(f"{name} {'yes' if value else 'no'}" for name, value in token["claims"].items())
        out.print(f"the statement key is in a token, {token['uri']}, which says of it: {claims} (its claim: unchecked)")
    if made:
        out.print(
            f"made: {', '.join(made)}; "
            f"send {config.keys / keyring.REQUEST_FILE} to the ledger and {config.trust} to verifiers again"
        )


def _as_json(key: KeyState) -> dict[str, object]:
    meter = None if key.owner == "statement" else key.owner
    role, public = "statement" if meter is None else "meter", key.public
    facts = {"role": role, "meter": meter, "kid": public.kid.hex(), "public": public.to_text(), "state": key.state}
    return facts | {"since": key.since, "reason": key.reason}


@keys.command(name="rotate")
@CONFIG
@click.argument("name", metavar="statement|METER")
@click.option("--to", metavar="URI", help="Make the next statement key in a token: pkcs11:token=…;object=…")
@click.option("--module", metavar="SO", help="With --to: pkcs11_module, if gateway.toml has none.")
@click.option("--pin-file", metavar="FILE", help="With --to: pin_file, if gateway.toml has none.")
@click.option("--use", is_flag=True, help="Sign with the next key from the next reload or start on.")
@click.option("--offline", is_flag=True, help="With --use: do not ask the ledgers whether they list the key.")
def rotate(
    config_path: Path, name: str, to: str | None, module: str | None, pin_file: str | None, use: bool, offline: bool
) -> None:
    """Make the next statement key, or a meter's, and a request signed by both; with --use put it into use.

    The old key signs on until then. --use asks each ledger whether its log lists the new key. See docs/operator.md.
    """
    from gateway.commissioning import key_lists, key_rotation
    from gateway.config.device_keys import REQUEST_FILE

    if offline and not use:
        raise click.UsageError("--offline belongs to --use")
    if use and to is not None:
        raise click.UsageError("--to belongs to the command that makes the key, without --use")
    config, now_s = load_config(config_path), int(time.time())
    request = config.keys / REQUEST_FILE
    if use:

        def ask(name: str, key: PublicKey) -> None:
            if not offline:
                key_lists.demand_listed(config, name, key, str(request), now_s)

        key = key_rotation.use(config, name, now_s, ask, _edit)
        click.echo(f"{name}: {base64url(key.kid)} signs from the next start on, or now: meterseal reload {config_path}")
        click.echo(f"then, once all batches have receipts: meterseal keys retire {config_path} KID --reason TEXT")
        return
    place = None if to is None else _place(config, to, module, pin_file)
    key = key_rotation.prepare(config, name, now_s, _identities(config), place)
    click.echo(f"{name}: {base64url(key.kid)} is the next key; the present one signs on")
    click.echo(f"send {request} to the ledgers, and {config.trust} to verifiers")
    click.echo(f"once they have enrolled it: meterseal keys rotate {config_path} {name} --use")


def _place(config: Config, uri: str, module: str | None, pin_file: str | None) -> TokenPlace:
    from gateway.config.key_folder import TokenPlace
    from ledger_client.tokens.uri import KeyUriError, TokenUri

    gateway = config.document.gateway
    module, pin_file = module or gateway.pkcs11_module, pin_file or gateway.pin_file
    if module is None or pin_file is None:
        raise click.UsageError("gateway.toml names no token yet: give --module and --pin-file with --to")
    try:
        TokenUri.parse(uri)
    except KeyUriError as error:
        raise GatewayError(error.sentence, error.way_out) from None
    return TokenPlace(uri, module, pin_file)


def _edit(config: Config, settings: Mapping[str, str | None]) -> None:
    """Keys of [gateway] in gateway.toml; the file before stays beside it."""
    from gateway.commissioning.wizard import config_edit

    text = config_edit.with_gateway(text_of(config.path.read_bytes()), settings)
    config_edit.replace(config.path, text, datetime.now().astimezone())


@keys.command(name="retire", context_settings={"ignore_unknown_options": True})
@CONFIG
@click.argument("kid", metavar="KID")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the ledgers' operators.")
def retire(config_path: Path, kid: str, reason: str) -> None:
    """Destroy a replaced key, once no batch needs it any more, and tell the ledgers until when it counted."""
    from gateway.commissioning import key_rotation
    from gateway.config.device_keys import REQUEST_FILE
    from ledger_client.enrolment.request import MAX_REASON

    if not reason.isprintable() or not 0 < len(reason.strip()) <= MAX_REASON:
        raise click.BadParameter(f"give one line of at most {MAX_REASON} characters", param_hint="--reason")
    config = load_config(config_path)
    former, gone, listed = key_rotation.retire(config, kid, reason.strip(), int(time.time()), _identities(config))
    until = rfc3339(former.retired or 0)
    file = "it is destroyed" if gone else "it was not there any more"
    click.echo(f"{former.owner}: {base64url(former.kid)} is retired, counts until {until}; {file}")
    if not listed:
        click.echo(f"write valid_to = {until} into its entry in {config.trust}, which is not a plain [[key]] table")
    click.echo(f"send {config.keys / REQUEST_FILE} to the ledgers, and {config.trust} to verifiers")
    click.echo("copies of the key, as in a backup of the site, count until a ledger has enrolled the request")


@keys.command(name="enrol-request")
@CONFIG
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--old-key",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Previous statement key, if it was replaced: it signs too, so that the ledger recognises the gateway.",
)
@FORCE
def enrol_request(config_path: Path, output: Path, old_key: Path | None, force: bool) -> None:
    """Write the request for `meterseal-ledger enroll`: all public keys, signed by each, with the meters' identities.

    In a terminal also as text and, if it is not too long, as a QR code.
    """
    from gateway.config import device_keys as keyring

    config = load_config(config_path)
    demand_replaceable(output, "enrolment request (.enrol)", is_request, force=force)
    before = None if old_key is None else load_private_key(old_key)
    loaded = keyring.load_keys(config)
    request = keyring.enrol_request(config, loaded, int(time.time()), _identities(config), before)
    keyring.write_request(output, request)
    asked = parse_request(request)
    click.echo(f"wrote {output}: gateway {asked.gateway}, {len(request)} bytes; compare with the ledger's output:")
    click.echo(f"  statement key {base64url(asked.statement.kid)}")
    for name, meter in asked.meters.items():
        click.echo(f"  meter {name} {base64url(meter.key.kid)}{f' ({meter.identity})' if meter.identity else ''}")
    if sys.stdout.isatty():
        click.echo(_drawn(to_text(request)))


def _token(config: Config) -> dict[str, Any] | None:
    """Which key of a token is the statement key, and what the token says of it; None: the key is a file."""
    from gateway.config import token_key

    uri = token_key.named(config)
    return None if uri is None else {"uri": uri, "claims": dict(sorted(token_key.loaded(config).claims.items()))}


def _drawn(text: str) -> str:
    """A text, with its QR code where one holds it."""
    import segno  # needed here only

    if len(text) > MOST_IN_A_CODE:
        return f"{text}\n(too long for a QR code in a terminal: send the file, or this text)"
    drawing = StringIO()
    segno.make(text, error="l", micro=False).terminal(drawing, compact=True)
    return f"{text}\n{drawing.getvalue()}"


def _identities(config: Config) -> dict[str, str]:
    """Identities of the meters' devices by the newest events in the database; empty without a database."""
    from gateway.recording.announcements import identities
    from gateway.storage.database import Database

    if not is_there(config.database):
        return {}
    with suppress(GatewayError):  # keys do not depend on the database
        store = Database(config.database, read_only=True)
        try:
            return identities(store.records, config.meters)
        finally:
            store.close()
    return {}
