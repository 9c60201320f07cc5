"""Options shared by several commands of ``meterseal-ledger``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledger_client.durable_files import may_replace, whole_file
from ledger_client.errors import LedgerClientError

if TYPE_CHECKING:
    from ledger_client.transport.access import Access

YES = click.option("--yes", is_flag=True, help="do it without a question")
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
        raise UsageError(f"{path}: exists and is not a {kind}", "give another name, or --force to replace it")


def write_output(path: Path, data: bytes) -> None:
    """Write the file that a command was asked for, whole or not at all. Raises UsageError."""
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give a path that can be written") from None


def agreed(hint: str, *, yes: bool) -> None:
    """Go on if somebody at the terminal agrees, or ``yes``. A no ends with exit code 1; UsageError: no terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at", "check the lines above, then give --yes")
    click.echo(hint)
    if not click.confirm("go on?"):
        click.echo("nothing has changed")
        sys.exit(1)


class UsageError(LedgerClientError):
    """The command line names something that cannot be used."""


def addresses(option: str, values: Iterable[str]) -> dict[str, str]:
    """{ledger: URL} of an option that may be given more than once; raises ``UsageError``, ``AccessError``."""
    from ledger_client.transport.access import demand_http

    urls: dict[str, str] = {}
    for value in values:
        name, _, url = value.partition("=")
        if not name or not url:
            raise UsageError(
                f"{option}: the value is not NAME=URL", "give the ledger's name and an address: NAME=http://HOST:PORT"
            )
        if name in urls:
            raise UsageError(f"{option} {name}: is given twice", "leave one of them out")
        demand_http(f"{option} {name}", url)
        urls[name] = url
    return urls


def access(ca: Path | None, urls: Iterable[str]) -> Access:
    """The way to those of the addresses that speak https, checked before anybody is asked; raises ``AccessError``."""
    from ledger_client.transport.access import Access, AccessError  # loads TLS, which verifying does not need

    secure, plain = Access(ca=ca), Access()
    for url in urls:
        (secure if url.startswith("https:") else plain).check_rules(url)
    try:
        secure.check_files()
    except AccessError as error:
        raise AccessError("--ca", error.what) from None
    return secure


def moment(option: str, text: str) -> int:
    """Unix seconds of an RFC 3339 time that an option gives. Raises UsageError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = datetime.min
    if time.tzinfo is None or time.timestamp() < 0:
        raise UsageError(f"{option} {text!r}: not a time with its zone", "write it as 2026-11-24T12:00:00Z")
    return int(time.timestamp())
