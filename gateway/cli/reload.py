"""Command `meterseal reload`: preview and confirmation of a changed configuration, then the order to reload."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from gateway.cli.common import CONFIG, JSON, out, user
from gateway.config import model as configuration
from gateway.config.load import load_config
from gateway.errors import Declined, GatewayError
from gateway.process import control_socket

ASK_EVERY_S = 0.5


@click.command()
@CONFIG
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--wait", is_flag=True, help="Wait until every meter has answered, or the old configuration is back.")
@JSON
def reload(config_path: Path, dry_run: bool, yes: bool, wait: bool, as_json: bool) -> None:
    """Have the running gateway take over a changed CONFIG: only lines that changed are opened again.

    It goes back by itself when a meter that answered before answers nothing within three of its periods, and at least
    60 s. Its name, data folder and keys cannot be changed so: stop it and start it.
    """
    config = load_config(config_path)
    change = control_socket.give(config.data, "preview")
    if not as_json:
        _show(config, change)
    if dry_run or change["nothing"]:
        _say(change | {"done": False}, as_json)
        return
    if not yes and (as_json or not _asked()):
        raise Declined("nothing was changed", "say --yes to change it without being asked")
    done = control_socket.give(config.data, "reload", fingerprint=change["fingerprint"], user=user())
    if not as_json:
        watched = f"; for {done['watched_s']:.0f} s it may go back by itself" if done["watched_s"] else ""
        click.echo(f"the gateway works by {config_path} now{watched}")
    if wait:
        done["reverted"] = _until_it_holds(config.data)
    _say(done, as_json)
    if done.get("reverted"):
        raise Declined(done["reverted"])


def _asked() -> bool:
    try:
        return click.confirm("take it over?", default=False)
    except click.Abort:  # nobody is there to answer
        return False


def _show(config: configuration.Config, change: dict[str, Any]) -> None:
    from gateway.cli.plan_view import print_plan
    from gateway.commissioning import line_plan
    from gateway.commissioning.line_specs import line_specs

    if change["nothing"]:
        out.print(f"{config.path}: nothing is different")
        return
    for line in change["changes"]:
        out.print(Text.assemble((line[0], "green" if line.startswith("+") else "red"), line[1:]))
    for spec in line_specs(config):
        if spec.name in change["opened"]:
            print_plan(out, line_plan.line_plan(spec))
    for name in change["closed"]:
        out.print(f"line {name} is closed")
    if change["ledgers"]:
        out.print("every ledger is asked first what it holds, as at a start")


def _until_it_holds(data: Path) -> str | None:
    while True:
        state = control_socket.give(data, "health")["configuration"]
        if state["trial"] is None:
            reverted: str | None = state["reverted"]
            return reverted
        if state["stuck"] is not None:
            raise GatewayError(state["stuck"], "mend that, or gateway.toml; until then the new one is in force")
        time.sleep(ASK_EVERY_S)


def _say(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
