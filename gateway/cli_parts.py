"""What every command of `meterseal` is made of: its arguments, where its words go, an open database."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from gateway import config as configuration
from gateway.config import Config
from gateway.store import Store

CONFIG = click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)


def open_store(config_path: Path) -> tuple[Config, Store]:
    """The configuration, and its database to read."""
    config = configuration.load(config_path)
    return config, Store(config.database, read_only=True)
