"""Options that several commands of ``meterseal-ledger`` take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ledger_client.cli_online import UsageError
from ledger_client.durable import may_replace

FORCE = click.option("--force", is_flag=True, help="replace FILE whatever it is")

_OPTIONS = (
    click.option("--mqtt-ca", metavar="PEM", help="the private CA of the broker's certificate"),
    click.option("--mqtt-cert", metavar="PEM", help="our certificate for the broker"),
    click.option("--mqtt-key", metavar="PEM", help="and its private key"),
    click.option("--mqtt-user", metavar="NAME", help="the login at the broker"),
    click.option("--mqtt-password-file", metavar="FILE", help="and the file that holds its password"),
    click.option("--mqtt-protocol", type=click.Choice(["auto", "5", "3.1.1"]), default="auto", show_default=True),
)


def broker_login(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to get in at the broker that ``--mqtt`` names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def demand_replaceable(path: Path, kind: str, is_such: Callable[[Path], bool], *, force: bool) -> None:
    """Raises UsageError where a file is there that is not of the kind that a command writes."""
    if not force and not may_replace(path, is_such):
        raise UsageError(f"{path}: is there and is no {kind}; give another name, or --force to replace it")
