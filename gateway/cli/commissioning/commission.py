"""Command `meterseal commission`: how a meter was put into service."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.commissioning.record_view import record_options, view
from gateway.cli.terminal.common import CONFIG


@click.command()
@CONFIG
@click.argument("meter")
@record_options
def commission(
    config_path: Path, meter: str, show: bool, page: Path | None, language: str, force: bool, as_json: bool
) -> None:
    """Show the signed record of how METER was put into service: as text, as JSON, or as one page to print."""
    view(config_path, meter, page=page, language=language, force=force, as_json=as_json)
