"""Options that several commands of ``meterseal-ledger`` take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

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
