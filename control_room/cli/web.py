"""Command web."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.argument("config_path", metavar="CONTROL.toml", type=click.Path(path_type=Path))


@click.command()
@CONFIG
def web(config_path: Path) -> None:
    """Serve the pages, the API and the metrics until stopped (SIGTERM or Ctrl-C)."""
    from control_room.settings import load_settings
    from control_room.web.server import run_server
    from ledger_client.collector import seldom

    with seldom():  # a third of the time of the page of ten thousand gateways
        run_server(load_settings(config_path))
