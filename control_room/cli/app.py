"""Command ``meterseal-control``: the control room of many gateways.

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or configuration.
"""

from __future__ import annotations

import sys

import click

from ledger_client.click_help import HELP
from ledger_client.release import release_option


@click.group(context_settings=HELP)
@release_option
def cli() -> None:
    """Verify and keep every record of many gateways, and show what is missing."""


def main() -> None:
    """Entry point: no error of ours ends in a traceback."""
    try:
        cli()
    except Exception as error:
        from gateway.errors import GatewayError
        from ledger_client.errors import LedgerClientError

        if not isinstance(error, GatewayError | LedgerClientError):
            raise
        click.echo(f"meterseal-control: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
