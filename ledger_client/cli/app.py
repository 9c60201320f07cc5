"""Command ``meterseal-ledger``: run a ledger, enrol gateways, verify proofs, audit periods.

Exit codes: 0 done, 1 the answer is no (not verified), 2 wrong usage or configuration.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import ClassVar

import click

from ledger_client.cli.commands import COMMANDS
from ledger_client.click_help import HELP, Grouped
from ledger_client.errors import LedgerClientError
from ledger_client.log_lines import printable
from ledger_client.release import release_option


class _Commands(Grouped):
    headings: ClassVar = COMMANDS


@click.group(cls=_Commands, context_settings=HELP)
@release_option
def cli() -> None:
    """Run the embedded ledger, enrol gateways, verify and audit proofs offline."""


def main() -> None:
    """Entry point: no error of this package ends in a traceback, and no verdict in an encoding that lacks a letter."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        cli()
    except LedgerClientError as error:
        click.echo("error: " + "\n".join(map(printable, error.in_lines.splitlines())), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
