"""Exposure check: users, certificate and files that the dashboard needs for its address, before a start."""

from __future__ import annotations

import logging
from pathlib import Path

from gateway.access_files import usable
from gateway.config.model import Config
from gateway.config.web import Web
from gateway.dashboard.shell.host_names import host_names
from gateway.dashboard.shell.users import FILE, read_users
from gateway.errors import ConfigError
from gateway.messages.message import Message
from ledger_client.transport.access import Access

log = logging.getLogger("meterseal.pages")


def check(config: Config) -> None:
    """Refuse pages that are reachable from other machines without users and TLS. Raises ConfigError.

    On the loopback address both may be missing; login is not possible then.
    """
    web = config.document.web
    if web is None:
        return
    users = read_users(users_file(config))
    make_user = f"meterseal password {config.path} NAME --role installer"
    if not web.loopback:
        if web.cert is None:
            raise ConfigError(config.path, "web, cert", Message("web-needs-tls", listen=web.listen, port=web.port))
        if not users:
            message = Message("web-needs-password", listen=web.listen, config=str(config.path))
            raise ConfigError(config.path, "web, listen", message)
    if not users:
        log.warning("no user can log in to the pages yet; run `%s`", make_user)
    access(config, web)


def users_file(config: Config) -> Path:
    """Where the users of a gateway's pages stand."""
    return config.keys / FILE


def access(config: Config, web: Web) -> Access:
    """Certificate, key and the token of the figures, each there and usable. Raises ConfigError."""
    return usable(config.path, "web", web.access, {"token_file": "metrics_token_file"})


def names(web: Web) -> tuple[str, ...]:
    """Every name and address under which a browser may know the pages, but for a wildcard's."""
    return host_names(web.address, web.hosts)
