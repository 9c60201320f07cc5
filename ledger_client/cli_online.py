"""The options that say whom to ask (``--ledger NAME=URL``, ``--rpc NAME=URL``, ``--ca PEM``), and their mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ledger_client.errors import LedgerClientError

if TYPE_CHECKING:
    from ledger_client.ledgers.access import Access


class UsageError(LedgerClientError):
    """The command line names something that cannot be used."""


def addresses(option: str, values: Iterable[str]) -> dict[str, str]:
    """{ledger: URL} of an option that may be given more than once; raises ``UsageError``, ``AccessError``."""
    from ledger_client.ledgers.access import demand_http

    urls: dict[str, str] = {}
    for value in values:
        name, _, url = value.partition("=")
        if not name or not url:
            raise UsageError(f"{option}: give the ledger's name and an address, as NAME=http://HOST:PORT")
        if name in urls:
            raise UsageError(f"{option} {name}: is given twice; leave one of them out")
        demand_http(f"{option} {name}", url)
        urls[name] = url
    return urls


def access(ca: Path | None, urls: Iterable[str]) -> Access:
    """The way to those of the addresses that speak https, checked before anybody is asked; raises ``AccessError``."""
    from ledger_client.ledgers.access import Access, AccessError  # loads TLS, which verifying does not need

    secure, plain = Access(ca=ca), Access()
    for url in urls:
        (secure if url.startswith("https:") else plain).check_rules(url)
    try:
        secure.check_files()
    except AccessError as error:
        raise AccessError("--ca", error.problem, error.way_out) from None
    return secure
