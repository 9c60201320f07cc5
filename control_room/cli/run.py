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

    run_receiver(load_settings(config_path))
