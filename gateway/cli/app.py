"""Command `meterseal`: exit code 0 for success, 1 for a negative answer, 2 with one message for an error."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, NoReturn

import click

from gateway.cli.commands import COMMANDS
from gateway.errors import Damaged, Declined, GatewayError, first_error
from gateway.process import log_setup
from gateway.process.log_setup import FORMS, Form
from ledger_client.click_help import HELP, Grouped
from ledger_client.errors import LedgerClientError
from ledger_client.release import release_option


def fail(error: Exception) -> NoReturn:
    """Print the error on stderr and exit: 1 if the answer is no, else 2."""
    click.echo(f"meterseal: {error.in_lines if isinstance(error, LedgerClientError) else error}", err=True)
    sys.exit(1 if isinstance(error, Declined | Damaged) else 2)


class _Commands(Grouped):
    """Prints errors of our packages as messages; anything else is a bug and shows its traceback."""

    headings: ClassVar = COMMANDS

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (GatewayError, LedgerClientError) as error:
            fail(error)
        except ExceptionGroup as group:  # from a TaskGroup: one failed task takes the others along
            ours, others = group.split((GatewayError, LedgerClientError))
            if others is not None or ours is None:
                raise
            fail(first_error(ours))


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
def main(verbose: bool, form: Form) -> None:
    """An edge gateway from meter to ledger: reads, signs, stores, anchors, proves."""
    log_setup.start(form, verbose=verbose)


if __name__ == "__main__":
    main()
