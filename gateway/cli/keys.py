"""Command `meterseal keys`: the device keys, and the enrolment request for a ledger."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path

import click
from rich.table import Table

from gateway.cli.terminal.common import CONFIG, FORCE, JSON, demand_replaceable, out
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.process.file_owner import is_there
from ledger_client.enrolment.proofs import is_request, to_text
from ledger_client.enrolment.request import parse_request
from ledger_client.formats.cose_key import base64url, load_private_key

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
    """Device keys: list them, make missing ones, write the enrolment request for a ledger."""


@keys.command(name="list")
@CONFIG
@click.option("--make-missing", is_flag=True, help="Make missing keys of meters and add them to the trust file.")
@JSON
def list_keys(config_path: Path, make_missing: bool, as_json: bool) -> None:
    """List device keys and their thumbprints; same as `meterseal keys CONFIG`."""
    from gateway.commissioning import site_init
    from gateway.config import device_keys as keyring

    config = load_config(config_path)
    made: list[str] = []
    if make_missing:
        now_s = int(time.time())
        made = keyring.make_missing(config, now_s, _identities(config))
        site_init.add_to_trust(config, made, now_s)
    loaded = keyring.load_keys(config)
    rows = [("statement", "", loaded.statement.public)] + [
        ("meter", name, key.public) for name, key in loaded.meters.items()
    ]
    if as_json:
        listed = [{"role": r, "meter": m or None, "kid": p.kid.hex(), "public": p.to_text()} for r, m, p in rows]
        click.echo(json.dumps({"made": made, "keys": listed}))
        return
    table = Table("role", "meter", "thumbprint (kid)", "public", box=None)
    for role, name, public in rows:
        table.add_row(role, name, base64url(public.kid), public.to_text())
    out.print(table)
    if made:
        out.print(
            f"made: {', '.join(made)}; "
            f"send {config.keys / keyring.REQUEST_FILE} to the ledger and {config.trust} to verifiers again"
        )


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
