"""Command run."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.argument("config_path", metavar="CONTROL.toml", type=click.Path(path_type=Path))


@click.command()
@CONFIG
def run(config_path: Path) -> None:
    """Receive, verify and store the records of every gateway until stopped (SIGTERM or Ctrl-C)."""
    from control_room.intake.process import run_receiver
    from control_room.settings import load_settings
    from ledger_client.collector import seldom

    with seldom():  # a fifth of the time of judging: each record is dozens of objects
        run_receiver(load_settings(config_path))
