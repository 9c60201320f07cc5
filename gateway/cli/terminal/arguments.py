"""Arguments that the `meterseal` commands share. Loads no console: `meterseal run` stays as small as it can."""

from __future__ import annotations

from pathlib import Path

import click

CONFIG = click.argument("config_path", metavar="CONFIG", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
FORCE = click.option("--force", is_flag=True, help="Replace FILE even if it is of another kind.")
