"""Show command: totals."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from gateway.cli.terminal.common import CONFIG, JSON, open_store, out


@click.command()
@CONFIG
@click.option(
    "--period",
    metavar="PERIOD",
    help="today, yesterday, a day such as 2026-10-25 or a month such as 2026-10  [default: today, yesterday and month]",
)
@JSON
def totals(config_path: Path, period: str | None, as_json: bool) -> None:
    """Show the site's generation, consumption, grid and storage: power now, energy of days and months.

    Energies are those of the published plan, by its civil time; without one they are readings of the meters, by the
    time zone of the site, and no accounts. What is not known is named; a total without it is never shown as whole.
    """
    from gateway.cli.totals_view import print_totals
    from gateway.totals.as_json import totals_json
    from gateway.totals.at_rest import totals_at_rest

    config, store = open_store(config_path)
    try:
        found = totals_at_rest(config, store, int(time.time() * 1000), period)
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(totals_json(config.gateway_id, str(config.zone), found)))
    else:
        print_totals(out, found, config.zone)
