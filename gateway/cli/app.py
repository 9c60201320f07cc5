"""Command `meterseal`: exit code 0 for success, 1 for a negative answer, 2 with one message for an error."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, NoReturn

import click

from gateway.cli import backup, keys, orders, prove, read, readings, run, service, setup, show
from gateway.cli.accounting import entry, plan, statement
from gateway.cli.commissioning import commission, exchange, scan
from gateway.cli.profiles import command
from gateway.errors import Damaged, Declined, GatewayError, first_error
from gateway.process import log_setup
from gateway.process.log_setup import FORMS, Form
from ledger_client.click_help import HELP, Grouped
from ledger_client.errors import LedgerClientError


def fail(error: Exception) -> NoReturn:
    """Print the error on stderr and exit: 1 if the answer is no, else 2."""
    click.echo(f"meterseal: {error.in_lines if isinstance(error, LedgerClientError) else error}", err=True)
    sys.exit(1 if isinstance(error, Declined | Damaged) else 2)


class _Commands(Grouped):
    """Prints errors of our packages as messages; anything else is a bug and shows its traceback."""

    headings: ClassVar = {
        "Set up a site": ("init", "scan", "commission", "profiles", "keys", "password", "check", "read", "listen"),
        "Run it": ("run", "reload", "exchange", "accept", "clear-shared", "install", "uninstall"),
        "See its state": ("status", "readings", "doctor"),
        "Account": ("plan", "entry", "statement"),
        "Prove and archive": ("prove", "export", "backup", "restore"),
        "Try it": ("demo",),
    }

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
@click.version_option(package_name="meterseal")
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


for _command in (
    setup.init,
    commission.commission,
    setup.password,
    setup.check,
    keys.keys,
    read.read,
    read.listen,
    scan.scan,
    run.run,
    run.demo,
    orders.reload,
    orders.accept,
    exchange.exchange,
    orders.clear_shared,
    service.install,
    service.uninstall,
    show.status,
    command.profiles,
    show.doctor,
    readings.readings,
    plan.plan,
    entry.entry,
    statement.statement,
    prove.prove,
    prove.export,
    backup.backup,
    backup.restore,
):
    main.add_command(_command)

if __name__ == "__main__":
    main()
