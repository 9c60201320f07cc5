"""What every command of `meterseal` is made of: its arguments, where its words go, an open database, its user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click
from rich.console import Console

from gateway import config as configuration
from gateway.config import Config
from gateway.store import Store

CONFIG = click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")


def console(file: IO[str] | None = None, *, stderr: bool = False) -> Console:
    """Where words for people go, as they are: rich would take `[…]` in a name for a colour, and `:AB:` in a
    fingerprint for a picture."""
    width = None if sys.stdout.isatty() else 160
    return Console(file=file, stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


out = console()


def open_store(config_path: Path) -> tuple[Config, Store]:
    """The configuration, and its database to read."""
    config = configuration.load(config_path)
    return config, Store(config.database, read_only=True)


def user() -> str:
    """Who is at the keyboard, for the record."""
    import getpass

    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a user without a name
        return "command line"
