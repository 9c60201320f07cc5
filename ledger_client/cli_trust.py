"""Command ``meterseal-ledger trust``: make, fill and look at a trust file."""

from __future__ import annotations

from pathlib import Path

import click

from ledger_client.cli_help import HELP
from ledger_client.cli_parts import YES, agreed


@click.group(context_settings=HELP)
def trust() -> None:
    """Make, fill and look at a trust file: whom a verifier believes."""


@trust.command()
@click.argument("trust_file", metavar="trust.toml", type=click.Path(path_type=Path))
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@YES
def add(trust_file: Path, source: Path, yes: bool) -> None:
    """Add the keys of FILE, an enrolment request or what `show --trust` of a ledger prints; asks first."""
    from ledger_client import trust_file as files

    new = files.missing_in(trust_file, files.keys_of(source))
    for key in new:
        click.echo(f"new: {files.in_words(key)}")
    if not new:
        click.echo(f"{trust_file}: has all of them already")
        return
    agreed("compare the thumbprints with their owner by another way than the file came", yes=yes)
    for warning in files.add(trust_file, new):
        click.echo(f"warning: {trust_file}: {warning}", err=True)
    click.echo(f"{trust_file}: {len(new)} keys added")
