"""Run commands: run, demo."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path

import click

from gateway.cli.terminal.arguments import CONFIG, JSON
from gateway.config.load import load_config
from gateway.field_types import duration_ms


@click.command()
@CONFIG
def run(config_path: Path) -> None:
    """Poll, sign, store, seal and anchor until stopped (SIGTERM or Ctrl-C)."""
    from gateway.agent import main as agent
    from gateway.process.loop_turns import watched_loop

    with asyncio.Runner(loop_factory=watched_loop) as runner:
        runner.run(agent.run(load_config(config_path)))


@click.command()
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path), help="Folder for all files.  [default: ./meterseal-demo-TIME]"
)
@click.option("--for", "duration", metavar="DURATION", help='End after this time, such as "60s".')
@click.option(
    "--month", is_flag=True, help="Make a month of four plants in minutes, state and recompute it; --for: less of it."
)
@click.option("--neutrality", is_flag=True, help="The same month, its hours certified, traded and retired.")
@JSON
def demo(folder: Path | None, duration: str | None, month: bool, neutrality: bool, as_json: bool) -> None:
    """Run the whole chain on this machine: simulated meters, gateway, ledger, proofs. Ctrl-C ends it."""
    from gateway.cli.demo import month as of_a_month
    from gateway.cli.demo import neutrality as of_certificates
    from gateway.cli.demo import run as live

    try:
        seconds = duration_ms(duration) / 1000 if duration else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    folder = folder or Path(f"meterseal-demo-{datetime.now():%Y%m%d-%H%M%S}")
    main = of_certificates.main if neutrality else of_a_month.main if month else live.main
    sys.exit(main(folder, seconds, as_json=as_json))
