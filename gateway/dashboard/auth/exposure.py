"""Exposure check: users, certificate and files that the dashboard needs for its address, before a start."""

from __future__ import annotations

from pathlib import Path

from gateway.config.model import Config
from gateway.config.web import Web
from gateway.dashboard.shell import users
from gateway.dashboard.shell.host_names import host_names
from gateway.dashboard.shell.users import FILE
from ledger_client.transport.access import Access


def check(config: Config) -> None:
    """Refuse pages that are reachable from other machines without users and TLS. Raises ConfigError.

    On the loopback address both may be missing; login is not possible then.
    """
    if config.document.web is not None:
        users.demand(config.path, config.document.web, users_file(config), f"meterseal password {config.path}")


def users_file(config: Config) -> Path:
    """Where the users of a gateway's pages stand."""
    return config.keys / FILE


def access(config: Config, web: Web) -> Access:
    """Certificate, key and the token of the figures, each there and usable. Raises ConfigError."""
    return web.usable(config.path)


def names(web: Web) -> tuple[str, ...]:
    """Every name and address under which a browser may know the pages, but for a wildcard's."""
    return host_names(web.address, web.hosts)
