"""Command ``meterseal-ledger``: run a ledger, enrol gateways, verify proofs, audit periods.

Exit codes: 0 done, 1 the answer is no (not verified), 2 wrong usage or configuration.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import ClassVar

import click

from ledger_client.cli import proofs, run_ledger
from ledger_client.cli.balance import balance, neutrality
from ledger_client.cli.bridge import bridge
from ledger_client.cli.certificates.group import certificate
from ledger_client.cli.evm import evm
from ledger_client.cli.exports import energytag, irec
from ledger_client.cli.factors import factors
from ledger_client.cli.party import party
from ledger_client.cli.recompute import recompute
from ledger_client.cli.table import table
from ledger_client.cli.trust import trust
from ledger_client.click_help import HELP, Grouped
from ledger_client.errors import LedgerClientError
from ledger_client.verification.explain import clean


class _Commands(Grouped):
    headings: ClassVar = {
        "Judge proofs": ("verify", "audit", "prove", "trust"),
        "Run a ledger": ("init", "serve", "show", "enroll", "revoke", "rotate", "backup"),
        "Certificates": ("party", "certificate", "energytag", "irec"),
        "Account": ("recompute", "table", "factors", "balance", "neutrality"),
        "Chains": ("evm", "bridge"),
    }


@click.group(cls=_Commands, context_settings=HELP)
@click.version_option(package_name="meterseal", prog_name="meterseal-ledger")
def cli() -> None:
    """Run the embedded ledger, enrol gateways, verify and audit proofs offline."""


for command in (
    *(proofs.verify, proofs.audit, proofs.prove, trust),
    *(run_ledger.init, run_ledger.serve, run_ledger.show, run_ledger.enroll, run_ledger.revoke, run_ledger.rotate),
    *(run_ledger.backup, recompute, table, factors, balance, neutrality, party, certificate, energytag, irec, evm),
    bridge,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: no error of this package ends in a traceback, and no verdict in an encoding that lacks a letter."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        cli()
    except LedgerClientError as error:
        click.echo("error: " + "\n".join(map(clean, error.in_lines.splitlines())), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
