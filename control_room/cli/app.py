"""Command ``meterseal-control``: the control room of many gateways.

Exit codes: 0 done, 1 the answer is no, 2 wrong usage or configuration.
"""

from __future__ import annotations

import sys
from typing import ClassVar

import click

from control_room.cli.commands import COMMANDS
from gateway.process import log_setup
from gateway.process.log_setup import FORMS, Form
from ledger_client.click_help import HELP, Grouped
from ledger_client.release import release_option


class _Commands(Grouped):
    headings: ClassVar = COMMANDS


@click.group(cls=_Commands, context_settings=HELP)
@release_option
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option(
    "--log",
    "form",
    type=click.Choice(FORMS),
    default="auto",
    show_default=True,
    help="Log format: text or JSON lines; auto: fields if the log goes to a journal, else text.",
)
def cli(verbose: bool, form: Form) -> None:
    """Verify and keep every record of many gateways, and show what is missing."""
    log_setup.start(form, verbose=verbose)


def main() -> None:
    """Entry point: no error of ours ends in a traceback."""
    try:
        cli()
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in ("nats", "psycopg", "psycopg_pool"):
            raise
        from gateway.messages.message import Message

        click.echo(f"meterseal-control: {Message('control-library-missing', library=library)}", err=True)
        sys.exit(2)
    except Exception as error:
        from gateway.errors import GatewayError
        from ledger_client.errors import LedgerClientError

        if not isinstance(error, GatewayError | LedgerClientError):
            raise
        click.echo(f"meterseal-control: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
