"""Command ``meterseal-ledger party``: the key of who issues, holds or attests, and the request to enrol it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ledger_client.click_help import HELP

_FOLDER = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))


@click.group(context_settings=HELP)
def party() -> None:
    """Make, show and rotate the key of a party, an issuer or a verifier."""


@party.command()
@click.argument("name")
@click.option(
    "--role", type=click.Choice(["party", "issuer", "verifier"]), default="party", show_default=True,
    help="who holds certificates, who issues them, who attests statements",
)  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="where to  [default: NAME]")
def new(name: str, role: str, output: Path | None) -> None:
    """Make the key of the party NAME, and the request to enrol it."""
    from ledger_client.enrolment.party_folder import make

    made = make(Path(name) if output is None else output, name, role, int(time.time()))
    click.echo(f"made {made.file.parent}: {made.role} {made.name}")
    click.echo(f"enrol it at a ledger: meterseal-ledger enroll LDIR {made.file}; in a trust file it is\n")
    click.echo(made.entry(), nl=False)


@party.command()
@_FOLDER
def show(folder: Path) -> None:
    """Print the [[key]] entry of the party in DIR, for trust files."""
    from ledger_client.enrolment.party_folder import load
    from ledger_client.formats.cose_key import base64url

    found = load(folder)
    click.echo(f"# {found.role} {found.name}, key {base64url(found.key.public.kid)}")
    click.echo(found.entry(), nl=False)


@party.command()
@_FOLDER
def rotate(folder: Path) -> None:
    """Sign with a new key from now on, and ask for it with a request that the key before signs, too."""
    from ledger_client.enrolment import party_folder
    from ledger_client.formats.cose_key import base64url

    before, now = party_folder.rotate(folder, int(time.time()))
    click.echo(f"{base64url(now.key.public.kid)} signs for {now.role} {now.name}, after {base64url(before.kid)}")
    click.echo(
        f"have it enrolled before it signs, and before you rotate again: meterseal-ledger enroll LDIR {now.file}"
    )
