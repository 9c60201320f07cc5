"""Command ``meterseal-ledger verifier-page``: the page that verifies proofs in a browser."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from ledger_client.cli.terminal.options import FORCE, demand_replaceable, write_output
from ledger_client.release import release


@click.command("verifier-page")
@click.option("-o", "--output", required=True, metavar="FILE.html", type=click.Path(path_type=Path))
@FORCE
def verifier_page(output: Path, force: bool) -> None:
    """Write the page that verifies proofs (.mseal) in a browser, offline, and print its SHA-256.

    Of one version the file has the same bytes everywhere: whoever makes it can compare it with one that was given.
    """
    from ledger_client.verifier_page import page

    demand_replaceable(output, "verifier's page", page.is_verifier_page, force=force)
    data = page.verifier_page(release())
    write_output(output, data)
    click.echo(f"wrote {output}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
